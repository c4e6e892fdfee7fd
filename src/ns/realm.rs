//! What sets one session's namespaces apart from another's, for who opens it and for who
//! joins it: the namespaces there are beyond the usual three, who is who, and the control
//! group that everything inside belongs to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::ThreadNameSpaceType;

/// The namespaces every session has: CLONE_NEW* and what `/proc/PID/ns` calls them.
const ALWAYS: [(i32, &str); 2] = [(libc::CLONE_NEWUSER, "user"), (libc::CLONE_NEWNS, "mnt")];
const PID: (i32, &str) = (libc::CLONE_NEWPID, "pid");
const NET: (i32, &str) = (libc::CLONE_NEWNET, "net");
const IPC: (i32, &str) = (libc::CLONE_NEWIPC, "ipc");

/// The default is the caller's own network, System V objects, ids and control group.
#[derive(Debug, Default)]
pub struct Realm {
    /// A network of its own.
    pub net: bool,
    /// Who is root inside may change that network.
    pub net_admin: bool,
    /// System V objects and message queues of its own.
    pub ipc: bool,
    /// The caller is uid 0 inside.
    pub root: bool,
    /// The directory of the control group.
    pub cgroup: Option<OwnedFd>,
}

impl Realm {
    /// The namespaces, the user namespace first: it owns the others. `has_pids`: a pid
    /// namespace was not refused.
    pub(super) fn namespaces(&self, has_pids: bool) -> impl Iterator<Item = (i32, &'static str)> {
        let more = [(has_pids, PID), (self.net, NET), (self.ipc, IPC)];
        ALWAYS.into_iter().chain(more.into_iter().filter(|(has, _)| *has).map(|(_, which)| which))
    }

    /// CLONE_NEW* of all.
    pub(super) fn flags(&self, has_pids: bool) -> i32 {
        self.namespaces(has_pids).fold(0, |flags, (flag, _)| flags | flag)
    }

    /// The same for setns.
    pub(super) fn entered(&self, has_pids: bool) -> ThreadNameSpaceType {
        ThreadNameSpaceType::from_bits_retain(self.flags(has_pids) as u32)
    }

    /// The capabilities a command keeps.
    pub(super) fn keeps(&self) -> u64 {
        match self.root || rustix::process::geteuid().is_root() {
            true => super::capability::kept(self.net && self.net_admin),
            false => 0,
        }
    }

    pub(super) fn cgroup(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.as_ref().map(AsFd::as_fd)
    }
}
