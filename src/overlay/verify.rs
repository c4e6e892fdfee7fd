//! Whether a lower tree on disk is what its root says: every name, kind, mode, mtime, size,
//! link target and attribute; of stubs, where they lead.
//!
//! The caller holds the tree's lock shared and runs it in `as_root_of_own_files` (rule 4).
//! Nothing is changed, and no file's content is read unless it is asked for.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::cas::digest::Digest;
use crate::cas::publish;
use crate::error::{Context, Result, looked};
use crate::manifest::dir::{read_dir, read_root, tree_order};
use crate::manifest::node::{Content, Entry, Kind, Meta, Xattrs};
use crate::manifest::store::Trees;
use crate::os::cursor::{Cursor, c_name, split};
use crate::os::dir::{Dir, Stat};
use crate::os::xattr;
use crate::overlay::escape::{self, From, Marks, To};
use crate::overlay::projection::normal;

/// A path from the top of the tree, and what is wrong with it.
pub type Difference = (Vec<u8>, String);

/// How a tree is looked at.
pub struct How<'a> {
    /// Where attributes are tried, when those of a file are not as recorded: a filesystem
    /// may not be able to hold them.
    pub scratch: &'a Path,
    /// How attributes of the top begin that are the caller's own.
    pub mark: &'a str,
    /// What the files of a base are.
    pub files: Files,
    /// Contents of real files are hashed.
    pub deep: bool,
    /// Differences after which the rest is not told.
    pub most: usize,
}

/// What regular files of a base are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    Stubs,
    /// Links to objects, and copies.
    Links,
    /// The same of what is declared not to change.
    Shared,
    Copies,
}

/// What differs between a base and its root.
pub fn base(trees: &dyn Trees, root: &Digest, dest: &Path, how: &How<'_>) -> Result<Vec<Difference>> {
    let mut look = Look { how, found: Vec::new(), links: BTreeMap::new() };
    let top = read_root(trees, root)?;
    let mut cursor = Cursor::new(Dir::open(dest)?);
    let mut ahead = vec![(Vec::new(), top)];
    while let Some((path, entry)) = ahead.pop() {
        if look.is_full() {
            break;
        }
        cursor.go(&path)?;
        let dir = cursor.here().clone();
        look.directory(&dir, &path, &entry.meta)?;
        let mut there: HashMap<Vec<u8>, FileType> = HashMap::new();
        for name in dir.names()? {
            there.insert(name.name.to_bytes().to_vec(), name.kind);
        }
        let Some(tree) = entry.tree() else { continue };
        for entry in read_dir(trees, &tree)? {
            let path = joined(&path, &entry.name);
            let name = c_name(&entry.name)?;
            there.remove(&entry.name);
            let Some(stat) = dir.stat_if_there(&name)? else {
                look.say(&path, "it is not there");
                continue;
            };
            if entry.is_dir() && stat.kind == FileType::Directory {
                ahead.push((path, entry));
                continue;
            }
            look.leaf((&dir, &name), &path, &entry, &stat, Some(how.files))?;
        }
        for name in there.into_keys() {
            look.say(&joined(&path, &name), "it is in no tree");
        }
    }
    look.finish()
}

