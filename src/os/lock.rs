//! flock(2) on files that exist only to be locked.
//!
//! A lock belongs to the open description: a copy of the descriptor in another
//! process keeps it, and it is released by closing only (rule 14). Locks on one
//! store are taken in this order: store, host, base, layers ascending, SQLite.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::error::{Context, Result};

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Shared,
    Exclusive,
}

/// A held lock; dropping it closes the descriptor.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl Lock {
    /// Waits for the lock; the file is made when it is not there.
    pub fn wait(path: &Path, hold: Hold) -> Result<Self> {
        let fd = open(path)?;
        loop {
            match flock(&fd, hold.operation()) {
                Ok(()) => return Ok(Self(fd)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("lock", path),
            }
        }
    }

    /// The lock, or `None` when somebody holds it in a way that excludes this one.
    pub fn attempt(path: &Path, hold: Hold) -> Result<Option<Self>> {
        let fd = open(path)?;
        match flock(&fd, hold.operation_now()) {
            Ok(()) => Ok(Some(Self(fd))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno).context("lock", path),
        }
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

impl Hold {
    fn operation(self) -> FlockOperation {
        match self {
            Hold::Shared => FlockOperation::LockShared,
            Hold::Exclusive => FlockOperation::LockExclusive,
        }
    }

    fn operation_now(self) -> FlockOperation {
        match self {
            Hold::Shared => FlockOperation::NonBlockingLockShared,
            Hold::Exclusive => FlockOperation::NonBlockingLockExclusive,
        }
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).context("open lock", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_excludes_exclusive_until_every_copy_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let shared = Lock::wait(&path, Hold::Shared).unwrap();
        let copy = shared.fd().try_clone().unwrap();
        drop(shared);
        assert!(Lock::attempt(&path, Hold::Exclusive).unwrap().is_none());
        drop(copy);
        assert!(Lock::attempt(&path, Hold::Exclusive).unwrap().is_some());
    }
}
