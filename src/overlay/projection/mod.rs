//! Lower trees on disk: rendering one from nothing, and folding one from a root to the
//! next.
//!
//! Both are the same three phases over a list of changes in tree order:
//!
//! 1. deletions, so that a name is free before it is taken;
//! 2. creations: directories top-down, then files, by several threads; a file is made
//!    complete without a name and gets its name last (rules 9, 12), so that there are
//!    no temporary names in a lower and a kill leaves no half file;
//! 3. modes and times of the directories that were touched, bottom-up.
//!
//! Repeating it over a tree where part of it is done gives the same tree.

mod dirs;
pub mod stub;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps};
use rustix::io::Errno;

use self::dirs::Dirs;
use crate::cas::Digest;
use crate::cas::publish::link_unnamed;
use crate::error::{Context, Error, Result};
use crate::manifest::diff::{Change, diff};
use crate::manifest::node::{Entry, Kind, Meta, Time};
use crate::manifest::store::Trees;
use crate::os::dir::Dir;
use crate::os::remove::remove_entry;
use crate::os::work::Stack;

/// The projection's name in the manifest.
pub const STUB: &str = "stub";

/// How a file's content is shown in a lower.
pub trait Projection: Sync {
    /// Its name in the manifest and in messages.
    fn name(&self) -> &'static str;

    /// A complete file without a name, on the filesystem of `scratch` (a directory that
    /// gives its files no ACL): content, xattrs, mode and times are those of the entry,
    /// which is a regular file.
    fn make_file(&self, scratch: &Dir, entry: &Entry) -> Result<OwnedFd, Errno>;
}

/// The projection of a base.
pub fn named(name: &str) -> Result<Box<dyn Projection>> {
    match name {
        STUB => Ok(Box::new(stub::Stub)),
        other => Err(Error::failure(format!("this vrift does not know the projection `{other}`"))),
    }
}

/// Files made by one worker before it asks for more.
const BATCH: usize = 64;

/// Renders a root into `dest`, which is made and was not there.
pub fn render(trees: &dyn Trees, root: &Digest, dest: &Path, projection: &dyn Projection) -> Result<()> {
    crate::os::mkdir::private(dest)?;
    let mut changes = Vec::new();
    diff(trees, None, Some(root), &mut |change| {
        changes.push(change);
        Ok(())
    })?;
    fold(changes, dest, projection)
}

/// Brings the lower at `dest` from one root to another, given what differs, in tree
/// order. The caller may write in all of its directories (rule 4).
pub fn fold(changes: Vec<Change>, dest: &Path, projection: &dyn Projection) -> Result<()> {
    let top = Dir::open(dest)?;
    let maker = Maker { projection, scratch: Dir::open(dest.parent().unwrap_or(dest))? };
    delete(&top, &changes)?;
    create(&top, &changes, &maker)?;
    finish(&top, &changes)
}

/// What leaves are made with.
struct Maker<'a> {
    projection: &'a dyn Projection,
    /// Where files without a name are made.
    scratch: Dir,
}

/// Phase 1: what is gone, and what is there with another kind or content.
fn delete(top: &Dir, changes: &[Change]) -> Result<()> {
    let mut dirs = Dirs::new(top);
    let mut gone: Option<&[u8]> = None;
    for change in changes {
        if change.path.is_empty() || change.before.is_none() {
            continue;
        }
        // Below a directory that was removed whole there is nothing left to remove.
        if gone.is_some_and(|dir| is_below(&change.path, dir)) {
            continue;
        }
        let was_dir = change.before.as_ref().is_some_and(Entry::is_dir);
        let is_dir = change.after.as_ref().is_some_and(Entry::is_dir);
        if was_dir && is_dir {
            continue;
        }
        let (parent, name) = split(&change.path)?;
        if let Some(parent) = dirs.open_if_there(parent)? {
            // A directory that an earlier, killed fold already put there stays.
            let there = parent.stat_if_there(&name)?;
            let keep = is_dir && there.is_some_and(|stat| stat.kind == FileType::Directory);
            if !keep {
                remove_entry(parent, &name)?;
            }
        }
        if was_dir {
            gone = Some(&change.path);
        }
    }
    Ok(())
}

/// Phase 2.
fn create(top: &Dir, changes: &[Change], maker: &Maker<'_>) -> Result<()> {
    let mut files: Vec<(&Change, &Entry)> = Vec::new();
    let mut groups: HashMap<u64, Vec<(&Change, &Entry)>> = HashMap::new();
    let mut dirs = Dirs::new(top);
    for change in changes {
        let Some(after) = change.after.as_ref().filter(|_| !change.path.is_empty()) else { continue };
        match after.kind {
            Kind::Dir(_) => {
                let (parent, name) = split(&change.path)?;
                make_dir(dirs.open(parent)?, &name)?;
            }
            _ if after.group != 0 => groups.entry(after.group).or_default().push((change, after)),
            _ => files.push((change, after)),
        }
    }
    let batches = files.chunks(BATCH).map(<[_]>::to_vec);
    let groups = groups.into_values().collect::<Vec<_>>();
    let work: Vec<Work<'_>> = batches.map(Work::Files).chain(groups.into_iter().map(Work::Group)).collect();
    Stack::new(work).run(|work| {
        let mut dirs = Dirs::new(top);
        match work {
            Work::Files(files) => files.iter().try_for_each(|(change, entry)| {
                let (parent, name) = split(&change.path)?;
                maker.make(dirs.open(parent)?, &name, entry)
            }),
            Work::Group(names) => maker.make_group(&mut dirs, &names),
        }
    })
}

