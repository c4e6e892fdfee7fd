//! After a power cut: objects that changed since the last durable point, by their digest.
//!
//! The name of an object may be on the disk without its bytes (rule 16: almost half of those
//! that were not synced had no bytes after a cut), and whoever publishes the same content
//! would trust it.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, statat};

use super::publish::hash;
use super::sparse;
use super::store::Store;
use super::sweep::{Name, name_of};
use crate::error::{Context, Result};
use crate::os::crew::{self, Jobs};
use crate::os::dir::{Dir, stat_fd};

/// What was looked at, and what is no good.
#[derive(Debug, Default)]
pub struct Young {
    /// Objects whose bytes were read.
    pub read: usize,
    /// Those whose bytes are not what their name says.
    pub damaged: Vec<Name>,
}

impl Store {
    /// Reads the objects whose ctime is not older than `since`, and all that are empty.
    /// Nobody publishes meanwhile. A sound one that has the mode of a file that is gone gets
    /// an object's.
    pub fn young_objects(&self, since: (i64, u32)) -> Result<Young> {
        let young = Mutex::new(Young::default());
        let work = |shard: String, _: &Jobs<String>| self.young_in(&shard, since, &young);
        let shards = self.shards()?;
        crew::run(&work, |lead| shards.into_iter().try_for_each(|shard| lead.give(shard)))?;
        Ok(young.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn young_in(&self, shard: &str, since: (i64, u32), young: &Mutex<Young>) -> Result<()> {
        let path = self.objects_path().join(shard);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.objects(), shard, flags, Mode::empty()).context("open", &path)?;
        let dir = Dir::from_fd(fd, path);
        for entry in dir.names()? {
            let Some(name) = name_of(shard, &entry.name) else { continue };
            let stat = statat(&dir, &*entry.name, AtFlags::SYMLINK_NOFOLLOW)
                .context("stat", dir.join(&entry.name))?;
            let ctime = (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0));
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
                || ctime < since && stat.st_size > 0
            {
                continue;
            }
            let sound = is_sound(&dir, &entry.name, &name)?;
            let mut young = young.lock().unwrap_or_else(PoisonError::into_inner);
            young.read += 1;
            if !sound {
                young.damaged.push(name);
            } else if stat.st_nlink == 1 && stat.st_mode & 0o7777 != 0o444 {
                let mode = Mode::from_raw_mode(0o444);
                rustix::fs::chmodat(&dir, &*entry.name, mode, AtFlags::empty())
                    .context("chmod", dir.join(&entry.name))?;
            }
        }
        Ok(())
    }
}

/// Which kind an object is of, only its digest tells (rule 6). What cannot be read is not
/// sound: the disk may have lost it.
fn is_sound(dir: &Dir, name: &CStr, object: &Name) -> Result<bool> {
    let file = match dir.open_file(name) {
        Ok(file) => file,
        Err(error) if error.is(libc::EIO) => return Ok(false),
        Err(error) => return Err(error),
    };
    let stat = stat_fd(&file).context("stat", dir.join(name))?;
    let likely = sparse::hole_bytes(stat.size, stat.blocks) > sparse::HOLE_LIMIT;
    let fits = |kind| hash(file.as_fd(), stat.size, kind).is_ok_and(|is| is.object_name() == *object);
    Ok(stat.size > 0 && (fits(likely) || fits(!likely)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::filesystem::clock_of;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_is_young_is_read_and_what_is_damaged_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let token = store.publishing().unwrap();
        let old = store.publish_bytes(&token, b"old").unwrap().digest;
        std::thread::sleep(std::time::Duration::from_millis(20));
        let since = clock_of(dir.path());
        let bad = store.publish_bytes(&token, b"bad").unwrap().digest;
        store.publish_bytes(&token, b"good").unwrap();
        let path = store.objects_path().join(bad.object_path());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, "\0\0\0").unwrap();
        let young = store.young_objects(since).unwrap();
        assert_eq!((young.read, young.damaged), (2, vec![bad.object_name()]));
        assert_eq!(store.young_objects((0, 0)).unwrap().read, 3);
        // an empty one is damaged, however old it says it is
        let path = store.objects_path().join(old.object_path());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, "").unwrap();
        let later = (i64::MAX, 0);
        assert_eq!(store.young_objects(later).unwrap().damaged, [old.object_name()]);
    }
}
