//! The one writer of objects.
//!
//! A file of the host is copied into an unnamed temporary file first and hashed
//! there when it is large, so that digest and bytes always belong together even
//! while somebody writes to the source. A staged file is ours alone: it is hashed
//! where it lies and linked.

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::copy::{copy, write_all};
use super::digest::Digest;
use super::sparse;
use super::store::{Publishing, Store};
use super::stream;
use crate::error::{Context, Error, Result};
use crate::os::failpoint;
use crate::os::link::link_unnamed;
use crate::os::lock;

/// Up to this many bytes a file is read into memory in one go.
const SMALL: u64 = 1 << 20;
/// From this many bytes on hashing uses every core.
const PARALLEL: u64 = 8 << 20;

/// What an object keeps of the file it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// Its mode, as far as an object may have it: a lower tree will link it.
    Mode,
}

/// What a content is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub digest: Digest,
    /// Bytes, holes included.
    pub size: u64,
    pub sparse: bool,
    /// The store did not have it before.
    pub new: bool,
}

impl Store {
    /// Stores a byte string.
    pub fn publish_bytes(&self, token: &Publishing, bytes: &[u8]) -> Result<Stored> {
        let digest = Digest::of(bytes);
        let size = bytes.len() as u64;
        let stored = Stored { digest, size, sparse: false, new: false };
        if self.has(token, &digest, size)? {
            return Ok(stored);
        }
        let temporary = self.temporary()?;
        write_all(&temporary, bytes, 0).context("write object in", self.root())?;
        Ok(Stored { new: self.link_temporary(&temporary, &digest, size)?, ..stored })
    }

    /// Stores what an open file of the host holds now; the source may change meanwhile:
    /// what is stored is what was read. `path` is for messages; `size` and `blocks`
    /// are those of a stat just made.
    pub fn publish_copy(
        &self,
        token: &Publishing,
        source: BorrowedFd<'_>,
        (size, blocks): (u64, u64),
        path: &Path,
    ) -> Result<Stored> {
        if size <= SMALL && sparse::hole_bytes(size, blocks) < sparse::BLOCK as u64 {
            return with_small(source, size, |bytes| self.publish_bytes(token, bytes))
                .context("read", path)?;
        }
        let temporary = self.temporary()?;
        let size = copy(source, &temporary, size, blocks)
            .map_err(|errno| Error::io("copy into the store", path, &errno.into()))?;
        let sparse = sparse::hole_bytes(size, blocks) > sparse::HOLE_LIMIT;
        let digest = hash(temporary.as_fd(), size, sparse).context("hash the copy of", path)?;
        let new = !self.has(token, &digest, size)? && self.link_temporary(&temporary, &digest, size)?;
        Ok(Stored { digest, size, sparse, new })
    }

    /// What a large file of the host is stored as, where the store has its content: nothing is
    /// copied to find that out. `None`: it has not, or the file is small or mostly hole. What
    /// was read is what is stored, as in [`Store::publish_copy`].
    pub fn find_content(
        &self,
        token: &Publishing,
        source: BorrowedFd<'_>,
        (size, blocks): (u64, u64),
        path: &Path,
    ) -> Result<Option<Stored>> {
        if size <= SMALL || sparse::hole_bytes(size, blocks) >= sparse::BLOCK as u64 {
            return Ok(None);
        }
        let (digest, size) = stream::hash(source).context("hash", path)?;
        let stored = Stored { digest, size, sparse: false, new: false };
        Ok(self.has(token, &digest, size)?.then_some(stored))
    }

