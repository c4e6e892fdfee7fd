//! Keeping objects from being changed by their owner, too: by chattr +i where that is
//! permitted, by fs-verity where the filesystem has it. Without either, an object is
//! a file of mode 0444 in a directory of mode 0700.
//!
//! An immutable file can be neither removed nor linked, and a lower tree's file that is one
//! can not be written through the overlay (tried on Linux 6.18). So the flag is set only on an object
//! that has no other name, or none but in trees of what is declared not to change ([`MARK`]); under
//! the inode's flock, which whoever links an object holds. It is lifted to remove an object,
//! to set a damaged one aside, and to link one to a further tree of that kind.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, statat};
use rustix::io::Errno;

use super::digest::SHARD_CHARS;
use super::helper;
use super::store::Store;
use crate::config::protect::Method;
use crate::error::{Context, Error, Result};
use crate::os::{immutable, verity, xattr};

/// On an object that only trees of what is declared not to change may link. The overlay
/// does not show it (`user.overlay.*` is its own).
pub const MARK: &CStr = c"user.overlay.vrift";

/// After this the kernel has written a file out (dirty_expire_centisecs, and some more).
const YOUNG: i64 = 60;

/// What objects are protected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// By this process's CAP_LINUX_IMMUTABLE.
    Immutable,
    /// By the program beside this one that has it.
    Helper(PathBuf),
    Verity,
}

impl Means {
    /// As `doctor` calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Means::Immutable => "chattr +i",
            Means::Helper(_) => "chattr +i, by vrift-immutable",
            Means::Verity => "fs-verity",
        }
    }

    /// Whether it is worth trying.
    pub fn may_work(by: &[Method]) -> bool {
        let capable = || caps::has_cap(None, CapSet::Effective, Capability::CAP_LINUX_IMMUTABLE);
        by.iter().any(|method| match method {
            Method::Immutable => capable().unwrap_or(false) || helper::find().is_some(),
            Method::Verity => true,
        })
    }

    /// The strongest of these that works in a directory, where it is tried on a file without a
    /// name (rule 20), and why those before it do not.
    pub fn find(dir: &Path, by: &[Method]) -> (Option<Self>, Vec<String>) {
        let mut why = Vec::new();
        for method in by {
            let tried = match method {
                Method::Immutable => {
                    flag(dir).map(|()| Means::Immutable).or_else(|errno| match helper::find() {
                        Some(program) => helper::attempt(&program, dir)
                            .map(|()| Means::Helper(program))
                            .map_err(|error| format!("chattr +i: {error}")),
                        None => Err(format!("chattr +i: {}", said(errno))),
                    })
                }
                Method::Verity => measure(dir)
                    .map(|()| Means::Verity)
                    .map_err(|errno| format!("fs-verity: {}", said(errno))),
            };
            match tried {
                Ok(means) => return (Some(means), why),
                Err(text) => why.push(text),
            }
        }
        (None, why)
    }
}

fn said(errno: Errno) -> String {
    match errno {
        Errno::PERM | Errno::ACCESS => "it needs CAP_LINUX_IMMUTABLE in the first user namespace".into(),
        Errno::OPNOTSUPP | Errno::NOTTY => "this filesystem, or this kernel, has no such thing".into(),
        errno => std::io::Error::from(errno).to_string(),
    }
}

fn scratch(dir: &Path, mode: Mode) -> Result<OwnedFd, Errno> {
    rustix::fs::open(dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode)
}

/// Set and cleared.
pub(super) fn flag(dir: &Path) -> Result<(), Errno> {
    let file = scratch(dir, Mode::RUSR | Mode::WUSR)?;
    immutable::set(&file)?;
    if immutable::clear(&file) { Ok(()) } else { Err(Errno::PERM) }
}

/// Nobody may have the file open for writing, so it is opened anew by its link in /proc.
fn measure(dir: &Path) -> Result<(), Errno> {
    let file = scratch(dir, Mode::RUSR | Mode::WUSR)?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let again = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    drop(file);
    verity::enable(&again)
}

