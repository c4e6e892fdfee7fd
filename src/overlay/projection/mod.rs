//! The lower tree on disk that shows a root.
//!
//! A [`Projection`] decides what a regular file is made of (a stub, a link, a copy);
//! everything else is the same for all: directories, symbolic links and FIFOs are
//! real, mtimes exact to the nanosecond, attributes escaped (rule 8), hard links
//! hard links. [`render`] makes a tree where nothing was, [`fold`] brings one from a
//! root to another in place, [`render_layer`] makes what does so from above, [`add`] makes some
//! paths in a directory of the host. With [`struct@Copy`] the files are real: what apply writes is made
//! here, and with [`Exported`] what export does.
//!
//! A name appears in a lower only when what it names is complete, and no temporary
//! name ever does (rules 9, 12). Not synced: durability is the caller's.

mod claims;
mod copy;
mod create;
mod exported;
mod fold;
mod layer;
mod leaf;
mod linked;
pub mod normal;
mod real;
mod stub;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, mkdirat};
use serde::{Deserialize, Serialize};

pub use copy::Copy;
pub use create::Item;
pub use exported::Exported;
pub use fold::{Folded, fold};
pub use layer::render_layer;
pub use leaf::times;
pub use linked::Linked;
pub use real::{Real, Rung};
pub use stub::Stub;

use crate::cas::digest::Digest;
use crate::cas::store::Store;
use crate::error::{Context, Error, Result};
use crate::manifest::diff::Change;
use crate::manifest::node::{Entry, Meta};
use crate::manifest::store::Trees;
use crate::manifest::walk::Walk;
use crate::os::dir::Dir;
use crate::overlay::escape;
use crate::progress::Meter;

/// What regular files of a lower are made of.
pub trait Projection: Sync {
    /// As `--projection` and `doctor` call it.
    fn name(&self) -> &'static str;

    /// Who reads the attributes of what is made.
    fn read_by(&self) -> escape::To {
        escape::To::Overlay
    }

    /// A file for a regular-file entry, complete but for its name: content, attributes,
    /// size, mode and times. It is made on the filesystem of `dir`, the directory that
    /// gets the name, which may be done once or, for hard links, more often.
    fn make_file(&self, dir: &Dir, entry: &Entry) -> Result<Made>;

    /// The same on an inode that nothing else has: a shared one cannot get this name.
    fn make_own(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        self.make_file(dir, entry)
    }

    /// Told before a tree is changed.
    fn leaving(&self, _changes: &[Change]) {}

    /// Told when a tree is as it is to be.
    fn seal(&self) -> Result<()> {
        Ok(())
    }

    /// What real files are made by, once one was made.
    fn files(&self) -> Option<Rung> {
        None
    }
}

/// The projections' names in the manifest.
pub const STUB: &str = "stub";
pub const HARDLINK: &str = "hardlink";
pub const COPY: &str = "copy";
/// `hardlink` of what is declared not to change, outside of the project.
pub const TIER1: &str = "hardlink-tier1";

/// A lower tree that is made or changed.
pub struct Lower<'a> {
    /// Its directory.
    pub top: &'a Path,
    /// What is kept beside it, where something is.
    pub links: &'a Path,
    pub store: &'a Store,
    pub meter: &'a Meter,
    /// Nothing of it is there.
    pub fresh: bool,
}

/// The projection that a manifest names, for one tree.
pub fn named<'a>(name: &str, lower: &Lower<'a>) -> Result<Box<dyn Projection + 'a>> {
    let Lower { top, links, store, meter, fresh } = *lower;
    match name {
        STUB => Ok(Box::new(Stub::new())),
        HARDLINK => Ok(Box::new(Real::links(store, meter, (top.to_path_buf(), links.to_path_buf()), fresh)?)),
        COPY => Ok(Box::new(Real::copies(store, meter))),
        TIER1 => Ok(Box::new(Real::shared(store, meter))),
        other => Err(Error::failure(format!("this vrift does not know the projection `{other}`"))),
    }
}

/// A file without a name yet.
#[derive(Debug)]
pub struct Made {
    /// Its inode gets the name.
    pub fd: OwnedFd,
    /// The name it has meanwhile, where the filesystem makes no file without one.
    pub temporary: Option<CString>,
    /// It has a name already, elsewhere: nothing of its inode is changed.
    pub is_shared: bool,
    /// Attributes this filesystem or namespace cannot hold.
    pub xattrs_left_out: u64,
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Names of anything but directories.
    pub files: u64,
    /// Directories made, or brought to their mode and times; with the root.
    pub dirs: u64,
    /// Attributes this filesystem or namespace cannot hold; to be said.
    pub xattrs_left_out: u64,
}

/// Renders a root at `dest`, which is made and must not be there. Needs no rights beyond
/// the caller's; ACLs that name other users are kept only outside of a user namespace
/// that does not map them. After an error `dest` holds a part, to be removed.
pub fn render(
    trees: &dyn Trees,
    root: &Digest,
    dest: &Path,
    projection: &dyn Projection,
) -> Result<Rendered> {
    mkdirat(rustix::fs::CWD, dest, Mode::RWXU).context("make directory", dest)?;
    fill(trees, root, dest, projection)
}

/// The same in an empty directory that is there.
pub fn fill(trees: &dyn Trees, root: &Digest, dest: &Path, projection: &dyn Projection) -> Result<Rendered> {
    let top = Dir::open(dest)?;
    // a default ACL of what is above would be inherited by every file
    escape::replace_xattrs(&top, &Vec::new(), projection.read_by()).context("remove attributes of", dest)?;
    let items = Walk::new(trees, root)?
        .map(|step| step.map(|(path, entry)| create::Item { path, entry, must_be_there: false }));
    create::create(top, create::Into::Nothing, items, projection)
}

/// Gives a directory the attributes (others are removed), mode and times of `meta`: for the
/// root of a fresh upper, which a view shows as its own. Returns how many attributes
/// cannot be held.
pub fn dress(dir: &Path, meta: &Meta) -> Result<u64> {
    create::dress(&Dir::open(dir)?, (create::Into::Tree, escape::To::Overlay), meta)
}

/// Makes items in a directory of the host that others change as well, below names that are
/// free; a directory among the items comes before what is in it. Nothing is removed and no
/// link followed. After an error a part of it is there.
pub fn add(
    top: Dir,
    items: impl Iterator<Item = Result<Item>>,
    projection: &dyn Projection,
) -> Result<Rendered> {
    create::create(top, create::Into::Foreign, items, projection)
}

/// Gives an open directory of the host the attributes, mode and times of `meta`.
pub fn dress_host(dir: &Dir, meta: &Meta) -> Result<u64> {
    create::dress(dir, (create::Into::Foreign, escape::To::Host), meta)
}