    /// Stores a file of a closed session by linking it: nobody else has it open
    /// (rule 2), so nothing is copied. The object keeps the file's own mode and
    /// xattrs until [`Store::settle`].
    pub fn publish_staged(
        &self,
        token: &Publishing,
        (dir, name): (BorrowedFd<'_>, &CStr),
        file: BorrowedFd<'_>,
        (size, blocks): (u64, u64),
        path: &Path,
    ) -> Result<Stored> {
        let stored = self.hash_staged(file, (size, blocks), path)?;
        let digest = stored.digest;
        if size == 0 || self.has(token, &digest, size)? {
            return Ok(stored);
        }
        let new = self.name_object(&digest, size, |objects, object| {
            rustix::fs::linkat(dir, name, objects, object, AtFlags::empty())
        })?;
        Ok(Stored { new, ..stored })
    }

    /// What [`Store::publish_staged`] would store, without storing it.
    pub fn hash_staged(
        &self,
        file: BorrowedFd<'_>,
        (size, blocks): (u64, u64),
        path: &Path,
    ) -> Result<Stored> {
        let sparse = sparse::hole_bytes(size, blocks) > sparse::HOLE_LIMIT;
        let digest = hash(file, size, sparse).context("hash", path)?;
        Ok(Stored { digest, size, sparse, new: false })
    }

    /// Whether the object is this inode of the store's filesystem.
    pub fn is_object(&self, digest: &Digest, ino: u64) -> Result<bool> {
        let name = digest.object_path();
        match rustix::fs::statat(self.objects(), name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stat.st_ino == ino),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno).context("look for object", self.objects_path().join(name)),
        }
    }

    /// Gives an object that was linked from staging the mode and the bareness of an
    /// object: 0444, or its own where a tree is to link it; no xattrs. After the commit only
    /// (rule 1); may be repeated. One with more than `names` names is left as it is: a lower
    /// tree may have come to share it, which it did because it was right for that one.
    pub fn settle(&self, digest: &Digest, names: u64, keep: Keep) -> Result<()> {
        let fd = self.open_object(digest)?;
        // whoever links it into a tree holds this; where it is refused nobody links
        while !lock::by_files()
            && let Err(errno) = flock(&fd, FlockOperation::LockExclusive)
        {
            if errno != Errno::INTR {
                return Err(errno).context("lock", self.objects_path().join(digest.object_path()));
            }
        }
        let stat = rustix::fs::fstat(&fd).context("stat", self.objects_path().join(digest.object_path()))?;
        #[allow(clippy::useless_conversion)] // its width differs between machines
        if u64::from(stat.st_nlink) > names {
            return Ok(());
        }
        let path = || self.objects_path().join(digest.object_path());
        crate::os::immutable::clear(&fd);
        for name in crate::os::xattr::list(&fd).context("list xattrs of", path())? {
            let bytes = name.to_bytes();
            if bytes.starts_with(b"user.") || bytes.starts_with(b"system.posix_acl_") {
                crate::os::xattr::remove(&fd, &name).context("remove xattr of", path())?;
            }
        }
        let mode = stat.st_mode & 0o7777;
        if keep == Keep::Mode && mode & !0o777 == 0 && mode & 0o400 != 0 {
            return Ok(());
        }
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o444)).context("chmod", path())?;
        failpoint::at("object.settled").context("chmod", path())
    }

    /// Whether the object is there with the right size. One of another size is never
    /// trusted and never overwritten: it is reported.
    pub fn has(&self, _token: &Publishing, digest: &Digest, size: u64) -> Result<bool> {
        let name = digest.object_path();
        match rustix::fs::statat(self.objects(), name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_size as u64 == size && is_regular(stat.st_mode) => Ok(true),
            Ok(_) => Err(self.wrong_size(digest)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno).context("look for object", self.objects_path().join(name)),
        }
    }

    fn wrong_size(&self, digest: &Digest) -> Error {
        let path = self.objects_path().join(digest.object_path());
        Error::corrupt(format!("object `{}` has another size than its content", path.display()))
            .with_hint("the object was damaged after it was stored; move it away and run the command again")
    }

    pub(super) fn temporary(&self) -> Result<OwnedFd> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::openat(self.objects(), ".", flags, Mode::from_raw_mode(0o444))
            .context("make a temporary object in", self.objects_path())
    }

    pub(super) fn link_temporary(&self, file: &OwnedFd, digest: &Digest, size: u64) -> Result<bool> {
        self.name_object(digest, size, |objects, object| link_unnamed(file.as_fd(), objects, object))
    }

    /// Runs `link`, making the shard's directory when it is not there. True when the
    /// name is new; false when somebody else published the same content first.
    fn name_object(
        &self,
        digest: &Digest,
        size: u64,
        link: impl Fn(BorrowedFd<'_>, &str) -> Result<(), Errno>,
    ) -> Result<bool> {
        let name = digest.object_path();
        let path = || self.objects_path().join(&name);
        failpoint::at("object.link").context("publish object", path())?;
        let mut outcome = link(self.objects(), &name);
        if outcome == Err(Errno::NOENT) {
            match rustix::fs::mkdirat(self.objects(), &name[..2], Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).context("make shard for object", path()),
            }
            outcome = link(self.objects(), &name);
        }
        match outcome {
            Ok(()) => failpoint::at("object.linked").context("publish object", path()).map(|()| true),
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(self.objects(), name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
                    .context("look at object", path())?;
                if stat.st_size as u64 == size { Ok(false) } else { Err(self.wrong_size(digest)) }
            }
            Err(errno) => Err(errno).context("publish object", path()),
        }
    }
}

