//! Work in a child of its own namespaces.
//!
//! A file of mode 000 or a directory of mode 0555 stops its owner, but not a process
//! that holds CAP_DAC_OVERRIDE in a user namespace that maps the owner (rule 4,
//! user_namespaces(7)). [`as_root_of_own_files`] runs a piece of work in such a process.
//!
//! The id map is the identity: the new namespace gives every capability whatever the
//! number is, and the numbers in POSIX ACLs keep their meaning. Names of other users
//! in an ACL have none in there: they read as 4294967295 and cannot be set (EINVAL).
//!
//! The child is forked, has one thread when the work begins, and leaves by `_exit`: no
//! destructor of the parent's and no atexit handler runs twice. Thread pools of the
//! parent do not exist in it; the work may make threads of its own. Descriptors are
//! inherited, so a lock held by the parent is held until the child ends as well.
#![allow(unsafe_code)]

use std::any::Any;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use caps::{CapSet, Capability};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::mount::MountPropagationFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::UnshareFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::os::log;
use crate::os::refusal::{Asked, Machine};

/// Which namespaces a child gets besides the user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    User,
    /// Also a mount namespace, whose mounts do not reach the caller's.
    UserAndMount,
    /// And a pid namespace, for the children that the child would have.
    UserMountAndPid,
}

/// What comes through the pipe.
#[derive(Serialize, Deserialize)]
enum Reply<T> {
    Done(T),
    Failed(Error),
}

/// Runs `work` where the permission bits of the caller's own files do not stop it
/// (rule 4): right here for who has CAP_DAC_OVERRIDE, else in a child in a user namespace.
///
/// `operation` completes the sentence "cannot …". A child that panics, is killed or
/// cannot get its namespace is an error.
pub fn as_root_of_own_files<T: Serialize + DeserializeOwned>(
    operation: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_DAC_OVERRIDE).unwrap_or(false) {
        return work();
    }
    in_namespaces(operation, Namespaces::User, work)
}

/// Runs `work` in a child with every capability in a user namespace of its own.
pub fn in_namespaces<T: Serialize + DeserializeOwned>(
    operation: &str,
    namespaces: Namespaces,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let failed = |cause: String| Error::failure(format!("cannot {operation}")).with_cause(cause);
    let (from_child, to_parent) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(format!("pipe: {errno}")))?;
    // SAFETY: the child calls nothing that waits for another thread of the parent: glibc's
    // fork leaves malloc usable, and the contract above keeps pools out of `work`.
    match unsafe { fork() } {
        Err(errno) => Err(failed(format!("fork: {}", errno.desc()))),
        Ok(ForkResult::Child) => {
            drop(from_child);
            log::go_on();
            child(operation, namespaces, work, to_parent)
        }
        Ok(ForkResult::Parent { child }) => {
            drop(to_parent);
            let mut bytes = Vec::new();
            let read = File::from(from_child).read_to_end(&mut bytes);
            let status = reap(child);
            read.context("read from the child that should", operation)?;
            match serde_json::from_slice(&bytes) {
                Ok(Reply::Done(value)) => Ok(value),
                Ok(Reply::Failed(error)) => Err(error),
                Err(_) => Err(failed(end_of(status))),
            }
        }
    }
}

/// Never returns: not even by a panic, which would unwind into the parent's frames.
fn child<T: Serialize>(
    operation: &str,
    namespaces: Namespaces,
    work: impl FnOnce() -> Result<T>,
    to_parent: OwnedFd,
) -> ! {
    let done = catch_unwind(AssertUnwindSafe(|| {
        let result = enter(namespaces).and_then(|()| work());
        let reply = match result {
            Ok(value) => Reply::Done(value),
            Err(error) => Reply::Failed(error),
        };
        serde_json::to_vec(&reply).unwrap_or_else(|cause| failure(operation, &cause.to_string()))
    }));
    let bytes = done.unwrap_or_else(|panic| failure(operation, &said(&*panic)));
    let written = File::from(to_parent).write_all(&bytes);
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(if written.is_ok() { 0 } else { 1 }) }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("its process panicked: {}", text.unwrap_or_default())
}

fn failure(operation: &str, cause: &str) -> Vec<u8> {
    let error = Error::failure(format!("cannot {operation}")).with_cause(cause);
    serde_json::to_vec(&Reply::<()>::Failed(error)).unwrap_or_default()
}

/// Takes the calling process, which must have one thread, into new namespaces.
fn enter(namespaces: Namespaces) -> Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let flags = match namespaces {
        Namespaces::User => UnshareFlags::NEWUSER,
        Namespaces::UserAndMount => UnshareFlags::NEWUSER | UnshareFlags::NEWNS,
        Namespaces::UserMountAndPid => UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWPID,
    };
    // SAFETY: neither flag is CLONE_FILES, so no descriptor changes its meaning.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .context("make namespaces for", "a child process")
        .map_err(|error| explained(Asked::UserNamespace, error))?;
    // without this the gid map is refused (user_namespaces(7)); not there before 3.19
    let _ = std::fs::write("/proc/self/setgroups", "deny");
    for (file, map) in
        [("/proc/self/uid_map", format!("{uid} {uid} 1")), ("/proc/self/gid_map", format!("{gid} {gid} 1"))]
    {
        std::fs::write(file, map).context("write", file).map_err(|error| explained(Asked::IdMaps, error))?;
    }
    if namespaces != Namespaces::User {
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", flags)
            .context("make mounts slaves of", "/")
            .map_err(|error| explained(Asked::Mount, error))?;
    }
    Ok(())
}

/// The kernel's reason, where the machine shows it.
fn explained(asked: Asked, error: Error) -> Error {
    match error.errno() {
        Some(errno) => Machine::read().why(asked, errno).explain(error).with_kind(Kind::Unsupported),
        None => error,
    }
}

fn reap(child: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.ok(),
        }
    }
}

fn end_of(status: Option<WaitStatus>) -> String {
    match status {
        Some(WaitStatus::Signaled(_, signal, _)) => format!("its process was killed by {signal}"),
        Some(WaitStatus::Exited(_, code)) => format!("its process ended with status {code} and no answer"),
        _ => "its process was lost".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_error_panic_and_kill_arrive() {
        let run = |work: fn() -> Result<u32>| in_namespaces("try it", Namespaces::User, work);
        match run(|| Ok(7)) {
            Ok(value) => assert_eq!(value, 7),
            Err(error) => return crate::os::skip("user namespaces", &error),
        }
        let error = run(|| std::fs::read("/\u{fffd}x").context("read", "/no").map(|_| 0)).unwrap_err();
        assert_eq!(error.to_string(), "cannot read `/no`: No such file or directory");
        assert!(error.is(libc::ENOENT));
        assert!(run(|| panic!("quiet")).unwrap_err().to_string().contains("panicked"));
        let killed = run(|| {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
            Ok(0)
        });
        assert_eq!(killed.unwrap_err().to_string(), "cannot try it: its process was killed by SIGKILL");
    }

    #[test]
    fn a_file_of_mode_zero_is_read_and_its_owner_stays() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
        let read = as_root_of_own_files("read", || {
            let uid = std::fs::metadata(&path).context("stat", &path)?.uid();
            Ok((std::fs::read(&path).context("read", &path)?, uid))
        });
        match read {
            Ok(read) => assert_eq!(read, (b"x".to_vec(), rustix::process::geteuid().as_raw())),
            Err(error) => crate::os::skip("user namespaces", &error),
        }
    }
}