/// What differs between a layer and what turns one root into another: `changed` are the
/// paths that differ between the two, with what they are afterwards.
pub fn layer(
    trees: &dyn Trees,
    root: &Digest,
    changed: &[(Vec<u8>, Option<Entry>)],
    dest: &Path,
    how: &How<'_>,
) -> Result<Vec<Difference>> {
    let mut look = Look { how, found: Vec::new(), links: BTreeMap::new() };
    let mut cursor = Cursor::new(Dir::open(dest)?);
    // what is there shows what the root has
    let mut ahead = vec![(Vec::new(), read_root(trees, root)?)];
    while let Some((path, entry)) = ahead.pop() {
        if look.is_full() {
            break;
        }
        cursor.go(&path)?;
        let dir = cursor.here().clone();
        let marks = look.directory(&dir, &path, &entry.meta)?;
        let tree = entry.tree().map(|tree| read_dir(trees, &tree)).transpose()?.unwrap_or_default();
        let mut entries: HashMap<Vec<u8>, Entry> =
            tree.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        for name in dir.names()? {
            let below = joined(&path, name.name.to_bytes());
            let Some(stat) = dir.stat_if_there(&name.name)? else { continue };
            let entry = entries.remove(name.name.to_bytes());
            let is_whiteout = stat.kind == FileType::CharacterDevice && stat.rdev == (0, 0);
            match entry {
                None if is_whiteout => {}
                None => look.say(&below, "it is in no tree"),
                Some(_) if is_whiteout => look.say(&below, "it is hidden"),
                Some(entry) if entry.is_dir() && stat.kind == FileType::Directory => {
                    ahead.push((below, entry))
                }
                Some(entry) => look.leaf((&dir, &name.name), &below, &entry, &stat, None)?,
            }
        }
        if marks.opaque == Some(b'y') {
            entries.into_keys().for_each(|name| look.say(&joined(&path, &name), "it is not there"));
        }
    }
    // what differs from below is there
    let mut cursor = Cursor::new(Dir::open(dest)?);
    for (path, after) in changed {
        if look.is_full() {
            break;
        }
        let Some((parent, name)) = split(path) else { continue };
        let there = match cursor.go(parent) {
            Ok(()) => cursor.here().stat_if_there(&c_name(name)?)?.is_some(),
            Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) || error.is(libc::ELOOP) => false,
            Err(error) => return Err(error),
        };
        // what is gone may be gone with a directory that hides it
        if after.is_some() && !there {
            look.say(path, "it is not there");
        }
        if after.is_none() && !there && !is_hidden(&mut cursor, parent)? {
            look.say(path, "it is not hidden");
        }
    }
    look.finish()
}

