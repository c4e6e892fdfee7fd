//! What a table is to say: the names below directories of a base, as lstat gives them,
//! and of which of them that is what will be seen inside.
//!
//! A stub's blocks are its object's, but only once somebody has opened it: until then the
//! kernel says what its size would need (fs/overlayfs/inode.c, ovl_getattr). Where the two
//! differ (holes, small files in their inode) nothing is said of the file but that it is there.

use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::layout::{EXACT, Entry, NAME, PATH, Time, UNKNOWN};
use super::table::Wanted;
use crate::error::{Context, Result};
use crate::os::crew::{self, Jobs};
use crate::os::dir::Dir;
use crate::os::xattr;

/// A directory and its names.
pub(super) struct Listed {
    pub root: u32,
    /// Relative to its root.
    pub path: Vec<u8>,
    /// All of its names are here.
    pub complete: bool,
    pub names: Vec<(Vec<u8>, Entry)>,
}

/// All that is below the roots, and each root's own entry.
pub(super) struct Found {
    pub roots: Vec<Entry>,
    pub dirs: Vec<Listed>,
    /// What st_blksize is.
    pub block_size: u32,
}

/// A directory that is to be listed.
struct Job {
    root: u32,
    path: Vec<u8>,
}

struct Walk<'a> {
    wanted: &'a Wanted<'a>,
    base: Dir,
    /// Whose everything is to be.
    owner: (u32, u32),
    block_size: u32,
    /// The caller may become another user inside.
    many_ids: bool,
    found: Mutex<Vec<Listed>>,
}

pub(super) fn list(wanted: &Wanted<'_>) -> Result<Found> {
    let base = Dir::open(wanted.base)?;
    let own = statx(&base, c"").context("stat", wanted.base)?;
    let walk = Walk {
        wanted,
        base,
        owner: (own.stx_uid, own.stx_gid),
        block_size: own.stx_blksize,
        many_ids: rustix::process::geteuid().is_root(),
        found: Mutex::new(Vec::new()),
    };
    let mut roots = Vec::new();
    for root in wanted.roots {
        let dir = walk.open(root).context("open directory", wanted.base)?;
        let stat = statx(&dir, c"").context("stat", wanted.base)?;
        roots.push(walk.entry(&dir, c"", &stat));
    }
    let work = |job: Job, jobs: &Jobs<Job>| {
        walk.list(job, jobs);
        Ok(())
    };
    crew::run(&work, |lead| {
        (0..)
            .zip(&roots)
            .filter(|(_, entry)| walk.is_way(entry))
            .try_for_each(|(root, _)| lead.give(Job { root, path: Vec::new() }))
    })?;
    let mut dirs = walk.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    dirs.sort_unstable_by(|a, b| (a.root, &a.path).cmp(&(b.root, &b.path)));
    Ok(Found { roots, dirs, block_size: walk.block_size })
}