enum Work<'a> {
    Files(Vec<(&'a Change, &'a Entry)>),
    /// All names of one hard-linked file.
    Group(Vec<(&'a Change, &'a Entry)>),
}

fn make_dir(parent: &Dir, name: &CString) -> Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            if parent.stat(name)?.kind == FileType::Directory {
                return Ok(());
            }
            remove_entry(parent, name)?;
            rustix::fs::mkdirat(parent, name, Mode::RWXU).context("make directory", parent.join(name))
        }
        Err(errno) => Err(errno).context("make directory", parent.join(name)),
    }
}

impl Maker<'_> {
    /// One leaf.
    fn make(&self, parent: &Dir, name: &CString, entry: &Entry) -> Result<()> {
        if let Kind::File(_) = entry.kind {
            let file = self.projection.make_file(&self.scratch, entry).context("make", parent.join(name))?;
            return replacing(parent, name, || link_unnamed(file.as_fd(), parent.as_fd(), name.as_c_str()));
        }
        replacing(parent, name, || match &entry.kind {
            Kind::Symlink(target) => rustix::fs::symlinkat(target.as_slice(), parent, name),
            _ => rustix::fs::mknodat(parent, name, FileType::Fifo, Mode::RUSR, 0),
        })?;
        if entry.kind == Kind::Fifo {
            let mode = Mode::from_raw_mode(entry.meta.mode.into());
            rustix::fs::chmodat(parent, name, mode, AtFlags::empty()).context("chmod", parent.join(name))?;
        }
        rustix::fs::utimensat(parent, name, &times(entry.meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .context("set times of", parent.join(name))
    }

    /// Names that were one file on the host are one inode here, as long as they agree: a
    /// merge may have left one of them another content. Past the link limit another inode
    /// is begun.
    fn make_group(&self, dirs: &mut Dirs<'_>, names: &[(&Change, &Entry)]) -> Result<()> {
        let mut made: Vec<(&Entry, Dir, CString)> = Vec::new();
        for (change, entry) in names {
            let (parent, name) = split(&change.path)?;
            let parent = dirs.open(parent)?;
            let same = |first: &Entry| first.meta == entry.meta && first.kind == entry.kind;
            if let Some((_, dir, first)) = made.iter().rev().find(|(first, ..)| same(first)) {
                let link = || rustix::fs::linkat(dir, first, parent, &name, AtFlags::empty());
                match replacing(parent, &name, link) {
                    Err(error) if error.is(libc::EMLINK) => {}
                    Err(error) => return Err(error),
                    Ok(()) => continue,
                }
            }
            self.make(parent, &name, entry)?;
            made.push((entry, parent.again()?, name));
        }
        Ok(())
    }
}

/// Gives a name to something; what a killed fold left under it goes first.
fn replacing(parent: &Dir, name: &CString, give: impl Fn() -> Result<(), Errno>) -> Result<()> {
    match give() {
        Err(Errno::EXIST) => {
            remove_entry(parent, name)?;
            give().context("make", parent.join(name))
        }
        other => other.context("make", parent.join(name)),
    }
}

/// Phase 3: a directory's times change with every name in it, so they come last.
fn finish(top: &Dir, changes: &[Change]) -> Result<()> {
    let mut dirs = Dirs::new(top);
    for change in changes.iter().rev() {
        let Some(after) = change.after.as_ref().filter(|after| after.is_dir()) else { continue };
        let dir = dirs.open(&change.path)?;
        let before = change.before.as_ref().filter(|before| before.is_dir());
        set_meta(dir, before.map(|before| &before.meta), &after.meta).context("finish", dir.path())?;
    }
    Ok(())
}

fn set_meta(dir: &Dir, before: Option<&Meta>, meta: &Meta) -> Result<(), Errno> {
    if before.is_none_or(|before| before.xattrs != meta.xattrs) {
        for name in crate::os::xattr::list(dir)? {
            crate::os::xattr::remove(dir, &name).or_else(|errno| match errno {
                // security.* is not ours to remove
                Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP => Ok(()),
                other => Err(other),
            })?;
        }
        super::escape::write_xattrs(dir, &meta.xattrs)?;
    }
    rustix::fs::fchmod(dir, Mode::from_raw_mode(meta.mode.into()))?;
    rustix::fs::futimens(dir, &times(meta.mtime))
}

/// Both times of a node: a lower's atime means nothing.
pub fn times(mtime: Time) -> Timestamps {
    let time = Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// The parent's path and the last component of a relative path.
fn split(path: &[u8]) -> Result<(&[u8], CString)> {
    let (parent, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    };
    let name = CString::new(name).map_err(|_| Error::corrupt("a name with a NUL"))?;
    Ok((parent, name))
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}
