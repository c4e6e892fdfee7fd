//! Reading what the walk of the host directory has come to: names that no stamp vouches
//! for, into entries; contents into the store.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::sync::Mutex;

use rustix::fs::FileType;

use super::known::stamp_of;
use super::repository;
use super::walk::{Fresh, Gathered, LeftOut, UNKNOWN, Walk, join, lock};
use crate::error::{Context, Error, Result};
use crate::manifest::node::{Content, Entry, Kind, Meta, Time, Xattrs};
use crate::os::dir::{Dir, Stat, stat_fd};
use crate::overlay::escape;

/// A file that no stamp vouches for.
#[derive(Clone)]
pub(super) struct Unread {
    pub(super) name: CString,
    pub(super) stat: Stat,
    /// It was read before, and is as long as it was.
    pub(super) was_read: bool,
}

impl Walk<'_> {
    /// A directory, symbolic link or FIFO. `None`: it is gone, or something else by now.
    pub(super) fn other(&self, dir: &Dir, name: &CStr, stat: &Stat) -> Result<Option<Fresh>> {
        let mut meta = Meta { mode: stat.mode, mtime: time(stat.mtime), xattrs: Xattrs::new() };
        let kind = match stat.kind {
            FileType::Directory => {
                match dir.child(name) {
                    Ok(child) => meta = meta_of(&child, stat)?,
                    Err(error) if error.is(libc::EACCES) => {}
                    Err(error) if has_moved(&error) => return Ok(None),
                    Err(error) => return Err(error),
                }
                Kind::Dir(UNKNOWN)
            }
            FileType::Symlink => {
                meta.mode = 0o777;
                match dir.read_link(name) {
                    Ok(target) => Kind::Symlink(target),
                    Err(error) if has_moved(&error) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            _ => {
                match escape::read_fifo(dir, name).context("read xattrs of", dir.join(name)) {
                    Ok(xattrs) => meta.xattrs = xattrs,
                    Err(error) if has_moved(&error) => return Ok(None),
                    Err(error) => return Err(error),
                }
                Kind::Fifo
            }
        };
        let nlink = if stat.kind == FileType::Directory { 1 } else { stat.nlink };
        let entry = Entry { name: name.to_bytes().to_vec(), meta, group: 0, kind };
        Ok(Some(Fresh { entry, ino: stat.ino, nlink }))
    }

    /// Reads files into the store.
    pub(super) fn files(
        &self,
        gathered: &Mutex<Gathered>,
        dir: &Dir,
        path: &[u8],
        files: Vec<Unread>,
    ) -> Result<()> {
        let mut done = Vec::with_capacity(files.len());
        let mut gone = Vec::new();
        let mut left_out = Vec::new();
        let mut new_bytes = 0;
        for unread in files {
            match self.file(dir, &unread) {
                Ok(Some((fresh, steady, new))) => {
                    new_bytes += new;
                    done.push((fresh, steady));
                }
                Ok(None) => gone.push((path.to_vec(), unread.name.into_bytes())),
                Err(error) if error.is(libc::EACCES) || error.is(libc::EPERM) => {
                    left_out.push(LeftOut::unreadable(join(path, unread.name.to_bytes()), &error, false));
                }
                Err(error) => return Err(error),
            }
        }
        let mut gathered = lock(gathered);
        gathered.walked.read += done.len();
        gathered.walked.new_bytes += new_bytes;
        gathered.walked.left_out.extend(left_out);
        gathered.walked.packs_moved |= !gone.is_empty() && repository::is_pack(path);
        gathered.gone.extend(gone);
        gathered.files.entry(path.to_vec()).or_default().extend(done);
        Ok(())
    }

    /// One file: its entry, whether its stat held while it was read, bytes new to the
    /// store. `None`: it is gone, or no file any more.
    fn file(&self, dir: &Dir, unread: &Unread) -> Result<Option<(Fresh, bool, u64)>> {
        let Unread { name, stat, was_read } = unread;
        let file = match dir.open_file(name) {
            Ok(file) => file,
            Err(error) if [libc::ENOENT, libc::ELOOP, libc::ENXIO].iter().any(|&no| error.is(no)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let path = dir.join(name);
        let before = stat_fd(&file).context("stat", &path)?;
        if before.kind != FileType::RegularFile {
            return Ok(None);
        }
        let extent = (before.size, before.blocks);
        let stored = match self.token {
            Some(token) => {
                let there = was_read.then(|| self.store.find_content(token, file.as_fd(), extent, &path));
                match there.transpose()?.flatten() {
                    Some(stored) => stored,
                    None => self.store.publish_copy(token, file.as_fd(), extent, &path)?,
                }
            }
            None => self.store.hash_staged(file.as_fd(), extent, &path)?,
        };
        let xattrs = escape::read_xattrs(&file, escape::From::Host).context("read xattrs of", &path)?;
        let after = stat_fd(&file).context("stat", &path)?;
        let steady = stamp_of(stat) == stamp_of(&before) && stamp_of(&before) == stamp_of(&after);
        let content = Content { digest: stored.digest, size: stored.size, sparse: stored.sparse };
        let meta = Meta { mode: before.mode, mtime: time(before.mtime), xattrs };
        let entry = Entry { name: name.to_bytes().to_vec(), meta, group: 0, kind: Kind::File(content) };
        self.meter.file(stored.size);
        let new = if stored.new { stored.size } else { 0 };
        Ok(Some((Fresh { entry, ino: before.ino, nlink: before.nlink }, steady, new)))
    }
}

/// What opening a name answers that was removed or replaced after it was listed.
pub(super) fn has_moved(error: &Error) -> bool {
    // EINVAL is readlink's answer for what is no link any more.
    [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::EINVAL].iter().any(|&errno| error.is(errno))
}

pub(super) fn meta_of(dir: &Dir, stat: &Stat) -> Result<Meta> {
    let xattrs = escape::read_xattrs(dir, escape::From::Host).context("read xattrs of", dir.path())?;
    Ok(Meta { mode: stat.mode, mtime: time(stat.mtime), xattrs })
}

fn time((secs, nanos): (i64, u32)) -> Time {
    Time { secs, nanos }
}
