//! `STORE/durable`: how much of the store has certainly reached the disk.
//!
//! Nothing that is taken in is synced by itself; one syncfs makes all of it durable at once
//! (rule 16). The file says when the last one began, by the filesystem's own clock: what
//! has not changed since survives a power cut. It names the boot it was written in, so the
//! first command after another one knows that it has to look (session/power).
//!
//! The file is replaced whole and not synced: an older one that comes back after a power cut
//! says less, which is safe; so is none, or one that cannot be read.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::store::Store;
use crate::error::{Context, Error, Result, quoted};
use crate::os::filesystem::clock_of;
use crate::os::lock::{Hold, Lock};
use crate::os::{boot, failpoint};

pub const NAME: &str = "durable";
/// Held while the file is replaced, and while what a power cut took is dealt with.
pub const LOCK: &str = "durable.lock";

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The boot that it was written in.
    pub boot: String,
    /// When the last syncfs began: seconds and nanoseconds of the store's filesystem. What
    /// has an older ctime is on the disk.
    pub since: (i64, u32),
    /// Counts the points of this store.
    pub generation: u64,
}

impl Point {
    /// The last one; `None`: there is none that can be read, and nothing is certain.
    pub fn read(store: &Path) -> Option<Self> {
        Self::look(store).ok()
    }

    /// The same, and why there is none.
    pub fn look(store: &Path) -> Result<Self> {
        let path = store.join(NAME);
        // every command asks: no more calls than it takes
        let file = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut bytes = [0; 512];
        let count = file.and_then(|file| rustix::io::read(file, &mut bytes)).context("read", &path)?;
        serde_json::from_slice(&bytes[..count])
            .map_err(|_| Error::corrupt(format!("{} is damaged", quoted(path.as_os_str()))))
    }

    /// Written in the boot that is.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot == boot::id()
    }

    /// Replaces the file; `synced`: it is on the disk when this returns. The lock is held.
    pub fn write(&self, store: &Path, synced: bool) -> Result<()> {
        self.write_by(store, &store.join(format!("{NAME}.new")), synced)
    }

    /// The first of a store that several may be making at once, without a lock.
    pub fn write_first(&self, store: &Path) -> Result<()> {
        self.write_by(store, &store.join(format!("{NAME}.{}", std::process::id())), false)
    }

    fn write_by(&self, store: &Path, half: &Path, synced: bool) -> Result<()> {
        let path = store.join(NAME);
        let write = || -> std::io::Result<()> {
            std::fs::write(half, serde_json::to_vec(self)?)?;
            if synced {
                std::fs::File::open(half)?.sync_all()?;
            }
            std::fs::rename(half, &path)?;
            if synced { std::fs::File::open(store)?.sync_all() } else { Ok(()) }
        };
        write().context("write", &path)
    }
}

/// What makes everything written to a store durable, at the cost of one syncfs.
pub struct Durable {
    store: PathBuf,
    fd: OwnedFd,
}

impl Durable {
    /// Before the writing: an error of writing that comes after is seen (syncfs(2)).
    pub fn begin(store: &Store) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(store.root(), flags, Mode::empty()).context("open", store.root())?;
        Ok(Self { store: store.root().to_path_buf(), fd })
    }

    /// After it, and before the row that names what was written.
    pub fn write_out(&self) -> Result<()> {
        let since = clock_of(&self.store);
        self.flush()?;
        failpoint::at("durable.synced").context("write out", &self.store)?;
        self.note(since)
    }

    /// The same, and the point is not recorded.
    pub fn flush(&self) -> Result<()> {
        failpoint::at("durable.sync")
            .and_then(|()| rustix::fs::syncfs(&self.fd))
            .context("write out", &self.store)
            .map_err(|error| {
                error.with_hint(
                    "nothing was sealed; the disk may be failing or full: the system's log says more",
                )
            })
    }

    /// Records the point, unless somebody has recorded a later one meanwhile.
    fn note(&self, since: (i64, u32)) -> Result<()> {
        let _alone = Lock::wait(&self.store.join(LOCK), Hold::Exclusive)?;
        let before = Point::read(&self.store).unwrap_or_default();
        if before.is_of_this_boot() && before.since > since {
            return Ok(());
        }
        Point { boot: boot::id(), since, generation: before.generation + 1 }.write(&self.store, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_noted_and_an_older_one_does_not_replace_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let first = Point::read(dir.path()).unwrap();
        assert!(first.is_of_this_boot());
        assert_eq!((first.since, first.generation), ((0, 0), 0));
        let durable = Durable::begin(&store).unwrap();
        durable.write_out().unwrap();
        let point = Point::read(dir.path()).unwrap();
        assert!(point.since > first.since && point.generation == 1);
        durable.note((1, 0)).unwrap();
        assert_eq!(Point::read(dir.path()).unwrap(), point);
        std::fs::write(dir.path().join(NAME), "").unwrap();
        assert_eq!(Point::read(dir.path()), None);
    }
}