/// Sets the flag on an object that may have it; true when it was not set before. `alone`: not
/// even marked ones may have another name.
pub(super) fn make_immutable(file: &OwnedFd, alone: bool) -> Result<bool, Errno> {
    if immutable::is_set(file) {
        return Ok(false);
    }
    lock(file)?;
    let stat = fstat(file)?;
    let shared = stat.st_nlink != 1 && (alone || xattr::get(file, MARK)?.is_none());
    let is_object = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_mode & 0o222 == 0
        && stat.st_size > 0;
    if shared || !is_object {
        return Ok(false);
    }
    immutable::set(file).map(|()| true)
}

/// Whoever gives an object a mode or another name holds this.
fn lock(file: impl AsFd) -> Result<(), Errno> {
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// A file of many holes would be read as a whole, so it is left out.
fn make_verified(file: &OwnedFd) -> Result<bool, Errno> {
    lock(file)?;
    let stat = fstat(file)?;
    if stat.st_size == 0 || super::sparse::hole_bytes(stat.st_size as u64, stat.st_blocks as u64) > HOLES {
        return Ok(false);
    }
    match verity::enable(file) {
        Ok(()) => Ok(true),
        // somebody has it open for writing: a file of a layer
        Err(Errno::TXTBSY) => Ok(false),
        Err(errno) => Err(errno),
    }
}

const HOLES: u64 = 1 << 20;

impl Store {
    /// Whether one of these objects may not be on the disk yet: to protect it would write it out.
    pub fn has_young(&self, names: &[String]) -> bool {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let is_young = |name: &String| {
            let stat = statat(self.objects(), name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
            stat.is_ok_and(|stat| stat.st_mtime.max(stat.st_ctime) > now - YOUNG)
        };
        names.iter().any(is_young)
    }

    /// Protects objects, by their names below `objects/`. Those that may not be, or are not
    /// there, are passed over; returns how many have become so.
    pub fn protect(&self, means: &Means, names: &[String]) -> Result<u64> {
        if let Means::Helper(program) = means {
            return helper::run(program, helper::SET, self.root(), names);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut count = 0;
        for name in names {
            let file = match rustix::fs::openat(self.objects(), name.as_str(), flags, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                file => file.context("open object", self.objects_path().join(name))?,
            };
            let done = match means {
                Means::Verity => make_verified(&file),
                _ => make_immutable(&file, false),
            };
            count += u64::from(done.context("protect object", self.objects_path().join(name))?);
        }
        Ok(count)
    }

    /// The names of what lies in a shard.
    pub fn names(&self, shard: &str) -> Result<Vec<String>> {
        names(&self.objects_path(), shard)
    }
}

fn names(objects: &Path, shard: &str) -> Result<Vec<String>> {
    let path = objects.join(shard);
    let entries = std::fs::read_dir(&path).context("read", &path)?;
    let name = |entry: std::fs::DirEntry| Some(format!("{shard}/{}", entry.file_name().to_str()?));
    Ok(entries.flatten().filter_map(name).collect())
}

/// Takes the flag from every object of a store that goes as a whole, by the helper: who has the
/// capability takes it away as he removes them.
pub fn lift_all(root: &Path) -> Result<()> {
    let (Some(program), objects) = (helper::find(), root.join("objects")) else { return Ok(()) };
    for shard in std::fs::read_dir(&objects).into_iter().flatten().flatten() {
        if let Some(shard) = shard.file_name().to_str().filter(|shard| shard.len() == SHARD_CHARS) {
            let names: Vec<String> =
                names(&objects, shard)?.into_iter().filter(|name| helper::is_name(name)).collect();
            helper::run(&program, helper::CLEAR, root, &names)?;
        }
    }
    Ok(())
}

/// What keeps an object from being removed, in words.
pub fn explained(error: Error, path: &Path) -> Error {
    if !error.is(libc::EPERM) || !std::fs::File::open(path).is_ok_and(immutable::is_set) {
        return error;
    }
    let objects = path.ancestors().nth(2).unwrap_or(path);
    error.with_hint(format!(
        "it is immutable (chattr +i): as root, chattr -R -i {}; or run vrift as who has CAP_LINUX_IMMUTABLE",
        crate::error::shell_word(objects)
    ))
}