fn is_regular(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile
}

/// Reads a small file whole, into memory that this thread uses again; it may have grown or
/// shrunk since its stat. One read that brings as much as the stat said is all of it: what a
/// file has grown by since is for whoever compares its stat before and after.
fn with_small<T>(fd: BorrowedFd<'_>, size: u64, then: impl FnOnce(&[u8]) -> T) -> Result<T, Errno> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    BUFFER.with_borrow_mut(|buffer| {
        let (size, mut done) = (size as usize, 0);
        loop {
            if buffer.len() <= size.max(done) {
                buffer.resize((size.max(done) + 1).next_power_of_two(), 0);
            }
            match rustix::io::pread(fd, &mut buffer[done..], done as u64) {
                Ok(0) => break,
                Ok(got) => done += got,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            if done == size {
                break;
            }
        }
        Ok(then(&buffer[..done]))
    })
}

/// Hashes a file that nobody writes to: one of ours.
pub fn hash(fd: BorrowedFd<'_>, size: u64, sparse: bool) -> Result<Digest, Errno> {
    if sparse {
        return sparse::digest(fd, size);
    }
    if size <= SMALL {
        return with_small(fd, size, Digest::of);
    }
    let mut hasher = blake3::Hasher::new();
    let file = File::from(fd.try_clone_to_owned().map_err(|_| Errno::MFILE)?);
    map_and_hash(&mut hasher, &file, size)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(hasher.finalize().into())
}

