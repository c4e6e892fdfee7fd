//! Everything that roots are made of: each tree body and each content once, however many
//! roots and directories share it.

use std::collections::HashSet;

use crate::cas::digest::Digest;
use crate::error::Result;
use crate::manifest::encode::{Body, decode};
use crate::manifest::node::{Content, Entry, Kind};
use crate::manifest::store::Trees;

/// One thing a root needs.
#[derive(Debug)]
pub enum Part<'a> {
    /// A body, with its digest. Comes before what it names.
    Tree(&'a Digest, &'a [u8]),
    /// A file's content that is not empty (an empty file needs no object).
    File(&'a Content),
}

/// A walk over roots that remembers what it has shown.
#[derive(Default)]
pub struct Reach {
    seen_trees: HashSet<Digest>,
    seen_files: HashSet<Digest>,
}

impl Reach {
    /// Whether a body has been shown.
    pub fn has_shown(&self, tree: &Digest) -> bool {
        self.seen_trees.contains(tree)
    }

    /// Shows what a root (or a tree) needs and no earlier call has shown. `Corrupt` when a
    /// body is missing or broken.
    pub fn walk(
        &mut self,
        trees: &dyn Trees,
        root: &Digest,
        show: &mut dyn FnMut(Part<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut ahead = vec![*root];
        while let Some(digest) = ahead.pop() {
            if !self.seen_trees.insert(digest) {
                continue;
            }
            let bytes = trees.get(&digest)?;
            let body = decode(&bytes)?;
            show(Part::Tree(&digest, &bytes))?;
            match body {
                Body::Root(entry) => self.entry(&entry, &mut ahead, show)?,
                Body::Index(chunks) => ahead.extend(chunks.iter().map(|chunk| chunk.digest)),
                Body::List(entries) => {
                    entries.iter().try_for_each(|entry| self.entry(entry, &mut ahead, show))?;
                }
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &Entry,
        ahead: &mut Vec<Digest>,
        show: &mut dyn FnMut(Part<'_>) -> Result<()>,
    ) -> Result<()> {
        match &entry.kind {
            Kind::Dir(tree) => ahead.push(*tree),
            Kind::File(content) if content.size > 0 && self.seen_files.insert(content.digest) => {
                show(Part::File(content))?;
            }
            Kind::File(_) | Kind::Symlink(_) | Kind::Fifo => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::dir::write_dir;
    use crate::manifest::model::{Counting, build, file, model};

    #[test]
    fn what_is_shared_is_shown_once() {
        let trees = Counting::default();
        let one = build(&trees, &model(&[("a/x", file("", 1)), ("b/x", file("", 1)), ("e", file("", 0))]));
        let two = build(&trees, &model(&[("a/x", file("", 1)), ("c", file("", 2))]));
        let mut reach = Reach::default();
        let mut count = |root| {
            let (mut bodies, mut files) = (0, 0);
            let mut show = |part: Part<'_>| {
                match part {
                    Part::Tree(digest, body) => {
                        assert_eq!(*digest, Digest::of(body));
                        bodies += 1;
                    }
                    Part::File(_) => files += 1,
                }
                Ok(())
            };
            reach.walk(&trees, &root, &mut show).unwrap();
            (bodies, files)
        };
        // the record, the top, and the directory that a and b both are; one file but the empty one
        assert_eq!(count(one), (3, 1));
        assert_eq!(count(two), (2, 1));
        assert_eq!(count(one), (0, 0));
    }

    #[test]
    fn a_large_directory_is_shown_with_its_chunks() {
        let trees = Counting::default();
        let mut many: Vec<Entry> = (0..5_000).map(|n| file(&format!("f{n}"), n + 1)).collect();
        many.sort_by(|a, b| a.name.cmp(&b.name));
        let tree = write_dir(&trees, &many).unwrap();
        let mut files = 0;
        let mut show = |part: Part<'_>| {
            files += usize::from(matches!(part, Part::File(_)));
            Ok(())
        };
        Reach::default().walk(&trees, &tree, &mut show).unwrap();
        assert_eq!(files, 5_000);
    }

    #[test]
    fn a_missing_body_is_named() {
        let missing = Digest::of(b"gone");
        let trees = Counting::default();
        let error = Reach::default().walk(&trees, &missing, &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains(&missing.hex()));
    }
}
