//! The `hardlink` and `copy` projections: files of a lower tree that are real.
//!
//! What a file is made by is decided by the first one: a reflink where the filesystem has
//! them, else, in `hardlink`, a link to the object, else a copy. A link is made only when
//! the object's inode can be the file itself, with its mode and its mtime and no attributes:
//!
//! - no other path of this tree has it (claims.rs);
//! - it has them already, or no other name, and gets them: an object's own mode means
//!   nothing. Whoever gives them holds the inode's flock, for two trees may want it at once
//!   (so where flock(2) is refused nothing is linked).
//!
//! So the mode of a shared object is the path's: 0444 would refuse its owner's writes before
//! the kernel copies the file up. A set-user-ID bit, or a mode that its owner may not read, never
//! comes to an object: such a file is copied, and so is an empty one, each file of a group of
//! hard links (its count of links stays true), and what the filesystem refuses to link.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, futimens, ioctl_ficlone};
use rustix::io::Errno;

use crate::cas::protect::MARK;
use crate::cas::{Digest, Store};
use crate::error::{Context, Result};
use crate::manifest::diff::Change;
use crate::manifest::node::{Content, Entry, Meta};
use crate::os::dir::{Dir, stat_fd};
use crate::os::{lock, xattr};
use crate::overlay::escape;
use crate::overlay::projection::claims::Claims;
use crate::overlay::projection::leaf::times;
use crate::overlay::projection::{COPY, Copy, HARDLINK, Made, Projection, TIER1, normal};
use crate::progress::Meter;

/// What the files of a tree are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    Reflink,
    Link,
    Copy,
}

impl Rung {
    /// As `doctor` and `--status-fd` call it.
    pub fn name(self) -> &'static str {
        match self {
            Rung::Reflink => "reflink",
            Rung::Link => "link",
            Rung::Copy => "copy",
        }
    }
}

/// Makes real files in one lower tree.
pub struct Real<'a> {
    copy: Copy<'a>,
    rung: OnceLock<Rung>,
    /// Only in `hardlink`.
    links: Option<Links>,
    /// Of what is declared not to change: see normal.rs.
    shared: bool,
}

struct Links {
    /// The tree's top.
    top: PathBuf,
    /// Where the claims are kept.
    file: PathBuf,
    /// `None`: not known, so nothing is linked.
    claims: Mutex<Option<Claims>>,
}

impl<'a> Real<'a> {
    /// The `copy` projection.
    pub fn copies(store: &'a Store, meter: &'a Meter) -> Self {
        let copy = Copy { store, meter, to: escape::To::Overlay };
        Self { copy, rung: OnceLock::new(), links: None, shared: false }
    }

    /// `hardlink` of what is declared not to change: every file that can be is the one object.
    pub fn shared(store: &'a Store, meter: &'a Meter) -> Self {
        let rung = OnceLock::from(Rung::Link);
        Self { shared: true, rung, ..Self::copies(store, meter) }
    }

    /// The `hardlink` projection, for the tree at `top`; `file` keeps what it has linked.
    /// `fresh`: the tree is made now, so nothing is linked yet.
    pub fn links(
        store: &'a Store,
        meter: &'a Meter,
        (top, file): (PathBuf, PathBuf),
        fresh: bool,
    ) -> Result<Self> {
        let claims = if fresh { Some(Claims::default()) } else { Claims::read(&file)? };
        let links = Some(Links { top, file, claims: Mutex::new(claims) });
        Ok(Self { links, ..Self::copies(store, meter) })
    }

    /// Decided by the first file that has an object.
    fn rung(&self, dir: &Dir, object: &OwnedFd) -> Rung {
        *self.rung.get_or_init(|| match (reflinks(dir, object), &self.links) {
            (true, _) => Rung::Reflink,
            (false, Some(_)) if !lock::by_files() => Rung::Link,
            (false, _) => Rung::Copy,
        })
    }
}