/// Large files are mapped; from [`PARALLEL`] bytes on by a pool of this call's own
/// (never rayon's global one: processes fork here).
#[allow(unsafe_code)]
fn map_and_hash(hasher: &mut blake3::Hasher, file: &File, size: u64) -> std::io::Result<()> {
    // SAFETY: the file is an unnamed temporary of ours or a staged file of a session
    // whose end was confirmed; nobody truncates or writes it while it is mapped.
    let map = unsafe { memmap2::Mmap::map(file)? };
    let _ = map.advise(memmap2::Advice::Sequential);
    if size < PARALLEL {
        hasher.update(&map);
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().build().map_err(std::io::Error::other)?;
    pool.install(|| hasher.update_rayon(&map));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::atomic::Ordering;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&dir.path().join("store")).unwrap();
        (dir, store)
    }

    fn content(store: &Store, digest: &Digest) -> Vec<u8> {
        let mut bytes = Vec::new();
        File::from(store.open_object(digest).unwrap()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn bytes_are_stored_once_read_only() {
        let (_dir, store) = store();
        let token = store.publishing().unwrap();
        let first = store.publish_bytes(&token, b"hello").unwrap();
        let second = store.publish_bytes(&token, b"hello").unwrap();
        assert!(first.new && !second.new);
        assert_eq!(content(&store, &first.digest), b"hello");
        let path = store.objects_path().join(first.digest.object_path());
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o444);
    }

    #[test]
    fn an_object_of_another_size_is_reported_not_trusted() {
        let (_dir, store) = store();
        let token = store.publishing().unwrap();
        let stored = store.publish_bytes(&token, b"hello").unwrap();
        let path = store.objects_path().join(stored.digest.object_path());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, b"hell").unwrap();
        assert!(store.publish_bytes(&token, b"hello").is_err());
    }

    #[test]
    fn a_copy_has_the_digest_of_its_bytes_and_keeps_holes() {
        let (dir, store) = store();
        let token = store.publishing().unwrap();
        for size in [0u64, 1, 65536, SMALL, SMALL + 1, PARALLEL + 3] {
            let path = dir.path().join("source");
            let mut file = File::create(&path).unwrap();
            file.write_all(&b"data"[..4.min(size as usize)]).unwrap();
            file.set_len(size).unwrap();
            let file = File::open(&path).unwrap();
            let blocks = file.metadata().unwrap().blocks();
            let stored = store.publish_copy(&token, file.as_fd(), (size, blocks), &path).unwrap();
            assert_eq!(stored.digest, Digest::of(&std::fs::read(&path).unwrap()));
            assert_eq!(stored.size, size);
            if size > 8192 {
                let object = store.objects_path().join(stored.digest.object_path());
                assert!(object.metadata().unwrap().blocks() <= blocks);
            }
        }
    }

    #[test]
    fn a_large_file_that_is_stored_is_found_without_a_copy() {
        let (dir, store) = store();
        let token = store.publishing().unwrap();
        let path = dir.path().join("source");
        for (bytes, is_there) in [(vec![7u8; 3 << 20], true), (vec![8u8; 3 << 20], false)] {
            std::fs::write(&path, &bytes).unwrap();
            let file = File::open(&path).unwrap();
            let extent = (bytes.len() as u64, file.metadata().unwrap().blocks());
            if is_there {
                store.publish_copy(&token, file.as_fd(), extent, &path).unwrap();
            }
            let found = store.find_content(&token, file.as_fd(), extent, &path).unwrap();
            assert_eq!(found.map(|found| found.digest), is_there.then(|| Digest::of(&bytes)));
        }
    }

    #[test]
    fn a_staged_file_is_linked_and_settled_later() {
        let (dir, store) = store();
        let token = store.publishing().unwrap();
        let path = dir.path().join("store/out");
        std::fs::write(&path, b"result").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let parent = File::open(dir.path().join("store")).unwrap();
        let file = File::open(&path).unwrap();
        let stored =
            store.publish_staged(&token, (parent.as_fd(), c"out"), file.as_fd(), (6, 8), &path).unwrap();
        let object = store.objects_path().join(stored.digest.object_path());
        assert_eq!(object.metadata().unwrap().ino(), path.metadata().unwrap().ino());
        store.settle(&stored.digest, 1, Keep::Nothing).unwrap();
        store.settle(&stored.digest, 2, Keep::Mode).unwrap();
        assert_eq!(object.metadata().unwrap().mode() & 0o7777, 0o600);
        store.settle(&stored.digest, 2, Keep::Nothing).unwrap();
        store.settle(&stored.digest, 2, Keep::Nothing).unwrap();
        assert_eq!(object.metadata().unwrap().mode() & 0o7777, 0o444);
    }

    #[test]
    fn sixteen_threads_publish_the_same_contents_once() {
        let (_dir, store) = store();
        let new = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let token = store.publishing().unwrap();
                    for number in 0..50u32 {
                        let stored = store.publish_bytes(&token, &number.to_le_bytes()).unwrap();
                        new.fetch_add(usize::from(stored.new), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(new.into_inner(), 50);
    }
}
