//! Doing something with no more rights than who asks.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Gid, Pid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::super::sys;

/// Runs `work` with the user, the group and the capabilities of the process at the other
/// end of a connection, and takes init's back. Supplementary groups are left out: who
/// needs one of them is refused.
///
/// # Errors
/// When the rights could not be had or given back; `work` may have run.
pub(super) fn as_peer<T>(connection: &OwnedFd, work: impl FnOnce() -> T) -> Result<T, Errno> {
    let peer = sys::peer(connection.as_fd())?;
    let own = capabilities(None)?;
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    // only root's processes have capabilities in a session
    let theirs = match Pid::from_raw(peer.pid).filter(|_| peer.uid == 0) {
        Some(process) => capabilities(Some(process))?.effective,
        None => CapabilitySet::empty(),
    };
    let other = user.as_raw() != peer.uid;
    if other {
        set_thread_groups(&[])?;
        let gid = Gid::from_raw(peer.gid);
        set_thread_res_gid(group, gid, group)?;
        set_thread_res_uid(user, Uid::from_raw(peer.uid), user)?;
    }
    set_capabilities(None, CapabilitySets { effective: theirs & own.permitted, ..own })?;
    let done = work();
    set_capabilities(None, own)?;
    if other {
        set_thread_res_uid(user, user, user)?;
        set_thread_res_gid(group, group, group)?;
        set_capabilities(None, own)?;
    }
    Ok(done)
}
