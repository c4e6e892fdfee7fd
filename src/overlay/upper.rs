//! Reading a closed upper: what a session wrote and deleted, as a flat list in tree
//! order.
//!
//! The overlay marks deletions as whiteouts (a character device 0:0, or an empty file
//! with `user.overlay.whiteout` in a directory whose `opaque` is `x`), and directories
//! that hide what is below them as opaque (`user.overlay.opaque` is `y`). Its own
//! xattrs are stripped from what is recorded. Nothing in the upper is changed.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FileType;

use super::escape::{self, From};
use crate::error::{Context, Result};
use crate::manifest::dir::tree_order;
use crate::manifest::group;
use crate::manifest::node::{Content, Entry, Kind, Meta, Time, Xattrs};
use crate::os::dir::{Dir, Stat};
use crate::os::work::Stack;

/// What a name in an upper means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was deleted.
    Whiteout,
    /// A directory; `opaque`: nothing of the lower shows below it.
    Dir { meta: Meta, opaque: bool },
    /// A file, link or FIFO that was written.
    Leaf(Entry),
}

/// An upper's content.
#[derive(Debug, Default)]
pub struct Upper {
    /// In tree order: a directory before what is in it. The root has the empty path.
    pub found: Vec<(Vec<u8>, Found)>,
    /// Names that cannot be kept, and why.
    pub skipped: Vec<(Vec<u8>, &'static str)>,
}

/// Publishes the content of a regular file, given its directory, name and stat. Called
/// by several threads.
pub type Take<'a> = dyn Fn(&Dir, &CStr, &Stat) -> Result<Content> + Sync + 'a;

/// True when no name is in it: a cheap look, for a session that wrote nothing.
pub fn is_empty(upper: &Path) -> Result<bool> {
    Ok(Dir::open(upper)?.names()?.is_empty())
}

/// Reads an upper with several threads.
pub fn read(upper: &Path, take: &Take<'_>) -> Result<Upper> {
    let root = Dir::open(upper)?;
    let stat = root.stat_self()?;
    let (meta, marks) = directory(&root, &stat)?;
    let gathered = Mutex::new(Gathered::default());
    lock(&gathered).upper.found.push((Vec::new(), Found::Dir { meta, opaque: marks.opaque }));
    let reader = Reader { take, gathered: &gathered };
    let stack = Stack::new(vec![Item::Root { dir: root, whiteouts: marks.xattr_whiteouts }]);
    stack.run(|item| reader.item(&stack, item))?;
    Ok(gathered.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
}

/// Files read by one worker before it asks for other work.
const BATCH: usize = 64;

enum Item {
    Root {
        dir: Dir,
        whiteouts: bool,
    },
    /// Opened when its turn comes: a directory may have more of them than a process may
    /// have descriptors.
    Dir {
        parent: Arc<Dir>,
        name: CString,
        path: Vec<u8>,
        stat: Stat,
    },
    Files {
        dir: Arc<Dir>,
        path: Vec<u8>,
        files: Vec<(CString, Stat)>,
        whiteouts: bool,
    },
}

#[derive(Default)]
struct Gathered {
    upper: Upper,
    /// Names of hard-linked inodes, with what the first of them was found to be.
    linked: HashMap<u64, Vec<Vec<u8>>>,
    contents: HashMap<u64, Content>,
}

struct Reader<'a> {
    take: &'a Take<'a>,
    gathered: &'a Mutex<Gathered>,
}

impl Reader<'_> {
    fn item(&self, stack: &Stack<Item>, item: Item) -> Result<()> {
        match item {
            Item::Root { dir, whiteouts } => self.directory(stack, Arc::new(dir), &[], whiteouts),
            Item::Dir { parent, name, path, stat } => {
                let dir = parent.child(&name)?;
                drop(parent);
                let (meta, marks) = directory(&dir, &stat)?;
                let found = Found::Dir { meta, opaque: marks.opaque };
                lock(self.gathered).upper.found.push((path.clone(), found));
                self.directory(stack, Arc::new(dir), &path, marks.xattr_whiteouts)
            }
            Item::Files { dir, path, files, whiteouts } => {
                let found: Result<Vec<_>> =
                    files.iter().map(|file| self.file(&dir, &path, file, whiteouts)).collect();
                lock(self.gathered).upper.found.extend(found?);
                Ok(())
            }
        }
    }

