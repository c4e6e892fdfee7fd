//! Removing objects that nothing names, shard by shard.
//!
//! A shard is looked through without a lock; only to remove is the store's lock taken, so
//! that nobody is between finding an object and committing the row that names it
//! (rule 15). Age is ctime: linking an object, or a layer's end, makes it young again.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, statat, unlinkat};
use rustix::io::Errno;

use super::digest::{Digest, NAME_CHARS, SHARD_CHARS};
use super::helper;
use super::protect::explained;
use super::store::Store;
use crate::error::{Context, Error, Kind, Result};
use crate::os::failpoint;
use crate::os::immutable::lifted;
use crate::os::lock::{Hold, Lock};

/// The name of an object without its slash.
pub type Name = [u8; NAME_CHARS];

/// An object that nothing named when its shard was looked through.
#[derive(Clone, Copy, Debug)]
pub struct Garbage {
    pub name: Name,
    /// Bytes on disk that its removal frees; 0 while another name has the same inode.
    pub bytes: u64,
}

/// Proof that nobody publishes.
pub struct Sweeping {
    _lock: Lock,
}

/// From so many bytes on an object's blocks are given back later.
const LARGE: u64 = 16 << 20;
/// How long the lock is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

impl Store {
    /// The directories that hold objects.
    pub fn shards(&self) -> Result<Vec<String>> {
        let path = self.objects_path();
        let mut shards = Vec::new();
        for entry in std::fs::read_dir(&path).context("read", &path)? {
            let name = entry.context("read", &path)?.file_name().into_string();
            shards.extend(name.ok().filter(|name| name.len() == SHARD_CHARS));
        }
        shards.sort_unstable();
        Ok(shards)
    }

    /// The objects of a shard that are not kept and whose inode has not changed for
    /// `grace`. What is no object is passed over.
    pub fn garbage(&self, shard: &str, kept: &HashSet<Name>, grace: Duration) -> Result<Vec<Garbage>> {
        let path = self.objects_path().join(shard);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(self.objects(), shard, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            dir => dir.context("open", &path)?,
        };
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let oldest_young = since.saturating_sub(grace).as_secs();
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&dir).context("read", &path)? {
            let entry = entry.context("read", &path)?;
            let Some(name) = name_of(shard, entry.file_name()) else { continue };
            if kept.contains(&name) {
                continue;
            }
            let stat = match statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat.context("stat an object in", &path)?,
            };
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            // a clock that was set back makes objects of the future: they count as young
            let is_old = grace.is_zero() || u64::try_from(stat.st_ctime).unwrap_or(0) < oldest_young;
            if is_file && is_old {
                let bytes = if stat.st_nlink > 1 { 0 } else { stat.st_blocks as u64 * 512 };
                found.push(Garbage { name, bytes });
            }
        }
        Ok(found)
    }

    /// Keeps everybody from publishing while what this returns lives; for moments only.
    ///
    /// # Errors
    /// `Busy` when others publish without a pause for half a minute.
    pub fn sweeping(&self) -> Result<Sweeping> {
        let path = self.root().join("lock");
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(lock) = Lock::attempt(&path, Hold::Exclusive)? {
                return Ok(Sweeping { _lock: lock });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(Error::new(Kind::Busy, "other commands have been storing files all the time")
            .with_hint("what was found is still there; run vrift gc again later"))
    }

    /// Removes an object; not there is fine. Of a large one a descriptor is left: giving its
    /// blocks back takes a while, and is done when that is closed.
    pub fn remove_object(&self, _token: &Sweeping, object: &Garbage) -> Result<Option<OwnedFd>> {
        let (shard, rest) = object.name.split_at(SHARD_CHARS);
        let path = [shard, b"/", rest].concat();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let large = (object.bytes > LARGE)
            .then(|| rustix::fs::openat(self.objects(), path.as_slice(), flags, Mode::empty()).ok())
            .flatten();
        let shown = || self.objects_path().join(String::from_utf8_lossy(&path).as_ref());
        let unlink = || unlinkat(self.objects(), path.as_slice(), AtFlags::empty());
        let done = match CString::new(path.clone()).map(|name| lifted(self.objects(), &name, unlink)) {
            Ok(Err(Errno::PERM)) if helper::clear(&shown()) => unlink(),
            Ok(done) => done,
            Err(_) => unlink(),
        };
        match done {
            Ok(()) | Err(Errno::NOENT) => failpoint::at("object.removed").map(|()| large),
            Err(errno) => Err(errno),
        }
        .context("remove object", shown())
        .map_err(|error| explained(error, &shown()))
    }
}

impl Digest {
    /// The name of its object, without the slash.
    pub fn object_name(&self) -> Name {
        let mut name = [0; NAME_CHARS];
        let path = self.object_path();
        let bytes = path.bytes().filter(|byte| *byte != b'/');
        name.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        name
    }
}

pub(super) fn name_of(shard: &str, rest: &CStr) -> Option<Name> {
    [shard.as_bytes(), rest.to_bytes()].concat().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_kept_and_not_young_is_garbage() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let token = store.publishing().unwrap();
        let [kept, gone] = [b"kept", b"gone"].map(|text| store.publish_bytes(&token, text).unwrap().digest);
        drop(token);
        std::fs::write(store.objects_path().join("no object"), "").unwrap();
        let names = HashSet::from([kept.object_name()]);
        let found = |grace: u64| -> Vec<Name> {
            let shards = store.shards().unwrap();
            let look = |shard: &String| store.garbage(shard, &names, Duration::from_secs(grace)).unwrap();
            shards.iter().flat_map(look).map(|garbage| garbage.name).collect()
        };
        assert!(found(3600).is_empty());
        assert_eq!(found(0), [gone.object_name()]);
        let sweeping = store.sweeping().unwrap();
        let large = Garbage { name: gone.object_name(), bytes: LARGE + 1 };
        assert!(store.remove_object(&sweeping, &large).unwrap().is_some());
        assert!(store.remove_object(&sweeping, &large).unwrap().is_none());
        assert!(store.open_object(&gone).is_err() && store.open_object(&kept).is_ok());
    }
}
