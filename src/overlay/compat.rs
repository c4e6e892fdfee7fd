//! Ways around older kernels, each with the version that ends the need for it, and what
//! the errnos of a mount mean. A capability is found by trying, never by version number:
//! distributions back-port.

use rustix::io::Errno;

/// True when the new mount API cannot describe this overlay: no fsopen (before 5.2, or
/// a seccomp filter that does not know it), or no `lowerdir+` (before 6.8).
pub fn wants_option_string(step: &str, errno: Errno) -> bool {
    match step {
        "fsopen" => matches!(errno, Errno::NOSYS | Errno::PERM),
        "lowerdir+" | "datadir+" => errno == Errno::INVAL,
        _ => false,
    }
}

/// True when a write-back error of an earlier volatile mount stands in the way: a
/// syncfs of the filesystem acknowledges it (documented in overlayfs.rst, 5.10+).
pub fn wants_syncfs(errno: Errno) -> bool {
    errno == Errno::IO
}

/// Cause and hint of a failed overlay mount; only `dmesg`, which users cannot read, has
/// the kernel's own words.
pub fn explain(step: &str, errno: i32) -> (&'static str, &'static str) {
    match errno {
        libc::EPERM | libc::EACCES if step == "fsopen" || step == "fsmount" || step == "create" => (
            "overlay mounts are refused in a user namespace here",
            "needs Linux 5.11 or newer, and no AppArmor or seccomp rule against it: vrift doctor",
        ),
        libc::ENODEV => ("this kernel has no overlay filesystem", "load it as root: modprobe overlay"),
        libc::EINVAL | libc::EOPNOTSUPP => (
            "the store's filesystem cannot hold an upper (overlay, NFS, or no user xattrs)",
            "put the store on a local filesystem with --store DIR or VRIFT_STORE: vrift doctor",
        ),
        libc::ESTALE => ("the staging directory was used with another lower", "run the command again"),
        libc::EBUSY => ("the staging directory is mounted already", "run the command again"),
        libc::EIO => ("the filesystem had a write error", "look at dmesg and the disk"),
        libc::ELOOP => ("too many overlays on top of one another", "run vrift outside of the other one"),
        libc::EOVERFLOW => ("the store is not yours", "use a store of your own with --store DIR"),
        libc::ENOENT => ("a part of the store is missing", "vrift doctor"),
        _ => ("the kernel refused it", "vrift doctor"),
    }
}
