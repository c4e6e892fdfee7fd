//! What who is root inside may do: each capability, whether a command keeps it, and why.
//!
//! A command of uid 0 (a root caller's, or `--root`) has the kept ones in its bounding
//! set, permitted and effective; everybody else has none. All are capabilities in the
//! session's own user namespace. What they are measured by: nothing kept may take the
//! store's cover away or go around it, change a mount, trace init or a launcher, or reach
//! another session's staging. A command may make a user namespace below its own and is
//! almighty in *that* one; the mounts it gets there are locked together (mount_namespaces(7)).
//!
//! Docker's default set, but for NET_RAW and MKNOD.

use caps::Capability;

/// What becomes of a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    /// Where the network is the session's own (`--net own`).
    OwnNetwork,
    Gone,
}

use Capability::*;
use Fate::{Gone, Kept, OwnNetwork};

/// Every capability, in the kernel's order.
pub(super) const TABLE: &[(Capability, Fate, &str)] = &[
    (CAP_CHOWN, Kept, "gives files away among the mapped ids: make install, tar -x"),
    (
        CAP_DAC_OVERRIDE,
        Kept,
        "passes over modes of files with mapped owners; the cover is no matter of modes",
    ),
    (
        CAP_DAC_READ_SEARCH,
        Gone,
        "DAC_OVERRIDE reads all the same; this one opens files by handle, past every mount",
    ),
    (CAP_FOWNER, Kept, "chmod and utimes of others' files with mapped owners"),
    (CAP_FSETID, Kept, "keeps set-id bits at a write: install -m 4755"),
    (CAP_KILL, Kept, "reaches only what the pid namespace shows; init is deaf to signals from inside"),
    (CAP_SETGID, Kept, "su, apt, daemons: among the mapped ids, and setgroups only where the map is full"),
    (CAP_SETUID, Kept, "the same; who has another uid is further from init, not nearer"),
    (CAP_SETPCAP, Kept, "only takes from the bounding set"),
    (CAP_LINUX_IMMUTABLE, Gone, "asked of the first user namespace: of no use inside"),
    (CAP_NET_BIND_SERVICE, Kept, "ports below 1024 of an own network; of no use in the host's"),
    (CAP_NET_BROADCAST, Gone, "unused by the kernel"),
    (CAP_NET_ADMIN, OwnNetwork, "interfaces, routes and filters; of no use in the host's network"),
    (CAP_NET_RAW, OwnNetwork, "raw sockets: ping; in the host's network of no use"),
    (CAP_IPC_LOCK, Gone, "memory is locked within the rlimit, as for everybody"),
    (CAP_IPC_OWNER, Gone, "passes over modes of System V objects of the session"),
    (CAP_SYS_MODULE, Gone, "loads code into the kernel"),
    (CAP_SYS_RAWIO, Gone, "reads memory and ports"),
    (
        CAP_SYS_CHROOT,
        Kept,
        "a root directory within the same mounts uncovers nothing; joining a mount namespace takes SYS_ADMIN too",
    ),
    (
        CAP_SYS_PTRACE,
        Gone,
        "would trace init, which holds every capability, and read its descriptors and its exe",
    ),
    (CAP_SYS_PACCT, Gone, "writes accounting files"),
    (CAP_SYS_ADMIN, Gone, "unmounts the cover, remounts, binds, pivots, enters other namespaces"),
    (CAP_SYS_BOOT, Gone, "ends the pid namespace from within, and kexec"),
    (CAP_SYS_NICE, Gone, "scheduling of others' processes"),
    (CAP_SYS_RESOURCE, Gone, "goes over quotas and limits, and renames a process's exe"),
    (CAP_SYS_TIME, Gone, "sets the clock"),
    (CAP_SYS_TTY_CONFIG, Gone, "hangs terminals up"),
    (CAP_MKNOD, Gone, "devices are asked of the first user namespace: of no use inside"),
    (CAP_LEASE, Gone, "asked of the first user namespace: of no use inside"),
    (CAP_AUDIT_WRITE, Kept, "su and PAM look for it; audit records are refused to a user namespace"),
    (CAP_AUDIT_CONTROL, Gone, "rules of the audit"),
    (CAP_SETFCAP, Kept, "file capabilities count in this namespace only: dpkg, setcap"),
    (CAP_MAC_OVERRIDE, Gone, "rules of security modules"),
    (CAP_MAC_ADMIN, Gone, "rules of security modules"),
    (CAP_SYSLOG, Gone, "kernel addresses"),
    (CAP_WAKE_ALARM, Gone, "wakes the machine"),
    (CAP_BLOCK_SUSPEND, Gone, "keeps the machine awake"),
    (CAP_AUDIT_READ, Gone, "reads the audit log"),
    (CAP_PERFMON, Gone, "watches other processes"),
    (CAP_BPF, Gone, "loads programs into the kernel"),
    (CAP_CHECKPOINT_RESTORE, Gone, "opens files by other processes' mappings, past every mount"),
];

/// Those that a command of uid 0 keeps; bit n is capability n.
pub(super) fn kept(own_network: bool) -> u64 {
    let keeps = |fate: Fate| fate == Kept || (own_network && fate == OwnNetwork);
    TABLE.iter().filter(|(_, fate, _)| keeps(*fate)).map(|(capability, _, _)| 1 << capability.index()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_has_its_line() {
        assert!(
            TABLE.iter().enumerate().all(|(number, (capability, _, _))| capability.index() == number as u8)
        );
        assert_eq!(TABLE.len(), caps::all().len());
    }

    #[test]
    fn what_uncovers_is_gone() {
        for own_network in [false, true] {
            let kept = kept(own_network);
            for gone in [
                CAP_SYS_ADMIN,
                CAP_SYS_PTRACE,
                CAP_DAC_READ_SEARCH,
                CAP_SYS_MODULE,
                CAP_SYS_RAWIO,
                CAP_CHECKPOINT_RESTORE,
                CAP_SYS_RESOURCE,
            ] {
                assert_eq!(kept & gone.bitmask(), 0, "{gone}");
            }
            for stays in
                [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETUID, CAP_SETGID, CAP_KILL]
            {
                assert_ne!(kept & stays.bitmask(), 0, "{stays}");
            }
            assert_eq!(kept & CAP_NET_ADMIN.bitmask() != 0, own_network);
        }
    }
}
