//! Each of the namespaces a session needs, tried by itself, by the calls a session makes.
//!
//! A child is cloned into the namespaces, goes through the first steps of an init and
//! tells over a pipe where it was refused. Nothing outlives the call.

use std::os::fd::OwnedFd;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::idmap::{self, OwnMaps};
use super::link;
use super::sys::{self, Forked};
use super::vfork;
use crate::os::refusal::Asked;

/// What is tried, each with all that comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A user namespace with the caller's ids.
    User,
    /// A mount namespace in it: mounts that do not reach the host, a tmpfs, a held mount.
    Mount,
    /// A pid namespace.
    Pid,
    /// A fresh `/proc` in all three.
    Proc,
}

/// Where a trial was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub asked: Asked,
    /// The call, as the manual names it.
    pub call: &'static str,
    pub errno: i32,
}

/// What the child tells; the place in this list is what goes over the pipe.
const STEPS: [(Asked, &str); 5] = [
    (Asked::IdMaps, "uid_map"),
    (Asked::Mount, "mount(MS_SLAVE)"),
    (Asked::Mount, "mount(tmpfs)"),
    (Asked::Mount, "open_tree"),
    (Asked::FreshProc, "mount(proc)"),
];

impl Trial {
    fn flags(self) -> i32 {
        match self {
            Trial::User => libc::CLONE_NEWUSER,
            Trial::Mount => libc::CLONE_NEWUSER | libc::CLONE_NEWNS,
            Trial::Pid => libc::CLONE_NEWUSER | libc::CLONE_NEWPID,
            Trial::Proc => libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID,
        }
    }

    fn asked(self) -> Asked {
        match self {
            Trial::Mount => Asked::Namespace("mnt"),
            Trial::Pid => Asked::Namespace("pid"),
            Trial::User | Trial::Proc => Asked::UserNamespace,
        }
    }
}

/// Tries it.
pub fn attempt(trial: Trial) -> Result<(), Refused> {
    let local =
        |call| move |errno: Errno| Refused { asked: trial.asked(), call, errno: errno.raw_os_error() };
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(local("pipe"))?;
    let (go, started) = pipe_with(PipeFlags::CLOEXEC).map_err(local("pipe"))?;
    let is_root = rustix::process::geteuid().is_root();
    let maps = OwnMaps::new(false);
    let copying = vfork::copy();
    let mask = sys::block_all();
    let forked = sys::fork_into(trial.flags(), None);
    if matches!(forked, Ok(Forked::Child)) {
        let outcome = in_child(trial, &maps, is_root, &go);
        let (step, errno) = outcome.err().unwrap_or((u8::MAX, Errno::from_raw_os_error(1)));
        let [low, high] = (errno.raw_os_error() as u16).to_ne_bytes();
        let sent = rustix::io::write(&tell, &[step, low, high]);
        sys::exit(i32::from(sent.is_err()));
    }
    sys::set_mask(mask);
    drop((copying, tell, go));
    let Forked::Parent { pid, .. } = forked.map_err(local("clone"))? else { return Ok(()) };
    if is_root {
        let mapped = idmap::write_full(pid);
        let _ = rustix::io::write(&started, &[u8::from(mapped)]);
    }
    let mut reply = [u8::MAX, 0, 0];
    let read = rustix::io::read(&told, &mut reply);
    link::reap(pid);
    match (read, STEPS.get(usize::from(reply[0]))) {
        (Ok(3), None) => Ok(()),
        (Ok(3), Some(&(asked, call))) => {
            Err(Refused { asked, call, errno: i32::from(u16::from_ne_bytes([reply[1], reply[2]])) })
        }
        _ => Err(local("the first process inside")(Errno::CHILD)),
    }
}

/// Raw calls on what was made before the clone only.
fn in_child(trial: Trial, maps: &OwnMaps, is_root: bool, go: &OwnedFd) -> Result<(), (u8, Errno)> {
    let mut mapped = [0u8];
    let by_parent = is_root && rustix::io::read(go, &mut mapped) == Ok(1) && mapped == [1];
    if !by_parent {
        maps.write().map_err(|(errno, _)| (0, errno))?;
    }
    if matches!(trial, Trial::Mount | Trial::Proc) {
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", slave).map_err(|errno| (1, errno))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount(c"vrift", c"/", c"tmpfs", flags, c"size=64k").map_err(|errno| (2, errno))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let flags = flags | OpenTreeFlags::AT_RECURSIVE;
        rustix::mount::open_tree(CWD, c"/proc", flags).map_err(|errno| (3, errno))?;
    }
    if trial == Trial::Proc {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None).map_err(|errno| (4, errno))?;
    }
    Ok(())
}

/// Whether clone3(2) is there: without a structure it says EINVAL, a filter ENOSYS or EPERM.
pub fn clone3() -> Result<(), i32> {
    match sys::clone3_of_nothing() {
        Errno::INVAL => Ok(()),
        errno => Err(errno.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_works_or_says_where_it_was_refused() {
        for trial in [Trial::User, Trial::Mount, Trial::Pid, Trial::Proc] {
            match attempt(trial) {
                Ok(()) => {}
                Err(refused) => crate::os::skip(refused.call, format!("{trial:?}: {}", refused.errno)),
            }
        }
        if let Err(errno) = clone3() {
            crate::os::skip("clone3", errno);
        }
    }
}