impl Walk<'_> {
    /// Opens a directory of the base, in a way that leaves its atime alone.
    fn open(&self, path: &[u8]) -> std::result::Result<Dir, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOATIME;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let fd = rustix::fs::openat2(&self.base, path, flags, Mode::empty(), resolve)?;
        Ok(Dir::from_fd(fd, self.wanted.base.to_path_buf()))
    }

    /// Lists one directory. One that cannot be listed is left out: nothing is said of
    /// what is in it.
    fn list(&self, job: Job, jobs: &Jobs<Job>) {
        let root = self.wanted.roots.get(job.root as usize).map_or(&[][..], Vec::as_slice);
        let here = join(root, &job.path);
        let Ok(dir) = self.open(&here) else { return };
        let Ok(names) = dir.names() else { return };
        let mut listed = Listed { root: job.root, path: job.path, complete: true, names: Vec::new() };
        for name in names {
            let bytes = name.name.to_bytes();
            let stat = statx(&dir, &name.name);
            let (Ok(stat), true) = (stat, bytes.len() <= NAME) else {
                listed.complete = false;
                continue;
            };
            let mut entry = self.entry(&dir, &name.name, &stat);
            let path = join(&listed.path, bytes);
            if self.wanted.except.contains(&join(root, &path)) {
                entry.bits = UNKNOWN;
            } else if self.is_way(&entry) && path.len() < PATH && !self.denies_some(&dir, &name.name) {
                jobs.give(Job { root: listed.root, path });
            }
            listed.names.push((bytes.to_vec(), entry));
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(listed);
    }

    /// Whether it is a directory in which everybody who may be inside may look names up.
    fn is_way(&self, entry: &Entry) -> bool {
        let search = if self.many_ids { 0o111 } else { 0o100 };
        entry.mode & 0o170_000 == 0o040_000 && entry.mode & search == search && entry.bits & EXACT != 0
    }

    /// Whether an access list may keep some of several users out.
    fn denies_some(&self, dir: &Dir, name: &CStr) -> bool {
        self.many_ids && !matches!(xattr::get_at(dir, name, c"system.posix_acl_access"), Ok(None))
    }

    /// The entry of a name, or of the directory itself (``). Bits tell whether it is exact.
    fn entry(&self, dir: &Dir, name: &CStr, stat: &rustix::fs::Statx) -> Entry {
        let time = |time: &rustix::fs::StatxTimestamp| Time::new(time.tv_sec, time.tv_nsec);
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        let mut entry = Entry {
            ino: stat.stx_ino,
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            nlink: stat.stx_nlink,
            mode: stat.stx_mode,
            ..Entry::default()
        };
        let times = [&stat.stx_atime, &stat.stx_mtime, &stat.stx_ctime, &stat.stx_btime].map(time);
        let [Some(atime), Some(mtime), Some(ctime), Some(btime)] = times else { return entry };
        (entry.atime, entry.mtime, entry.ctime, entry.btime) = (atime, mtime, ctime, btime);
        let all = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let usual = StatxFlags::from_bits_retain(stat.stx_mask).contains(all)
            && (stat.stx_uid, stat.stx_gid) == self.owner
            && stat.stx_blksize == self.block_size
            && stat.stx_attributes == StatxAttributes::empty();
        let blocks = match kind {
            FileType::Directory | FileType::Symlink => Some(stat.stx_blocks),
            FileType::RegularFile if self.wanted.coarse => None,
            FileType::RegularFile => self.blocks(dir, name, stat),
            _ => None,
        };
        if let (true, Some(blocks)) = (usual, blocks) {
            (entry.blocks, entry.bits) = (blocks, EXACT);
        }
        entry
    }

    /// The blocks that the kernel says a regular file has; `None`: that may change.
    fn blocks(&self, dir: &Dir, name: &CStr, stat: &rustix::fs::Statx) -> Option<u64> {
        let Some(objects) = self.wanted.objects.filter(|_| stat.stx_size > 0) else {
            return Some(stat.stx_blocks);
        };
        let mut path = format!("/proc/self/fd/{}/", rustix::fd::AsFd::as_fd(dir).as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        let mut redirect = [0u8; 64];
        let length = match rustix::fs::lgetxattr(path, c"user.overlay.redirect", &mut redirect) {
            Ok(length) => length,
            Err(Errno::NODATA) => return Some(stat.stx_blocks),
            Err(_) => return None,
        };
        let object = redirect.get(..length)?.strip_prefix(b"/")?;
        let object = rustix::fs::statat(objects, object, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let unseen = stat.stx_size.checked_next_multiple_of(self.block_size.max(1).into())? / 512;
        (u64::try_from(object.st_blocks) == Ok(unseen)).then_some(unseen)
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match (dir, name) {
        ([], _) => name.to_vec(),
        (_, []) => dir.to_vec(),
        _ => [dir, b"/", name].concat(),
    }
}

fn statx(dir: &Dir, name: &CStr) -> std::result::Result<rustix::fs::Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}
