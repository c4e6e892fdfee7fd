//! Acting on one's own files whatever their modes (rule 4).
//!
//! A file of mode 000 and a directory of mode 0555 stop a plain walk even of their
//! owner. In a user namespace of its own, where the caller is mapped to 0, a process
//! has CAP_DAC_OVERRIDE over what the caller owns and over nothing else. So such work
//! runs in a child process there; its result comes back through a pipe.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};

static OWN: OnceLock<OwnIds> = OnceLock::new();

/// The one user and group that have a number in a namespace of [`enter_own_namespace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnIds {
    /// The caller's, as outside.
    pub user: u32,
    pub group: u32,
    /// What both are called in the namespace.
    pub inside: u32,
}

/// The numbers of this process's own namespace; `None`: it is in the caller's.
pub fn own_ids() -> Option<OwnIds> {
    OWN.get().copied()
}

/// How the child's outcome travels.
#[derive(Serialize, Deserialize)]
enum Outcome<T> {
    Done(T),
    Failed(Error),
}

/// Runs `work` with power over all files of the caller's. For a caller who has
/// CAP_DAC_OVERRIDE already it just runs; else in a child process: open SQLite
/// connections must be closed before, and what `work` changes in memory is lost.
pub fn as_root_of_own_files<T: Serialize + DeserializeOwned>(
    operation: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let overrides = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_DAC_OVERRIDE);
    if nix::unistd::geteuid().is_root() && overrides.unwrap_or(false) {
        return work();
    }
    in_child(operation, || {
        enter_own_namespace(CloneFlags::CLONE_NEWUSER, 0)?;
        work()
    })
}

/// Puts this process, which must have one thread, into new namespaces in which the
/// caller's user and group are `inside`.
pub fn enter_own_namespace(flags: CloneFlags, inside: u32) -> Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(flags | CloneFlags::CLONE_NEWUSER)
        .context("make", "a user namespace")
        .map_err(|error| error.with_hint("vrift doctor says why user namespaces are refused here"))?;
    let write = |path: &str, text: &str| std::fs::write(path, text).context("write", path);
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{inside} {uid} 1"))?;
    write("/proc/self/gid_map", &format!("{inside} {gid} 1"))?;
    let _ = OWN.set(OwnIds { user: uid.as_raw(), group: gid.as_raw(), inside });
    Ok(())
}

/// Runs `work` in a forked child and brings its result back.
pub fn in_child<T: Serialize + DeserializeOwned>(
    operation: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make", "a pipe")?;
    // SAFETY: threads of this process, if it has any left, hold no lock that the child
    // needs: glibc's fork puts its own (malloc's) in order, and ours live in scopes
    // that have ended.
    match unsafe { fork() }.context("fork to", operation)? {
        ForkResult::Child => {
            drop(reader);
            let outcome = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(value)) => Outcome::Done(value),
                Ok(Err(error)) => Outcome::Failed(error),
                Err(_) => Outcome::Failed(Error::new(Kind::Corrupt, format!("cannot {operation}: a panic"))),
            };
            let sent = serde_json::to_vec(&outcome).map_err(std::io::Error::from);
            let sent = sent.and_then(|text| File::from(writer).write_all(&text));
            // SAFETY: _exit runs nothing of the parent's: no destructors, no atexit.
            unsafe { libc::_exit(i32::from(sent.is_err())) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut text = Vec::new();
            let read = File::from(reader).read_to_end(&mut text);
            let status = loop {
                match waitpid(child, None) {
                    Err(nix::errno::Errno::EINTR) => {}
                    other => break other.context("wait for the process to", operation)?,
                }
            };
            read.context("hear from the process to", operation)?;
            match serde_json::from_slice(&text) {
                Ok(Outcome::Done(value)) => Ok(value),
                Ok(Outcome::Failed(error)) => Err(error),
                Err(_) => Err(died(operation, status)),
            }
        }
    }
}

fn died(operation: &str, status: WaitStatus) -> Error {
    let how = match status {
        WaitStatus::Signaled(_, signal, _) => format!("its process was ended by {signal}"),
        _ => "its process ended without a word".to_string(),
    };
    Error::failure(format!("cannot {operation}: {how}")).with_hint("nothing is lost; run the command again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_of_mode_000_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
        let read: String =
            match as_root_of_own_files("read", || std::fs::read_to_string(&path).context("read", &path)) {
                Ok(read) => read,
                Err(error) if std::env::var_os("VRIFT_MUST_WORK").is_none() => {
                    eprintln!("skipped: {error}");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
        assert_eq!(read, "x");
    }

    #[test]
    fn errors_and_deaths_come_back() {
        let error = in_child::<()>("try", || {
            Err(Error::io("open", "/x", &std::io::Error::from_raw_os_error(libc::EACCES)).with_hint("h"))
        });
        let error = error.unwrap_err();
        assert!(error.is(libc::EACCES));
        assert_eq!(
            (error.to_string().as_str(), error.hint()),
            ("cannot open `/x`: Permission denied", Some("h"))
        );
        let error = in_child::<()>("try", || {
            // SAFETY: ends this child only.
            unsafe { libc::_exit(3) }
        });
        assert!(error.unwrap_err().to_string().contains("try"));
    }
}