    fn directory(&self, stack: &Stack<Item>, dir: Arc<Dir>, path: &[u8], whiteouts: bool) -> Result<()> {
        let mut files = Vec::new();
        for name in dir.names()? {
            let bytes = name.name.to_bytes();
            if bytes.starts_with(b".vrift-") {
                continue; // ours (rule 5)
            }
            let inner = if path.is_empty() { bytes.to_vec() } else { [path, b"/", bytes].concat() };
            let stat = dir.stat(&name.name)?;
            let found = match stat.kind {
                FileType::RegularFile => {
                    files.push((name.name, stat));
                    continue;
                }
                FileType::Directory => {
                    let (parent, name) = (dir.clone(), name.name);
                    stack.push(Item::Dir { parent, name, path: inner, stat });
                    continue;
                }
                FileType::CharacterDevice if stat.rdev == (0, 0) => Found::Whiteout,
                FileType::Symlink => {
                    let target = dir.read_link(&name.name)?;
                    self.leaf(bytes, &inner, &stat, Xattrs::new(), Kind::Symlink(target))
                }
                FileType::Fifo => self.leaf(bytes, &inner, &stat, Xattrs::new(), Kind::Fifo),
                FileType::Socket => {
                    lock(self.gathered).upper.skipped.push((inner, "a socket ends with its session"));
                    continue;
                }
                _ => {
                    lock(self.gathered).upper.skipped.push((inner, "a device cannot be kept"));
                    continue;
                }
            };
            lock(self.gathered).upper.found.push((inner, found));
        }
        for batch in files.chunks(BATCH) {
            let (dir, path, files) = (dir.clone(), path.to_vec(), batch.to_vec());
            stack.push(Item::Files { dir, path, files, whiteouts });
        }
        Ok(())
    }

    fn file(
        &self,
        dir: &Dir,
        path: &[u8],
        (name, stat): &(CString, Stat),
        whiteouts: bool,
    ) -> Result<(Vec<u8>, Found)> {
        let bytes = name.to_bytes();
        let inner = if path.is_empty() { bytes.to_vec() } else { [path, b"/", bytes].concat() };
        let file = dir.open_file(name)?;
        if whiteouts && stat.size == 0 {
            let mark = crate::os::xattr::get(&file, c"user.overlay.whiteout");
            if mark.context("read xattrs of", dir.join(name))?.is_some() {
                return Ok((inner, Found::Whiteout));
            }
        }
        let xattrs = escape::read_xattrs(&file, From::Upper).context("read xattrs of", dir.join(name))?;
        // A hard-linked file is published once.
        let known = lock(self.gathered).contents.get(&stat.ino).copied();
        let content = match known {
            Some(content) if stat.nlink > 1 => content,
            _ => (self.take)(dir, name, stat)?,
        };
        if stat.nlink > 1 {
            lock(self.gathered).contents.insert(stat.ino, content);
        }
        let found = self.leaf(bytes, &inner, stat, xattrs, Kind::File(content));
        Ok((inner, found))
    }

    fn leaf(&self, name: &[u8], path: &[u8], stat: &Stat, xattrs: Xattrs, kind: Kind) -> Found {
        if stat.nlink > 1 {
            lock(self.gathered).linked.entry(stat.ino).or_default().push(path.to_vec());
        }
        let mode = if stat.kind == FileType::Symlink { 0o777 } else { stat.mode };
        let meta = Meta { mode, mtime: time(stat), xattrs };
        Found::Leaf(Entry { name: name.to_vec(), meta, group: 0, kind })
    }
}

impl Gathered {
    fn finish(mut self) -> Upper {
        let mut numbers: HashMap<&[u8], u64> = HashMap::new();
        for names in self.linked.values().filter(|names| names.len() > 1) {
            let number = group::number(names);
            numbers.extend(names.iter().map(|name| (name.as_slice(), number)));
        }
        for (path, found) in &mut self.upper.found {
            if let (Found::Leaf(entry), Some(number)) = (found, numbers.get(path.as_slice())) {
                entry.group = *number;
            }
        }
        self.upper.found.sort_unstable_by(|(a, _), (b, _)| tree_order(a, b));
        self.upper
    }
}

struct Marks {
    opaque: bool,
    xattr_whiteouts: bool,
}

fn directory(dir: &Dir, stat: &Stat) -> Result<(Meta, Marks)> {
    let context = "read xattrs of";
    let xattrs = escape::read_xattrs(dir, From::Upper).context(context, dir.path())?;
    let opaque = crate::os::xattr::get(dir, c"user.overlay.opaque").context(context, dir.path())?;
    let is = |letter: &[u8]| opaque.as_deref() == Some(letter);
    let marks = Marks { opaque: is(b"y"), xattr_whiteouts: is(b"x") };
    Ok((Meta { mode: stat.mode, mtime: time(stat), xattrs }, marks))
}

fn time(stat: &Stat) -> Time {
    Time { secs: stat.mtime.0, nanos: stat.mtime.1 }
}

fn lock<'a>(gathered: &'a Mutex<Gathered>) -> std::sync::MutexGuard<'a, Gathered> {
    gathered.lock().unwrap_or_else(PoisonError::into_inner)
}