/// Whether a directory of a layer, or what is where it would be, hides all that is below.
fn is_hidden(cursor: &mut Cursor, parent: &[u8]) -> Result<bool> {
    let mut path = parent;
    loop {
        match cursor.go(path) {
            Ok(()) => {
                let marks = escape::read_marked(cursor.here(), From::Upper);
                let (_, marks) = marks.context("read attributes of", cursor.here().path())?;
                if marks.opaque.is_some() {
                    return Ok(true);
                }
            }
            // it is something else, or hidden itself, or said of itself
            Err(error) if error.is(libc::ENOTDIR) || error.is(libc::ELOOP) || error.is(libc::ENOENT) => {
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        match split(path) {
            Some((above, _)) => path = above,
            None => return Ok(false),
        }
    }
}

struct Look<'a> {
    how: &'a How<'a>,
    found: Vec<Difference>,
    /// Names of hard-linked files that are to be one inode.
    links: BTreeMap<u64, Vec<(Entry, Vec<u8>, Stat)>>,
}

impl Look<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.how.most
    }

    fn say(&mut self, path: &[u8], what: impl Into<String>) {
        if !self.is_full() {
            self.found.push((path.to_vec(), what.into()));
        }
    }

    fn directory(&mut self, dir: &Dir, path: &[u8], meta: &Meta) -> Result<Marks> {
        let stat = dir.stat_self()?;
        let mut meta = meta.clone();
        if path.is_empty() {
            meta.mode |= 0o700; // this one stays open for us
        }
        self.metadata(path, &meta, &stat);
        let (mut xattrs, marks) =
            escape::read_marked(dir, From::Upper).context("read attributes of", dir.path())?;
        if path.is_empty() {
            xattrs.retain(|(name, _)| !name.starts_with(self.how.mark.as_bytes()));
        }
        self.xattrs(path, &meta.xattrs, &xattrs)?;
        Ok(marks)
    }

    fn metadata(&mut self, path: &[u8], meta: &Meta, stat: &Stat) {
        if stat.mode != meta.mode {
            self.say(path, format!("it has mode {:04o} instead of {:04o}", stat.mode, meta.mode));
        }
        if stat.mtime != (meta.mtime.secs, meta.mtime.nanos) {
            let (found, wanted) = (stat.mtime, meta.mtime);
            let text =
                format!("it is of {}.{:09} instead of {}.{:09}", found.0, found.1, wanted.secs, wanted.nanos);
            self.say(path, text);
        }
    }

    /// A name that is no directory. `base`: what files are; `None`: it is in a layer.
    fn leaf(
        &mut self,
        (dir, name): (&Dir, &CString),
        path: &[u8],
        entry: &Entry,
        stat: &Stat,
        base: Option<Files>,
    ) -> Result<()> {
        let (wanted, word) = match &entry.kind {
            Kind::File(_) => (FileType::RegularFile, "file"),
            Kind::Symlink(_) => (FileType::Symlink, "symbolic link"),
            Kind::Fifo => (FileType::Fifo, "FIFO"),
            Kind::Dir(_) => (FileType::Directory, "directory"),
        };
        if stat.kind != wanted {
            self.say(path, format!("it is no {word}"));
            return Ok(());
        }
        let shown = if base == Some(Files::Shared) { normal::entry(entry) } else { None };
        self.metadata(path, &shown.as_ref().unwrap_or(entry).meta, stat);
        let is_object =
            matches!(base, Some(Files::Links | Files::Shared)) && stat.kind == FileType::RegularFile;
        if entry.group != 0 && base.is_some() {
            self.links.entry(entry.group).or_default().push((entry.clone(), path.to_vec(), *stat));
        } else if base.is_some() && stat.nlink > 1 && !is_object {
            self.say(path, "it shares its inode");
        }
        match &entry.kind {
            Kind::Symlink(target) if dir.read_link(name)? != *target => {
                self.say(path, "it leads elsewhere");
            }
            Kind::Fifo => {
                let xattrs = escape::read_fifo(dir, name).context("read attributes of", dir.join(name))?;
                self.xattrs(path, &entry.meta.xattrs, &xattrs)?;
            }
            Kind::File(content) => {
                self.file((dir, name), path, (entry, content), stat, base == Some(Files::Stubs))?
            }
            Kind::Symlink(_) | Kind::Dir(_) => {}
        }
        Ok(())
    }

    fn file(
        &mut self,
        (dir, name): (&Dir, &CString),
        path: &[u8],
        (entry, content): (&Entry, &Content),
        stat: &Stat,
        stubs: bool,
    ) -> Result<()> {
        if stat.size != content.size {
            self.say(path, format!("it has {} bytes instead of {}", stat.size, content.size));
        }
        let file = dir.open_file(name)?;
        let shown = dir.join(name);
        let xattrs = escape::read_xattrs(&file, From::Upper).context("read attributes of", &shown)?;
        self.xattrs(path, &entry.meta.xattrs, &xattrs)?;
        let get = |name| xattr::get(&file, name).context("read attributes of", &shown);
        let (metacopy, redirect) = (get(c"user.overlay.metacopy")?, get(c"user.overlay.redirect")?);
        let object = (stubs && content.size > 0).then(|| format!("/{}", content.digest.object_path()));
        if metacopy.is_some() != object.is_some() {
            self.say(path, if object.is_some() { "it is no stub" } else { "it is a stub" });
        } else if redirect != object.map(String::into_bytes) {
            self.say(path, "it leads to another object");
        }
        if self.how.deep && !stubs && stat.size == content.size {
            let digest = publish::hash(file.as_fd(), content.size, content.sparse).context("hash", &shown)?;
            if digest != content.digest {
                self.say(path, "its content has another digest");
            }
        }
        Ok(())
    }

    fn xattrs(&mut self, path: &[u8], wanted: &Xattrs, found: &Xattrs) -> Result<()> {
        if wanted != found && looked(self.held(wanted))?.ok().as_ref() != Some(found) {
            self.say(path, "its attributes differ");
        }
        Ok(())
    }

    /// The attributes as this filesystem and these namespaces hold them.
    fn held(&self, wanted: &Xattrs) -> Result<Xattrs> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let try_it = || {
            let file = rustix::fs::open(self.how.scratch, flags, Mode::RUSR | Mode::WUSR)?;
            escape::write_xattrs(&file, wanted, To::Overlay)?;
            escape::read_xattrs(&file, From::Upper)
        };
        try_it().context("try attributes in", self.how.scratch)
    }

    /// Names of one file that are alike are one inode.
    fn finish(mut self) -> Result<Vec<Difference>> {
        for members in std::mem::take(&mut self.links).into_values() {
            for (entry, path, stat) in &members {
                let alike = |other: &&(Entry, Vec<u8>, Stat)| {
                    other.0.meta == entry.meta && other.0.kind == entry.kind
                };
                let company = members.iter().filter(alike).count();
                if company > 1 && stat.nlink == 1 {
                    self.say(path, "it is no hard link");
                }
                if company == 1 && stat.nlink > 1 {
                    self.say(path, "it shares its inode");
                }
            }
        }
        self.found.sort_by(|(a, _), (b, _)| tree_order(a, b));
        Ok(self.found)
    }
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path {
        [] => name.to_vec(),
        _ => [path, name].join(&b'/'),
    }
}
