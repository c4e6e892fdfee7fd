//! Looking at every object: name, kind, size and mode; on request the digest, too.
//!
//! Nothing is locked: objects never change, so only one that is removed or published
//! meanwhile could be taken wrongly. Whoever calls looks again at what was found, with
//! the store's lock held shared (rule 15).

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, statat};
use rustix::io::Errno;

use super::digest::{Digest, NAME_CHARS, SHARD_CHARS};
use super::finding::{Finding, Subject, What};
use super::publish::hash;
use super::sparse;
use super::store::Store;
use super::sweep::Name;
use crate::error::{Context, Result, looked, plain};
use crate::os::crew::{self, Jobs};
use crate::os::dir::Dir;
use crate::progress::Meter;

/// A content that some tree names.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    pub digest: Digest,
    pub size: u64,
    pub sparse: bool,
}

/// Contents by the names of their objects.
pub type Wanted = HashMap<Name, Needed>;

/// How objects are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Contents are hashed.
    pub deep: bool,
    /// Lower trees link them: a mode may be that of a file that has gone since.
    pub linked: bool,
}

struct Look<'a> {
    store: &'a Store,
    wanted: &'a Wanted,
    how: How,
    meter: &'a Meter,
    found: Mutex<Vec<Finding>>,
}

impl Store {
    /// Everything that is not in order below `objects/`.
    pub fn verify_objects(&self, wanted: &Wanted, how: How, meter: &Meter) -> Result<Vec<Finding>> {
        let look = Look { store: self, wanted, how, meter, found: Mutex::default() };
        let mut by_shard: HashMap<Vec<u8>, Vec<&Needed>> = HashMap::new();
        for (name, needed) in wanted {
            by_shard.entry(name[..SHARD_CHARS].to_vec()).or_default().push(needed);
        }
        let path = self.objects_path();
        let top = Dir::open(&path)?;
        let mut shards = Vec::new();
        for name in top.names()? {
            let is_dir = top.stat_if_there(&name.name)?.is_none_or(|stat| stat.kind == FileType::Directory);
            if is_dir && is_text(name.name.to_bytes(), SHARD_CHARS) {
                shards.push(name.name);
            } else {
                look.add(stray(name.name.to_bytes(), "it is no directory of objects"));
            }
        }
        for shard in &shards {
            by_shard.entry(shard.to_bytes().to_vec()).or_default();
        }
        let work =
            |(shard, wanted): (Vec<u8>, Vec<&Needed>), _: &Jobs<_>| look.shard(&shard, wanted.as_slice());
        crew::run(&work, |lead| by_shard.into_iter().try_for_each(|job| lead.give(job)))?;
        let mut found = look.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by(|a, b| a.place.cmp(&b.place));
        Ok(found)
    }
}

