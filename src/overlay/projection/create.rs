//! Making what a list of paths says: directories by one thread, which goes through
//! the list, files by a crew, hard links after that, modes and times of directories last,
//! bottom-up (rule 12).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, fchmod, futimens, mkdirat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::manifest::node::{Entry, Kind, Meta};
use crate::os::crew::{self, Jobs, Lead};
use crate::os::cursor::{Cursor, c_name, split};
use crate::os::dir::Dir;
use crate::os::remove::remove_at;
use crate::os::xattr;
use crate::overlay::escape::{self, To};
use crate::overlay::projection::leaf::{Maker, Place, times};
use crate::overlay::projection::{Projection, Rendered};

/// Files in one job of the crew.
const BATCH: usize = 64;

/// One thing to make. A directory comes before what is in it.
pub struct Item {
    /// From the top of the tree; empty: the top itself.
    pub path: Vec<u8>,
    pub entry: Entry,
    /// A directory that only changes: its absence means the tree is not what it should be.
    pub must_be_there: bool,
}

/// What is there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// An empty directory without attributes of its own.
    Nothing,
    /// A tree; what is in the way of an item is removed.
    Tree,
    /// A tree of somebody else's, who changes it as well: nothing is removed.
    Foreign,
}

struct Job {
    place: Arc<Place>,
    entries: Vec<Entry>,
}

/// Makes the items below `top`, and sets the mode and times of every directory among them.
pub fn create(
    top: Dir,
    into: Into,
    items: impl Iterator<Item = Result<Item>>,
    projection: &dyn Projection,
) -> Result<Rendered> {
    let maker = Maker { projection, replace: into == Into::Tree, xattrs_left_out: AtomicU64::new(0) };
    let work =
        |job: Job, _: &Jobs<Job>| job.entries.iter().try_for_each(|entry| maker.make(&job.place, entry));
    let cursor = if into == Into::Foreign { Cursor::of_foreign(top) } else { Cursor::new(top) };
    let mut pass =
        Pass { into, to: projection.read_by(), cursor, batch: None, dirs: vec![], linked: vec![], files: 0 };
    let Pass { mut cursor, dirs, linked, files, .. } = crew::run(&work, |lead| {
        for item in items {
            pass.take(item?, lead)?;
        }
        pass.flush(lead)?;
        Ok(pass)
    })?;
    let linked_names = link(&mut cursor, into, linked, &maker)?;
    let mut left_out = maker.xattrs_left_out.load(Ordering::Relaxed);
    let count = dirs.len() as u64;
    for (path, meta) in dirs.into_iter().rev() {
        left_out += settle(&mut cursor, (into, projection.read_by()), &path, &meta)?;
    }
    Ok(Rendered { files: files + linked_names, dirs: count, xattrs_left_out: left_out })
}

/// The leader's way through the items.
struct Pass {
    into: Into,
    to: To,
    cursor: Cursor,
    batch: Option<Job>,
    dirs: Vec<(Vec<u8>, Meta)>,
    linked: Vec<(Vec<u8>, Entry)>,
    files: u64,
}

impl Pass {
    fn take(&mut self, item: Item, lead: &mut Lead<'_, '_, Job>) -> Result<()> {
        let Item { path, mut entry, must_be_there } = item;
        let Some((parent, name)) = split(&path) else {
            if self.to == To::Overlay {
                // a view shows the upper's root as its own; this one stays open for us
                entry.meta.mode |= 0o700;
            }
            self.dirs.push((path, entry.meta));
            return Ok(());
        };
        if let Kind::Dir(_) = entry.kind {
            self.cursor.go(parent)?;
            make_dir(self.cursor.here(), name, self.into, must_be_there)?;
            self.dirs.push((path, entry.meta));
            return Ok(());
        }
        if entry.group != 0 {
            self.linked.push((path, entry));
            return Ok(());
        }
        self.cursor.go(parent)?;
        entry.name = name.to_vec();
        self.files += 1;
        let here = self.cursor.here();
        match &mut self.batch {
            Some(job) if job.entries.len() < BATCH && Arc::ptr_eq(&job.place.dir, here) => {
                job.entries.push(entry);
            }
            _ => {
                let place = Arc::new(place(here, self.into)?);
                self.flush(lead)?;
                self.batch = Some(Job { place, entries: vec![entry] });
            }
        }
        Ok(())
    }

