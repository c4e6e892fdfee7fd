//! Files that are written out for others to read, below a directory of the host.
//!
//! As reflinks where the filesystem has them, else as copies: what is done to such a file never
//! reaches the store. When it is asked for, as links to the objects themselves, without write
//! permission: a link costs nothing, but it *is* the object, and its owner who gives himself
//! permission and writes to it damages what the store has by that name. `verify --deep` finds that,
//! nothing prevents it: an immutable file could be neither linked nor removed. So this is never
//! chosen by itself.
//!
//! An object is linked under the same rules as in `hardlink` (real.rs): it has the file's mtime and
//! its mode but for the write bits, or no other name and gets them. All others are copies, without
//! write permission, too.

use std::sync::OnceLock;

use crate::cas::Store;
use crate::error::{Context, Result};
use crate::manifest::node::Entry;
use crate::os::dir::{Dir, stat_fd};
use crate::os::lock;
use crate::overlay::escape;
use crate::overlay::projection::real::{fit, reflinks};
use crate::overlay::projection::{Copy, Made, Projection, Rung};
use crate::progress::Meter;

const WRITE: u16 = 0o222;

/// Makes files of a tree that is written out.
pub struct Exported<'a> {
    copy: Copy<'a>,
    hard: bool,
    /// What files are made by: decided by the first that has an object; of links, by the first of them.
    rung: OnceLock<Rung>,
}

impl<'a> Exported<'a> {
    /// `hard`: as links to the objects.
    pub fn new(store: &'a Store, meter: &'a Meter, hard: bool) -> Self {
        Self { copy: Copy { store, meter, to: escape::To::Host }, hard, rung: OnceLock::new() }
    }

    /// The object as this file, where it can be.
    fn linked(&self, dir: &Dir, entry: &Entry) -> Result<Option<Made>> {
        let Some(content) = entry.content().filter(|content| content.size > 0) else { return Ok(None) };
        let meta = &entry.meta;
        if meta.mode & !0o555 != 0 || meta.mode & 0o400 == 0 || !meta.xattrs.is_empty() || entry.group != 0 {
            return Ok(None);
        }
        let object = self.copy.store.open_object(&content.digest)?;
        let same = stat_fd(&object).context("stat the object of", dir.path())?.dev == dir.stat_self()?.dev;
        if !same || !fit(&object, meta, content).context("link the object of", dir.path())? {
            return Ok(None);
        }
        self.copy.meter.file(content.size);
        Ok(Some(Made { fd: object, temporary: None, is_shared: true, xattrs_left_out: 0 }))
    }

    fn shown(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        if self.hard {
            entry.meta.mode &= !WRITE;
        }
        entry
    }
}

impl Projection for Exported<'_> {
    fn name(&self) -> &'static str {
        "exported"
    }

    fn read_by(&self) -> escape::To {
        self.copy.to
    }

    fn make_file(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        let entry = self.shown(entry);
        if self.hard
            && !lock::by_files()
            && let Some(made) = self.linked(dir, &entry)?
        {
            let _ = self.rung.set(Rung::Link);
            return Ok(made);
        }
        let content = entry.content().filter(|content| content.size > 0 && !self.hard);
        if let Some(content) = content.filter(|_| self.rung.get().is_none()) {
            let object = self.copy.store.open_object(&content.digest)?;
            let _ = self.rung.set(if reflinks(dir, &object) { Rung::Reflink } else { Rung::Copy });
        }
        self.copy.make_file(dir, &entry)
    }

    /// It has as many links as there may be.
    fn make_own(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        self.copy.make_file(dir, &self.shown(entry))
    }

    fn files(&self) -> Option<Rung> {
        self.rung.get().copied().or(self.hard.then_some(Rung::Copy))
    }
}
