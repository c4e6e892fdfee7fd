//! Making one name that is not a directory.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, linkat, mknodat,
    renameat, renameat_with, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::manifest::node::{Entry, Kind, Meta, Time};
use crate::os::cursor::c_name;
use crate::os::dir::Dir;
use crate::os::link::link_unnamed;
use crate::os::remove::remove_at;
use crate::os::xattr;
use crate::overlay::escape;
use crate::overlay::projection::{Made, Projection};

/// A directory to make names in.
pub struct Place {
    pub dir: Arc<Dir>,
    /// It has a default ACL.
    pub inherits: bool,
}

/// Makes names; shared by the threads of a crew.
pub struct Maker<'a> {
    pub projection: &'a dyn Projection,
    /// What has the name already is removed first.
    pub replace: bool,
    pub xattrs_left_out: AtomicU64,
}

impl Maker<'_> {
    /// Makes a file, symbolic link or FIFO.
    pub fn make(&self, place: &Place, entry: &Entry) -> Result<()> {
        let name = c_name(&entry.name)?;
        match &entry.kind {
            Kind::File(_) => self.file(place, &name, entry),
            Kind::Symlink(target) => self.symlink(&place.dir, &name, target, entry),
            Kind::Fifo => self.fifo(place, &name, entry),
            Kind::Dir(_) => Err(Error::failure("a directory is no leaf")),
        }
    }

    /// Gives the first file of a group another name; false when it has too many.
    pub fn link(&self, first: &(Arc<Place>, Entry), place: &Place, name: &[u8]) -> Result<bool> {
        let (from, name) = (c_name(&first.1.name)?, c_name(name)?);
        let link = || linkat(&first.0.dir, &*from, &place.dir, &*name, AtFlags::empty());
        match self.named(&place.dir, &name, link) {
            Err(Errno::MLINK) => Ok(false),
            other => other.context("link", place.dir.join(&name)).map(|()| true),
        }
    }

    /// The name last (rule 9): everything else is on the inode before.
    fn file(&self, place: &Place, name: &CStr, entry: &Entry) -> Result<()> {
        let made = self.projection.make_file(&place.dir, entry)?;
        let shared = made.is_shared;
        match self.give(place, name, entry, made) {
            // as many links as there may be (EMLINK), an immutable inode, another filesystem
            Err(Errno::MLINK | Errno::PERM | Errno::XDEV) if shared => {
                let made = self.projection.make_own(&place.dir, entry)?;
                self.give(place, name, entry, made)
            }
            other => other,
        }
        .context("name", place.dir.join(name))
    }

    fn give(&self, place: &Place, name: &CStr, entry: &Entry, made: Made) -> Result<(), Errno> {
        self.xattrs_left_out.fetch_add(made.xattrs_left_out, Ordering::Relaxed);
        if place.inherits && !made.is_shared {
            disinherit(&made.fd, &entry.meta)?;
        }
        let name_it = || match &made.temporary {
            None => link_unnamed(&made.fd, &place.dir, name),
            Some(temporary) => rename_new(&place.dir, temporary, name),
        };
        self.named(&place.dir, name, name_it)
    }

    fn symlink(&self, dir: &Dir, name: &CStr, target: &[u8], entry: &Entry) -> Result<()> {
        self.named(dir, name, || symlinkat(target, dir, name)).context("make link", dir.join(name))?;
        utimensat(dir, name, &times(entry.meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .context("set the times of", dir.join(name))
    }

    fn fifo(&self, place: &Place, name: &CStr, entry: &Entry) -> Result<()> {
        let (dir, meta) = (&place.dir, &entry.meta);
        self.named(dir, name, || mknodat(dir, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0))
            .context("make FIFO", dir.join(name))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let finish = || {
            let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
            if place.inherits {
                disinherit(&fd, meta)?;
            }
            let left_out = escape::write_xattrs(&fd, &meta.xattrs, self.projection.read_by())?;
            self.xattrs_left_out.fetch_add(left_out, Ordering::Relaxed);
            fchmod(&fd, Mode::from_raw_mode(meta.mode.into()))?;
            rustix::fs::futimens(&fd, &times(meta.mtime))
        };
        finish().context("set the metadata of", dir.join(name))
    }

    /// Does what gives a name, once more after removing who has it.
    fn named(&self, dir: &Dir, name: &CStr, give: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
        match give() {
            Err(Errno::EXIST) if self.replace => {
                remove_at(dir, name)
                    .map_err(|error| error.errno().map_or(Errno::EXIST, Errno::from_raw_os_error))?;
                give()
            }
            other => other,
        }
    }
}

/// Gives a file another name that must be free.
fn rename_new(dir: &Dir, from: &CStr, to: &CStr) -> Result<(), Errno> {
    match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        // this filesystem cannot say so: whoever asks for a name has looked
        Err(Errno::INVAL | Errno::NOSYS) => renameat(dir, from, dir, to),
        other => other,
    }
}

/// Takes away what a default ACL gave, sets the mode it changed.
fn disinherit(fd: impl AsFd, meta: &Meta) -> Result<(), Errno> {
    if !meta.xattrs.iter().any(|(name, _)| name == escape::ACCESS) {
        xattr::remove(&fd, c"system.posix_acl_access")?;
    }
    fchmod(&fd, Mode::from_raw_mode(meta.mode.into()))
}

/// An mtime; the access time is left alone.
pub fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
    }
}
