//! Looking at the other side: what a path of the host's directory is at this moment.
//!
//! What sync's stamp still vouches for is not read again; anything else is read into the
//! store, so that it can be compared, merged and shown.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::cas::Store;
use crate::cas::store::Publishing;
use crate::error::{Context, Error, Kind as Sort, Result};
use crate::manifest::Manifest;
use crate::manifest::chunk::Listing;
use crate::manifest::node::{Content, Entry, Kind, Meta, Time, Xattrs};
use crate::manifest::stamp::Stamp;
use crate::os::beneath::{self, Latest};
use crate::os::cursor::{c_name, split};
use crate::os::dir::{Dir, Stat, stat_fd};
use crate::overlay::escape;
use crate::session::mounts::is_below;
use crate::session::sync::stamp_of;

/// How often a file that is being written to is read before that is an error.
const TRIES: usize = 5;

/// A directory of the host, and what is known of it.
pub struct Host<'a> {
    top: &'a Dir,
    store: &'a Store,
    token: &'a Publishing,
    manifest: &'a Manifest,
    /// What sync recorded is of this directory.
    is_synced: bool,
    /// By directory; only those on the way to the path that was looked at last.
    known: RefCell<HashMap<Vec<u8>, Option<Known<'a>>>>,
    latest: RefCell<Latest>,
}

/// What sync recorded of a directory.
struct Known<'a> {
    stamps: HashMap<Vec<u8>, Stamp>,
    listing: Listing<'a>,
}

/// What a path is.
pub enum Look {
    Nothing,
    There(Seen),
    /// Something that is never written over: a mount point, a socket, an unreadable file.
    Other(String),
}

/// A file, directory, symbolic link or FIFO.
#[derive(Clone, Debug)]
pub struct Seen {
    /// A directory's tree, and the group of a file that had to be read, are not known.
    pub entry: Entry,
    pub id: Id,
    pub uid: u32,
    pub gid: u32,
}

/// What tells that a name is still what was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    pub ino: u64,
    pub is_dir: bool,
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

impl Id {
    pub fn of(stat: &Stat) -> Self {
        let is_dir = stat.kind == FileType::Directory;
        let Stamp { ino, size, mtime, ctime } = stamp_of(stat);
        Self { ino, is_dir, size, mtime, ctime }
    }

    /// The same, unchanged; of a directory only that it is the same one.
    pub fn is(&self, stat: &Stat) -> bool {
        let other = Self::of(stat);
        if self.is_dir { other.is_dir && self.ino == other.ino } else { *self == other }
    }

    /// The same after it was renamed, which moves a ctime.
    pub fn is_moved(&self, stat: &Stat) -> bool {
        self.is(&Stat { ctime: self.ctime, ..*stat })
    }
}

impl<'a> Host<'a> {
    pub fn new(top: &'a Dir, store: &'a Store, token: &'a Publishing, manifest: &'a Manifest) -> Self {
        let (known, latest) = (RefCell::default(), RefCell::default());
        Self { top, store, token, manifest, is_synced: true, known, latest }
    }

    /// A directory that no sync has looked at: every file is read.
    pub fn unknown(top: &'a Dir, store: &'a Store, token: &'a Publishing, manifest: &'a Manifest) -> Self {
        Self { is_synced: false, ..Self::new(top, store, token, manifest) }
    }

    /// What the path is; its parents are directories of this filesystem, or it is nothing.
    pub fn look(&self, path: &[u8]) -> Result<Look> {
        let Some((above, name)) = split(path) else {
            let stat = self.top.stat_self()?;
            return Ok(Look::There(seen(directory(b"", self.top, &stat)?, &stat)));
        };
        let dir = match self.dir(above) {
            Ok(dir) => dir,
            Err(error) if is_none(&error) => return Ok(Look::Nothing),
            Err(error) if error.is(libc::EXDEV) => {
                return Ok(Look::Other("something is mounted above it".into()));
            }
            Err(error) if is_closed(&error) => return Ok(Look::Other(error.to_string())),
            Err(error) => return Err(error),
        };
        let c_name = c_name(name)?;
        let mut tries = 0;
        loop {
            let Some(stat) = dir.stat_if_there(&c_name)? else { return Ok(Look::Nothing) };
            match self.read(&dir, above, &c_name, &stat) {
                Ok(Some(look)) => return Ok(look),
                Err(error) if is_closed(&error) => return Ok(Look::Other(error.to_string())),
                Err(error) if !is_none(&error) => return Err(error),
                Ok(None) | Err(_) => {} // it changed between two looks
            }
            tries += 1;
            if tries > TRIES {
                let message = format!("`{}` is being written to", dir.join(&c_name).display());
                return Err(Error::new(Sort::Busy, message).with_hint("try again when it is done"));
            }
        }
    }