    fn flush(&mut self, lead: &mut Lead<'_, '_, Job>) -> Result<()> {
        self.batch.take().map_or(Ok(()), |job| lead.give(job))
    }
}

/// What is made in a directory with a default ACL inherits from it (acl(5)).
fn place(dir: &Arc<Dir>, into: Into) -> Result<Place> {
    let default = match into {
        Into::Nothing => None,
        Into::Tree | Into::Foreign => {
            xattr::get(dir, c"system.posix_acl_default").context("read attributes of", dir.path())?
        }
    };
    Ok(Place { dir: Arc::clone(dir), inherits: default.is_some() })
}

fn make_dir(dir: &Dir, name: &[u8], into: Into, must_be_there: bool) -> Result<()> {
    let name = c_name(name)?;
    let made = match mkdirat(dir, &*name, Mode::RWXU) {
        Err(Errno::EXIST) if into == Into::Tree => match dir.child(&name) {
            Ok(_) => return Ok(()),
            Err(_) => remove_at(dir, &name).map(|()| mkdirat(dir, &*name, Mode::RWXU))?,
        },
        other => other,
    };
    made.context("make directory", dir.join(&name))?;
    match must_be_there {
        true => Err(Error::corrupt(format!(
            "the lower tree lacks a directory: {}",
            crate::error::quoted(dir.join(&name).as_os_str())
        ))),
        false => Ok(()),
    }
}

/// Makes names of hard-linked files: those of one group that are equal are one inode.
/// A file with as many links as the filesystem allows (EMLINK) is followed by another.
fn link(cursor: &mut Cursor, into: Into, linked: Vec<(Vec<u8>, Entry)>, maker: &Maker<'_>) -> Result<u64> {
    let names = linked.len() as u64;
    let mut groups: BTreeMap<u64, Vec<(Vec<u8>, Entry)>> = BTreeMap::new();
    for (path, entry) in linked {
        groups.entry(entry.group).or_default().push((path, entry));
    }
    for members in groups.into_values() {
        let mut firsts: Vec<(Arc<Place>, Entry)> = Vec::new();
        for (path, mut entry) in members {
            let Some((parent, name)) = split(&path) else { continue };
            cursor.go(parent)?;
            entry.name = name.to_vec();
            let known =
                firsts.iter_mut().find(|(_, first)| first.meta == entry.meta && first.kind == entry.kind);
            let place = Arc::new(place(cursor.here(), into)?);
            match known {
                None => {
                    maker.make(&place, &entry)?;
                    firsts.push((place, entry));
                }
                Some(first) => {
                    if !maker.link(first, &place, &entry.name)? {
                        maker.make(&place, &entry)?;
                        *first = (place, entry);
                    }
                }
            }
        }
    }
    Ok(names)
}

/// Gives a directory its attributes, mode and times. Its mode last but the times, and by
/// descriptor, so that the way back up stays open.
fn settle(cursor: &mut Cursor, how: (Into, To), path: &[u8], meta: &Meta) -> Result<u64> {
    let child;
    let dir = match split(path) {
        None => {
            cursor.go(b"")?;
            cursor.here()
        }
        Some((parent, name)) => {
            cursor.go(parent)?;
            child = Arc::new(cursor.here().child(&c_name(name)?)?);
            &child
        }
    };
    dress(dir, how, meta)
}

/// Gives an open directory its attributes, mode and times.
pub fn dress(dir: &Dir, (into, to): (Into, To), meta: &Meta) -> Result<u64> {
    let left_out = match into {
        Into::Nothing if meta.xattrs.is_empty() => Ok(0),
        Into::Nothing => escape::write_xattrs(dir, &meta.xattrs, to),
        Into::Tree | Into::Foreign => escape::replace_xattrs(dir, &meta.xattrs, to),
    };
    let left_out = left_out.context("set attributes of", dir.path())?;
    fchmod(dir, Mode::from_raw_mode(meta.mode.into())).context("set the mode of", dir.path())?;
    futimens(dir, &times(meta.mtime)).context("set the times of", dir.path())?;
    Ok(left_out)
}