impl Look<'_> {
    fn shard(&self, shard: &[u8], wanted: &[&Needed]) -> Result<()> {
        let path = self.store.objects_path().join(plain(as_name(shard)));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut seen = HashSet::new();
        match rustix::fs::openat(self.store.objects(), shard, flags, Mode::empty()) {
            Ok(fd) => {
                let dir = Dir::from_fd(fd, path);
                for name in dir.names()? {
                    self.object(&dir, shard, &name.name, &mut seen)?;
                }
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).context("open directory", path),
        }
        for needed in wanted.iter().filter(|needed| !seen.contains(&needed.digest.object_name())) {
            self.add(missing(needed));
        }
        Ok(())
    }

    fn object(&self, dir: &Dir, shard: &[u8], rest: &CStr, seen: &mut HashSet<Name>) -> Result<()> {
        let path = [shard, b"/", rest.to_bytes()].concat();
        let stat = match statat(dir, rest, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()), // removed meanwhile
            stat => stat.context("stat", dir.join(rest))?,
        };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let name: Option<Name> = [shard, rest.to_bytes()].concat().try_into().ok();
        let name = name.filter(|_| is_file && is_text(rest.to_bytes(), NAME_CHARS - SHARD_CHARS));
        let Some(name) = name else {
            self.add(stray(&path, "it is no object"));
            return Ok(());
        };
        seen.insert(name);
        let needed = self.wanted.get(&name);
        let size = stat.st_size as u64;
        self.meter.file(if self.how.deep { size } else { 0 });
        let subject = || {
            needed
                .map_or(Subject::Object(plain(as_name(&path))), |needed| Subject::Object(needed.digest.hex()))
        };
        let place = || format!("objects/{}", plain(as_name(&path)));
        if let Some(needed) = needed.filter(|needed| needed.size != size) {
            let detail = format!("it has {size} bytes instead of {}", needed.size);
            self.add(Finding::new(What::ObjectSize, subject(), place(), detail));
            return Ok(()); // its digest is another one, too
        }
        // One that shares its inode with a file of a layer, or of staging, has the file's mode (rule 11).
        let mode = stat.st_mode & 0o7777;
        let readable = mode & 0o400 != 0;
        // One that was linked read-only, by an export, may have another mode that is no weaker.
        let is_bare = mode & 0o7222 == 0 || (self.how.linked && mode & 0o7000 == 0);
        if (needed.is_some() && stat.st_nlink == 1 && !is_bare) || !readable {
            let detail = format!("it has mode {mode:04o} instead of 0444");
            self.add(Finding::new(What::ObjectMode, subject(), place(), detail));
        }
        if self.how.deep
            && let Some(detail) =
                self.content_flaw(dir, rest, (name, needed), (size, stat.st_blocks as u64))?
        {
            self.add(Finding::new(What::ObjectDigest, subject(), place(), detail));
        }
        Ok(())
    }

    /// What is wrong with the bytes of an object; `None`: nothing, or it is gone by now.
    fn content_flaw(
        &self,
        dir: &Dir,
        name: &CStr,
        (object, needed): (Name, Option<&Needed>),
        (size, blocks): (u64, u64),
    ) -> Result<Option<String>> {
        let file = match looked(dir.open_file(name))? {
            Ok(file) => file,
            Err(error) if error.is(libc::ENOENT) => return Ok(None),
            Err(error) => return Ok(Some(format!("it cannot be read: {error}"))),
        };
        let fits =
            |digest: Digest| needed.map_or(digest.object_name() == object, |needed| digest == needed.digest);
        // which kind an object is of that nothing names, only its digest tells (rule 6)
        let likely =
            needed.map_or_else(|| sparse::hole_bytes(size, blocks) > sparse::HOLE_LIMIT, |n| n.sparse);
        let kinds = if needed.is_some() { vec![likely] } else { vec![likely, !likely] };
        for kind in kinds {
            match hash(std::os::fd::AsFd::as_fd(&file), size, kind) {
                Ok(digest) if fits(digest) => return Ok(None),
                Ok(_) => {}
                Err(errno) => {
                    return Ok(Some(format!("it cannot be read: {}", std::io::Error::from(errno))));
                }
            }
        }
        Ok(Some("its content has another digest".into()))
    }

    fn add(&self, finding: Finding) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }
}

fn missing(needed: &Needed) -> Finding {
    let place = format!("objects/{}", needed.digest.object_path());
    let detail = format!("it is not there ({} bytes)", needed.size);
    Finding::new(What::ObjectMissing, Subject::Object(needed.digest.hex()), place, detail)
}

fn stray(path: &[u8], detail: &str) -> Finding {
    let path = [b"objects/", path].concat();
    Finding::new(What::Stray, Subject::File(path.clone()), plain(as_name(&path)), detail)
}

/// So many characters of base64url.
fn is_text(name: &[u8], length: usize) -> bool {
    name.len() == length && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

fn as_name(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn each_flaw_of_an_object_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let token = store.publishing().unwrap();
        let mut wanted = Wanted::new();
        let mut path_of = |text: &[u8]| {
            let stored = store.publish_bytes(&token, text).unwrap();
            let needed = Needed { digest: stored.digest, size: stored.size, sparse: false };
            wanted.insert(stored.digest.object_name(), needed);
            store.objects_path().join(stored.digest.object_path())
        };
        let [good, missing, short, other, mode] =
            [&b"good"[..], b"missing", b"short", b"other", b"mode"].map(&mut path_of);
        let unneeded = store.publish_bytes(&token, b"nobody needs it").unwrap().digest;
        let look = |deep| {
            let found =
                store.verify_objects(&wanted, How { deep, linked: false }, &Meter::default()).unwrap();
            let mut words: Vec<_> = found.into_iter().map(|finding| finding.what).collect();
            words.sort();
            words
        };
        assert_eq!(look(true), []);
        let set = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let write = |path: &std::path::Path, text: &str| {
            set(path, 0o644);
            std::fs::write(path, text).unwrap();
            set(path, 0o444);
        };
        std::fs::remove_file(missing).unwrap();
        write(&short, "shor");
        write(&other, "OTHER");
        write(&store.objects_path().join(unneeded.object_path()), "somebody changed");
        set(&mode, 0o640);
        std::fs::write(store.objects_path().join("stray"), "").unwrap();
        std::fs::create_dir(good.with_file_name("no-object")).unwrap();
        let shallow =
            [What::ObjectMissing, What::ObjectSize, What::ObjectMode, What::Stray, What::Stray].to_vec();
        assert_eq!(look(false), shallow);
        let mut deep = shallow;
        deep.splice(2..2, [What::ObjectDigest, What::ObjectDigest]);
        assert_eq!(look(true), deep);
    }
}
