//! What an error number of a mount means.
//!
//! The kernel tells most reasons only to dmesg, which users cannot read; the table is
//! made from fs/overlayfs (6.18), mount(2) and fsconfig(2).

use crate::overlay::mount::step;

const NAMESPACES: &str = "see `vrift doctor`; on Ubuntu 23.10 and later AppArmor asks for a profile or \
     `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; in a container the seccomp profile \
     must permit mounts";
pub(super) const PLACE: &str =
    "put the store on ext4, xfs, btrfs or tmpfs, in a container on a volume: `--store DIR` or VRIFT_STORE";

/// Cause and hint of a failed step; a number that is not in the table keeps the
/// system's sentence.
pub fn explain(step: &str, errno: i32) -> (String, Option<String>) {
    let (cause, hint) = match (step, errno) {
        (step::FSOPEN, libc::ENODEV) | (step::LEGACY, libc::ENODEV) => (
            "the kernel has no overlayfs",
            Some("load the module `overlay`, or ask who administers the machine"),
        ),
        (step::FSOPEN, libc::EPERM) => ("mounting is not permitted in this user namespace", Some(NAMESPACES)),
        (step::CHDIR, _) => ("the store cannot be entered", None),
        (step::LOWER | step::DATA | step::UPPER | step::WORK, libc::ENOENT) => {
            ("a layer is not there", Some("`vrift verify --repair` makes lower trees anew"))
        }
        (step::DATA, libc::EINVAL) => {
            ("the kernel knows no data-only layers (Linux 6.5)", Some("use `--projection hardlink`"))
        }
        (_, libc::EPERM | libc::EACCES) => {
            ("the overlay is not permitted: a security module, or no rights to a layer", Some(NAMESPACES))
        }
        (step::UPPER | step::WORK, libc::EINVAL) => (
            "the store's filesystem cannot hold what runs write (overlayfs, NFS and read-only ones cannot)",
            Some(PLACE),
        ),
        (_, libc::EINVAL) => (
            "a layer is refused: the store is on overlayfs, NFS or a filesystem without user attributes, \
             a lower contains a mount point, or an option is unknown to this kernel",
            Some(PLACE),
        ),
        (_, libc::EOPNOTSUPP) => ("the store's filesystem has no user extended attributes", Some(PLACE)),
        (_, libc::ELOOP) => (
            "layers overlap, or overlays are nested too deep (two at most)",
            Some("start vrift outside of the other overlay"),
        ),
        (_, libc::ESTALE) => (
            "the upper was used with another lower before",
            Some("`vrift recover` shows what is left of an earlier session"),
        ),
        (_, libc::EBUSY) => (
            "the upper or work directory is in use by another overlay",
            Some("`vrift runs` lists what is alive"),
        ),
        (_, libc::EIO) => (
            "the store's disk had a write error since it was last synced",
            Some("see the kernel's log for the disk"),
        ),
        (_, libc::EEXIST) => ("the work directory was used before", Some("`vrift recover`")),
        (_, libc::EROFS) => ("the store's filesystem is read-only", Some(PLACE)),
        (_, libc::EOVERFLOW) => {
            ("the store belongs to another user", Some("the store must be the caller's own"))
        }
        (_, libc::ENAMETOOLONG) => ("the layers' paths are too long for one page of options", None),
        (step::ATTACH | step::LEGACY, libc::ENOENT) => ("the project's directory is not there", None),
        (step::ATTACH, libc::ENOSPC) => {
            ("too many mounts", Some("`sysctl fs.mount-max` limits a mount namespace"))
        }
        (_, libc::ENOSPC | libc::EDQUOT) => (
            "the store's disk is full, or has no inodes left",
            Some("free some space and run the command again; nothing is lost"),
        ),
        _ => return (plain(errno), None),
    };
    (cause.to_string(), hint.map(String::from))
}

fn plain(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_have_a_cause_and_others_the_systems() {
        assert!(explain(step::ATTACH, libc::ENOSPC).0.contains("mounts"));
        assert!(explain(step::WORK, libc::ENOSPC).0.contains("full"));
        for errno in [libc::EINVAL, libc::EPERM, libc::ELOOP, libc::ESTALE, libc::EIO, libc::EBUSY] {
            assert!(explain(step::CREATE, errno).1.is_some());
        }
        assert_eq!(explain(step::CREATE, libc::ENFILE).0, "Too many open files in system");
    }
}
