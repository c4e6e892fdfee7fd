//! A store on disk: finding it, making it, its lock, opening objects.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::digest::{Digest, SHARD_CHARS};
use super::durable::Point;
use super::format::{self, Permits};
use super::sweep::Name;
use crate::error::{Context, Error, Result};
use crate::os::lock::{self, Hold, Lock};
use crate::os::mkdir;
use crate::os::{boot, failpoint};

/// An open store.
pub struct Store {
    root: PathBuf,
    objects: OwnedFd,
    reads_only: bool,
}

/// Proof that the store's lock is held shared: objects looked up or published
/// while it lives are not swept (rule 15).
pub struct Publishing {
    _lock: Lock,
}

impl Store {
    /// Opens the store at `root`, making it when nothing is there yet.
    pub fn open_or_create(root: &Path) -> Result<Self> {
        match Self::open(root)? {
            Some(store) => Ok(store),
            None => {
                create(root)?;
                let store = Self::open(root)?.ok_or_else(|| {
                    Error::failure(format!("the store `{}` vanished while it was made", root.display()))
                })?;
                store.keep_reserve();
                Ok(store)
            }
        }
    }

    /// Opens the store at `root`; `None` when there is none.
    ///
    /// # Errors
    /// For one of a newer format too, even if this build may read it.
    pub fn open(root: &Path) -> Result<Option<Self>> {
        match Self::open_as_permitted(root)? {
            Some((_, Permits::Reading(why))) => Err(why),
            Some((store, Permits::Writing)) => Ok(Some(store)),
            None => Ok(None),
        }
    }

    /// The same for who will not write.
    pub fn open_to_read(root: &Path) -> Result<Option<Self>> {
        let opened = Self::open_as_permitted(root)?;
        Ok(opened
            .map(|(store, permits)| Self { reads_only: matches!(permits, Permits::Reading(_)), ..store }))
    }

    fn open_as_permitted(root: &Path) -> Result<Option<(Self, Permits)>> {
        let path = root.join(format::NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, &error).with_hint(ELSEWHERE)),
        };
        let (permits, lock_files) = format::check(&text, &path)?;
        if lock_files {
            lock::use_files();
        }
        let objects = root.join("objects");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&objects, flags, Mode::empty()).context("open", &objects)?;
        Ok(Some((Self { root: root.to_path_buf(), objects: fd, reads_only: false }, permits)))
    }

    /// This build must not change anything in it: its format is newer.
    pub fn reads_only(&self) -> bool {
        self.reads_only
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn objects_path(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// Where the object of a name is.
    pub fn object_path_of(&self, name: &Name) -> PathBuf {
        let name = String::from_utf8_lossy(name);
        let (shard, rest) = name.split_at_checked(SHARD_CHARS).unwrap_or((&name, ""));
        self.objects_path().join(shard).join(rest)
    }

    pub(super) fn objects(&self) -> BorrowedFd<'_> {
        self.objects.as_fd()
    }

    pub fn projects_path(&self) -> PathBuf {
        self.root.join("projects")
    }

    /// Takes the store's lock shared; waits while a sweep of one shard holds it.
    pub fn publishing(&self) -> Result<Publishing> {
        Ok(Publishing { _lock: Lock::wait(&self.root.join("lock"), Hold::Shared)? })
    }

    /// Opens an object for reading. A missing one is a `Corrupt` error that names it.
    pub fn open_object(&self, digest: &Digest) -> Result<OwnedFd> {
        let name = digest.object_path();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.objects, name.as_str(), flags, Mode::empty()) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT) => Err(Error::corrupt(format!("object {digest} is missing from the store"))),
            Err(errno) => Err(errno).context("open object", self.objects_path().join(name)),
        }
    }
}

const ELSEWHERE: &str = "choose a directory you can write with --store DIR or VRIFT_STORE";

/// Lays a new store out; `format.json` comes last, so a half-made one is made again.
fn create(root: &Path) -> Result<()> {
    // one that somebody made for us is for nobody else either; what lies in it already may be
    if std::fs::read_dir(root).is_ok_and(|mut there| there.next().is_none()) {
        rustix::fs::chmod(root, Mode::RWXU).context("make private", root)?;
    }
    for name in ["", "objects", "projects", "psfs"] {
        mkdir::private(&root.join(name)).map_err(|error| error.with_hint(ELSEWHERE))?;
    }
    // Backups without xattrs would turn stubs into zeros (rule 20).
    let tag =
        "Signature: 8a477f597d28d172789f06886806bc55\n# Lower trees and staging of vrift: not for backups.\n";
    let path = root.join("projects/CACHEDIR.TAG");
    std::fs::write(&path, tag).context("write", &path)?;
    failpoint::at("store.laid").context("write", &path)?;
    let half = root.join(format!("{}.{}", format::NAME, std::process::id()));
    let lock_files = lock::refused_in(&root.join("lock"))?.is_some();
    let text = format::initial(lock_files);
    // synced: without it a power cut could leave one that is empty, which nobody would read
    let write = || std::fs::write(&half, text).and_then(|()| std::fs::File::open(&half)?.sync_all());
    write().context("write", &half)?;
    if Point::read(root).is_none() {
        Point { boot: boot::id(), ..Point::default() }.write_first(root)?;
    }
    let path = root.join(format::NAME);
    failpoint::at("store.format").context("write", &path)?;
    std::fs::rename(&half, &path).context("write", &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_store_is_made_once_private_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/store");
        assert!(Store::open(&root).unwrap().is_none());
        Store::open_or_create(&root).unwrap();
        assert_eq!(root.metadata().unwrap().mode() & 0o777, 0o700);
        assert!(Store::open(&root).unwrap().is_some());
    }

    #[test]
    fn a_missing_object_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let digest = Digest::of(b"never stored");
        assert!(store.open_object(&digest).unwrap_err().to_string().contains(&digest.hex()));
    }
}
