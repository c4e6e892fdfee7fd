//! flock(2) on files that exist only to be locked.
//!
//! A lock belongs to the open description: a copy of the descriptor in another
//! process keeps it, and it is released by closing only (rule 14). Locks on one
//! store are taken in this order: store, host, base, layers ascending, SQLite.
//!
//! A store that is made where flock(2) is refused says so in `format.json`, and whoever
//! uses it locks by files (holders.rs): never some by the one and some by the other.

mod holders;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};

use super::log;
use super::remove::remove_tree;
use holders::{Attempt, Holder};

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Shared,
    Exclusive,
}

/// A held lock; dropping it closes the descriptor.
#[derive(Debug)]
pub struct Lock {
    fd: OwnedFd,
    // after the descriptor: it looks whether that was the last one
    holder: Option<Holder>,
}

/// The store that this process uses was made where flock(2) is refused.
static BY_FILES: AtomicBool = AtomicBool::new(false);

/// Lock by files from now on, whether or not flock(2) works: everybody who uses the
/// store has to do the same.
pub fn use_files() {
    BY_FILES.store(true, Ordering::Relaxed);
}

pub fn by_files() -> bool {
    BY_FILES.load(Ordering::Relaxed)
}

/// Whether flock(2) is refused in a directory, and how; tried on a file that is kept.
pub fn refused_in(path: &Path) -> Result<Option<Error>> {
    let fd = open(path)?;
    match flock(&fd, FlockOperation::NonBlockingLockShared) {
        Err(errno) if is_refusal(errno) => {
            Err(errno).context("lock", path).map_or_else(|error| Ok(Some(error)), Ok)
        }
        _ => Ok(None),
    }
}

impl Lock {
    /// Waits for the lock; the file is made when it is not there.
    pub fn wait(path: &Path, hold: Hold) -> Result<Self> {
        let began = log::now();
        let lock = Self::had(path, hold)?;
        if let Some(began) = began {
            let (hold, waited) = (format!("{hold:?}").to_lowercase(), began.elapsed().as_secs_f64());
            log::line("lock", format_args!("{} {hold}, after {waited:.6} s", path.display()));
        }
        Ok(lock)
    }

    fn had(path: &Path, hold: Hold) -> Result<Self> {
        let fd = open(path)?;
        if by_files() {
            return holders::wait(path, hold).map(|(fd, holder)| Self { fd, holder: Some(holder) });
        }
        loop {
            match flock(&fd, hold.operation()) {
                Ok(()) => return Ok(Self { fd, holder: None }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refusal(errno, path)),
            }
        }
    }

    /// The lock, or `None` when somebody holds it in a way that excludes this one.
    pub fn attempt(path: &Path, hold: Hold) -> Result<Option<Self>> {
        let fd = open(path)?;
        if by_files() {
            return Self::attempt_by_file(path, hold);
        }
        match flock(&fd, hold.operation_now()) {
            Ok(()) => Ok(Some(Self { fd, holder: None })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(refusal(errno, path)),
        }
    }

    /// The same by a file beside it, whatever the store was made with.
    pub fn attempt_by_file(path: &Path, hold: Hold) -> Result<Option<Self>> {
        Ok(match holders::attempt(path, hold)? {
            Attempt::Had(fd, holder) => Some(Self { fd, holder: Some(holder) }),
            Attempt::Held(_) => None,
        })
    }

    /// As long as a copy of it is open, anywhere, the lock is held.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The file that was locked, for what is written in it.
    pub fn file(&self, path: &Path) -> Result<File> {
        match self.holder {
            None => self.fd.try_clone().context("open", path).map(File::from),
            Some(_) => open(path).map(File::from),
        }
    }

    /// Removes the file: what it locked is gone.
    pub fn retire(self, path: &Path) -> Result<()> {
        remove_tree(path)?;
        if self.holder.is_some() {
            drop(self);
            // somebody who is looking may be in it
            let _ = std::fs::remove_dir(holders::dir_of(path));
        }
        Ok(())
    }
}

/// How a directory ends where those who hold the lock beside it are named.
pub const HOLDERS: &str = ".holders";

/// Who holds a lock on another host, as far as its file tells; for a message.
pub fn held_abroad(path: &Path) -> Option<String> {
    if !by_files() {
        return None;
    }
    match holders::attempt(path, Hold::Shared) {
        Ok(Attempt::Held(Some(who))) => Some(who.shown()),
        _ => None,
    }
}

/// Answers of a filesystem, or a filter, that has no flock(2) at all.
fn is_refusal(errno: Errno) -> bool {
    [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOLCK, Errno::NOSYS].contains(&errno)
}

fn refusal(errno: Errno, path: &Path) -> Error {
    let error = Error::io("lock", path, &errno.into());
    match is_refusal(errno) {
        true => error.with_hint(
            "the store was made where flock(2) works; use it there (a local disk), or another store: --store DIR",
        ),
        false => error,
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