impl Projection for Real<'_> {
    fn name(&self) -> &'static str {
        match (self.shared, &self.links) {
            (true, _) => TIER1,
            (_, Some(_)) => HARDLINK,
            _ => COPY,
        }
    }

    fn files(&self) -> Option<Rung> {
        self.rung.get().copied()
    }

    fn make_file(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        let Some(content) = entry.content().filter(|content| content.size > 0) else {
            return self.copy.make_file(dir, entry);
        };
        let object = self.copy.store.open_object(&content.digest)?;
        if self.shared
            && let Some(entry) = normal::entry(entry)
        {
            if normal::take(&object, &entry.meta, content).context("link the object of", dir.path())? {
                self.copy.meter.file(0);
                return Ok(Made { fd: object, temporary: None, is_shared: true, xattrs_left_out: 0 });
            }
            return self.copy.make_file(dir, &entry);
        }
        if self.rung(dir, &object) == Rung::Link
            && let Some(links) = &self.links
            && links.take(dir, entry, content, &object)?
        {
            self.copy.meter.file(0);
            return Ok(Made { fd: object, temporary: None, is_shared: true, xattrs_left_out: 0 });
        }
        drop(object);
        self.copy.make_file(dir, entry)
    }

    fn make_own(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        if let (Some(links), Some(content)) = (&self.links, entry.content()) {
            links.leave(&content.digest, &links.path(dir, entry));
        }
        if self.shared
            && let Some(entry) = normal::entry(entry)
        {
            return self.copy.make_file(dir, &entry);
        }
        self.copy.make_file(dir, entry)
    }

    fn leaving(&self, changes: &[Change]) {
        let Some(links) = &self.links else { return };
        for Change { path, before, .. } in changes {
            if let Some(content) = before.as_ref().and_then(Entry::content) {
                links.leave(&content.digest, path);
            }
        }
    }

    fn seal(&self) -> Result<()> {
        let Some(links) = &self.links else { return Ok(()) };
        links.claims().as_ref().map_or(Ok(()), |claims| claims.write(&links.file))
    }
}

impl Links {
    /// Whether the object can be this file; its inode is made so, and is kept so as long as
    /// the descriptor, which holds the lock, is open.
    fn take(&self, dir: &Dir, entry: &Entry, content: &Content, object: &OwnedFd) -> Result<bool> {
        let meta = &entry.meta;
        if meta.mode & !0o777 != 0 || meta.mode & 0o400 == 0 || !meta.xattrs.is_empty() || entry.group != 0 {
            return Ok(false);
        }
        let path = self.path(dir, entry);
        if !self.claims().as_mut().is_some_and(|claims| claims.claim(&content.digest, &path)) {
            return Ok(false);
        }
        let fits = fit(object, meta, content).context("link the object of", dir.path())?;
        if !fits {
            self.leave(&content.digest, &path);
        }
        Ok(fits)
    }

    fn leave(&self, digest: &Digest, path: &[u8]) {
        if let Some(claims) = self.claims().as_mut() {
            claims.leave(digest, path);
        }
    }

    /// From the tree's top.
    fn path(&self, dir: &Dir, entry: &Entry) -> Vec<u8> {
        let inner = dir.path().strip_prefix(&self.top).unwrap_or(dir.path());
        match inner.as_os_str().as_bytes() {
            b"" => entry.name.clone(),
            inner => [inner, b"/", &entry.name].concat(),
        }
    }

    fn claims(&self) -> MutexGuard<'_, Option<Claims>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the object can be a file with this metadata; its inode is made so, and stays so as long as
/// the descriptor, which holds the lock, is open.
pub(super) fn fit(object: &OwnedFd, meta: &Meta, content: &Content) -> Result<bool, Errno> {
    alone(object)?;
    let stat = stat_fd(object)?;
    let mut attributes = xattr::list(object)?;
    if stat.nlink == 1
        && attributes.iter().any(|name| name.as_c_str() == MARK)
        && xattr::remove(object, MARK).is_ok()
    {
        attributes.retain(|name| name.as_c_str() != MARK); // no tree that shared it is there any more
    }
    let has_attributes = attributes.iter().any(|name| is_shown(name.to_bytes()));
    if has_attributes || stat.size != content.size {
        return Ok(false); // a copy says what is wrong with its size
    }
    if (stat.mode, stat.mtime) == (meta.mode, (meta.mtime.secs, meta.mtime.nanos)) {
        return Ok(true);
    }
    if stat.nlink != 1 {
        return Ok(false);
    }
    let dress = || {
        fchmod(object, Mode::from_raw_mode(meta.mode.into()))
            .and_then(|()| futimens(object, &times(meta.mtime)))
    };
    match dress() {
        Ok(()) => Ok(true),
        // an object that nobody can change: it is protected
        Err(Errno::PERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Two trees may want one inode at once: whoever changes one holds its flock.
pub(super) fn alone(object: &OwnedFd) -> Result<(), Errno> {
    loop {
        match flock(object, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// An attribute that a program would see, or that the overlay heeds.
pub(super) fn is_shown(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")
}

/// Whether a clone of the object into this directory works.
pub(super) fn reflinks(dir: &Dir, object: &OwnedFd) -> bool {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let clone = || ioctl_ficlone(rustix::fs::openat(dir, c".", flags, Mode::RUSR | Mode::WUSR)?, object);
    clone().is_ok()
}
