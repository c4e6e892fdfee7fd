//! A root's entries by path: a directory before what is in it, its files before its
//! directories.

use crate::cas::digest::Digest;
use crate::error::Result;
use crate::manifest::dir::{read_dir, read_root};
use crate::manifest::node::{Entry, Kind};
use crate::manifest::store::Trees;

/// The way through a root; the root itself comes first, with the empty path.
pub struct Walk<'a> {
    trees: &'a dyn Trees,
    /// Directories not read yet, the next one last.
    dirs: Vec<(Vec<u8>, Entry)>,
    /// The directory read last, its path and what is left of its files.
    path: Vec<u8>,
    leaves: std::vec::IntoIter<Entry>,
}

impl<'a> Walk<'a> {
    pub fn new(trees: &'a dyn Trees, root: &Digest) -> Result<Self> {
        let dirs = vec![(Vec::new(), read_root(trees, root)?)];
        Ok(Self { trees, dirs, path: Vec::new(), leaves: Vec::new().into_iter() })
    }

    fn enter(&mut self, path: Vec<u8>, tree: &Digest) -> Result<()> {
        let (dirs, leaves): (Vec<_>, Vec<_>) =
            read_dir(self.trees, tree)?.into_iter().partition(|entry| matches!(entry.kind, Kind::Dir(_)));
        self.dirs.extend(dirs.into_iter().rev().map(|entry| (joined(&path, &entry.name), entry)));
        self.leaves = leaves.into_iter();
        self.path = path;
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(Vec<u8>, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.leaves.next() {
            return Some(Ok((joined(&self.path, &entry.name), entry)));
        }
        let (path, entry) = self.dirs.pop()?;
        let read = entry.tree().map_or(Ok(()), |tree| self.enter(path.clone(), &tree));
        Some(read.map(|()| (path, entry)))
    }
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path {
        [] => name.to_vec(),
        _ => [path, name].join(&b'/'),
    }
}