    /// The names of a directory.
    pub fn names(&self, path: &[u8]) -> Result<Vec<CString>> {
        Ok(self.dir(path)?.names()?.into_iter().map(|name| name.name).collect())
    }

    fn dir(&self, path: &[u8]) -> Result<Arc<Dir>> {
        self.latest.borrow_mut().dir(self.top, path)
    }

    fn read(&self, dir: &Dir, above: &[u8], name: &CString, stat: &Stat) -> Result<Option<Look>> {
        let bytes = name.to_bytes();
        let entry = match stat.kind {
            FileType::Directory => match beneath::open_dir(dir, bytes) {
                Err(error) if error.is(libc::EXDEV) => {
                    return Ok(Some(Look::Other("something is mounted there".into())));
                }
                child => directory(bytes, &child?, stat)?,
            },
            FileType::RegularFile => match self.stamped(above, bytes, stat)? {
                Some(entry) => entry,
                None => match self.file(dir, name, stat)? {
                    Some(entry) => entry,
                    None => return Ok(None),
                },
            },
            FileType::Symlink => leaf(bytes, stat, 0o777, Kind::Symlink(dir.read_link(name)?)),
            FileType::Fifo => leaf(bytes, stat, stat.mode, Kind::Fifo),
            FileType::Socket => return Ok(Some(Look::Other("a socket is there".into()))),
            _ => return Ok(Some(Look::Other("a device is there".into()))),
        };
        Ok(Some(Look::There(seen(entry, stat))))
    }

    /// The entry that sync recorded, if the file is as it was then.
    fn stamped(&self, above: &[u8], name: &[u8], stat: &Stat) -> Result<Option<Entry>> {
        let mut known = self.known.borrow_mut();
        if !known.contains_key(above) {
            known.retain(|dir, _| dir.is_empty() || is_below(above, dir));
            known.insert(above.to_vec(), self.recorded(above)?);
        }
        let Some(Some(Known { stamps, listing })) = known.get_mut(above) else { return Ok(None) };
        if stamps.get(name) != Some(&stamp_of(stat)) {
            return Ok(None);
        }
        let entry = listing.get(name)?.cloned();
        Ok(entry.filter(|entry| entry.content().is_some()))
    }

    fn recorded(&self, dir: &[u8]) -> Result<Option<Known<'a>>> {
        if !self.is_synced {
            return Ok(None);
        }
        let Some(packed) = self.manifest.stamps_of(dir)? else { return Ok(None) };
        let stamps = packed.iter().map(|(name, stamp)| (name.to_vec(), stamp)).collect();
        let listing = Listing::open(self.manifest, Some(&packed.tree))?;
        Ok(Some(Known { stamps, listing }))
    }

    /// `None`: it changed while it was read.
    fn file(&self, dir: &Dir, name: &CString, stat: &Stat) -> Result<Option<Entry>> {
        let path = dir.join(name);
        let file = dir.open_file(name)?;
        let before = stat_fd(&file).context("stat", &path)?;
        if !Id::of(stat).is(&before) {
            return Ok(None);
        }
        let stored =
            self.store.publish_copy(self.token, file.as_fd(), (before.size, before.blocks), &path)?;
        let xattrs = escape::read_xattrs(&file, escape::From::Host).context("read xattrs of", &path)?;
        if !Id::of(&before).is(&stat_fd(&file).context("stat", &path)?) {
            return Ok(None);
        }
        let content = Content { digest: stored.digest, size: stored.size, sparse: stored.sparse };
        let mut entry = leaf(name.to_bytes(), stat, stat.mode, Kind::File(content));
        entry.meta.xattrs = xattrs;
        Ok(Some(entry))
    }
}

fn seen(entry: Entry, stat: &Stat) -> Seen {
    Seen { entry, id: Id::of(stat), uid: stat.uid, gid: stat.gid }
}

fn leaf(name: &[u8], stat: &Stat, mode: u16, kind: Kind) -> Entry {
    let mtime = Time { secs: stat.mtime.0, nanos: stat.mtime.1 };
    Entry { name: name.to_vec(), meta: Meta { mode, mtime, xattrs: Xattrs::new() }, group: 0, kind }
}

/// Its tree is not known.
fn directory(name: &[u8], dir: &Dir, stat: &Stat) -> Result<Entry> {
    let xattrs = escape::read_xattrs(dir, escape::From::Host).context("read xattrs of", dir.path())?;
    let mut entry = leaf(name, stat, stat.mode, Kind::Dir(crate::session::sync::walk::UNKNOWN));
    entry.meta.xattrs = xattrs;
    Ok(entry)
}

fn is_none(error: &Error) -> bool {
    [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::EINVAL, libc::ENXIO].iter().any(|&errno| error.is(errno))
}

fn is_closed(error: &Error) -> bool {
    error.is(libc::EACCES) || error.is(libc::EPERM)
}
