//! What differs between two roots, path by path, in tree order.
//!
//! Equal subtrees and equal chunks are not read: the cost goes with the differences.

use crate::cas::digest::Digest;
use crate::error::Result;
use crate::manifest::chunk::{Pair, pairs};
use crate::manifest::dir::{push_name, read_root};
use crate::manifest::node::{Entry, Kind};
use crate::manifest::store::Trees;

/// A path the two roots do not agree on: at least one side is there, and the sides
/// differ. A directory differs already when something below it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: Vec<u8>,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

/// What sort of change it is; of several the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Added,
    Removed,
    /// Another kind: file, symbolic link, fifo, directory.
    Retyped,
    /// A file's bytes or a link's target.
    Content,
    /// Mode, mtime, xattrs or group; in a directory perhaps also something below.
    Meta,
    /// A directory that differs only by what is in it.
    Below,
}

impl Change {
    /// What sort of change it is.
    pub fn what(&self) -> What {
        let (before, after) = match (&self.before, &self.after) {
            (None, _) => return What::Added,
            (_, None) => return What::Removed,
            (Some(before), Some(after)) => (before, after),
        };
        match (&before.kind, &after.kind) {
            (Kind::File(old), Kind::File(new)) if old != new => What::Content,
            (Kind::Symlink(old), Kind::Symlink(new)) if old != new => What::Content,
            (Kind::Dir(_), Kind::Dir(_)) if before.meta == after.meta => What::Below,
            (old, new) if std::mem::discriminant(old) != std::mem::discriminant(new) => What::Retyped,
            _ => What::Meta,
        }
    }

    /// The name appeared, went, or stands for something else. True for a directory
    /// only when it appeared, went, or changed its kind.
    pub fn is_content(&self) -> bool {
        matches!(self.what(), What::Added | What::Removed | What::Retyped | What::Content)
    }

    /// Only metadata of the entry itself changed.
    pub fn is_metadata_only(&self) -> bool {
        self.what() == What::Meta
    }

    /// A directory that is here only for what changed below it.
    pub fn is_below_only(&self) -> bool {
        self.what() == What::Below
    }

    /// Either side is a directory.
    pub fn has_dir(&self) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(Entry::is_dir)
    }
}

/// Calls `visit` for every path that differs between two roots, a directory before
/// what is in it; `None` is a root with nothing, not even itself. Of a directory that
/// one side alone has, everything below is visited too; where a file became a
/// directory, its name once and then what is in the directory. An error of `visit`
/// ends it.
pub fn diff(
    trees: &dyn Trees,
    before: Option<&Digest>,
    after: Option<&Digest>,
    visit: &mut dyn FnMut(Change) -> Result<()>,
) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let read = |root: Option<&Digest>| root.map(|root| read_root(trees, root)).transpose();
    let top = Pair { name: Vec::new(), before: read(before)?, after: read(after)? };
    let mut path = Vec::new();
    // Per open directory: the length of its path, and the pairs still to be visited.
    let mut stack = vec![(0, vec![top].into_iter())];
    while let Some((length, rest)) = stack.last_mut() {
        path.truncate(*length);
        let Some(pair) = rest.next() else {
            stack.pop();
            continue;
        };
        push_name(&mut path, &pair.name);
        let tree = |entry: &Option<Entry>| entry.as_ref().and_then(Entry::tree);
        let (old, new) = (tree(&pair.before), tree(&pair.after));
        visit(Change { path: path.clone(), before: pair.before, after: pair.after })?;
        if old != new {
            stack.push((path.len(), pairs(trees, old.as_ref(), new.as_ref())?.into_iter()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;
    use crate::manifest::dir::{write_dir, write_root};
    use crate::manifest::edit::{Edit, apply};
    use crate::manifest::model::{Counting, Model, any_model, build, dir, file, joined, link, model, unfold};

    fn changes(trees: &Counting, before: Option<&Digest>, after: Option<&Digest>) -> Vec<Change> {
        let mut all = Vec::new();
        diff(trees, before, after, &mut |change| {
            all.push(change);
            Ok(())
        })
        .unwrap();
        all
    }

    #[test]
    fn each_sort_of_change_is_told() {
        let trees = Counting::default();
        let old = model(&[
            ("dir/file", file("", 1)),
            ("dir/gone", file("", 1)),
            ("dir/mode", file("", 1)),
            ("dir/same", file("", 1)),
            ("retyped", file("", 1)),
            ("link", link("", "a")),
        ]);
        let mut new = model(&[
            ("dir/file", file("", 2)),
            ("dir/mode", file("", 1)),
            ("dir/same", file("", 1)),
            ("new/a/b", file("", 1)),
            ("retyped/x", file("", 1)),
            ("link", link("", "b")),
        ]);
        new.get_mut(&crate::manifest::model::key("dir/mode")).unwrap().meta.mode = 0o600;
        new.get_mut(&vec![]).unwrap().meta.mode = 0o700;
        let (a, b) = (build(&trees, &old), build(&trees, &new));
        let told: Vec<(String, What)> = changes(&trees, Some(&a), Some(&b))
            .into_iter()
            .map(|change| (String::from_utf8(change.path.clone()).unwrap(), change.what()))
            .collect();
        let want = [
            ("", What::Meta),
            ("dir", What::Below),
            ("dir/file", What::Content),
            ("dir/gone", What::Removed),
            ("dir/mode", What::Meta),
            ("link", What::Content),
            ("new", What::Added),
            ("new/a", What::Added),
            ("new/a/b", What::Added),
            ("retyped", What::Retyped),
            ("retyped/x", What::Added),
        ];
        assert_eq!(told, want.map(|(path, what)| (path.to_string(), what)));
        assert_eq!(changes(&trees, None, Some(&a)).len(), old.len());
        assert!(changes(&trees, None, None).is_empty());
    }

    #[test]
    fn one_changed_file_reads_a_few_bodies_only() {
        let trees = Counting::default();
        let mut tree = write_dir(&trees, &[file("leaf", 1)]).unwrap();
        for level in 0..20u64 {
            let mut wide: Vec<Entry> = (0..3_000).map(|n| file(&format!("f{n:04}"), n * level)).collect();
            wide.insert(0, dir("d", tree));
            tree = write_dir(&trees, &wide).unwrap();
        }
        let a = write_root(&trees, &dir("", tree)).unwrap();
        let path = format!("{}/leaf", vec!["d"; 20].join("/"));
        let b = apply(&trees, &a, vec![(path.into_bytes(), Edit::Put(file("leaf", 2)))]).unwrap();
        trees.reset();
        assert_eq!(changes(&trees, Some(&a), Some(&b)).len(), 22);
        // Per level index and one chunk, on two sides; the root records; the last list.
        assert_eq!(trees.gets.get(), 20 * 4 + 2 + 2);
    }

    #[test]
    fn a_tree_3000_deep_is_compared() {
        let trees = Counting::default();
        let deep = |seed| {
            let mut tree = write_dir(&trees, &[file("leaf", seed)]).unwrap();
            for _ in 0..3_000 {
                tree = write_dir(&trees, &[dir("d", tree)]).unwrap();
            }
            write_root(&trees, &dir("", tree)).unwrap()
        };
        let all = changes(&trees, Some(&deep(1)), Some(&deep(2)));
        assert_eq!(all.len(), 3_002);
        assert_eq!(all.last().unwrap().path.len(), 2 * 3_000 + 4);
    }

    #[test]
    fn an_error_of_the_visitor_ends_it() {
        let trees = Counting::default();
        let root = build(&trees, &model(&[("a", file("", 1)), ("b", file("", 1))]));
        let mut seen = 0;
        let ended = diff(&trees, None, Some(&root), &mut |_| {
            seen += 1;
            if seen == 2 { Err(Error::failure("enough")) } else { Ok(()) }
        });
        assert_eq!((ended.unwrap_err().to_string(), seen), ("enough".to_string(), 2));
    }

    proptest! {
        #[test]
        fn diff_equals_comparing_the_models(before in any_model(), after in any_model()) {
            let trees = Counting::default();
            let (a, b) = (build(&trees, &before), build(&trees, &after));
            let all = changes(&trees, Some(&a), Some(&b));
            prop_assert!(all.is_sorted_by(|a, b| crate::manifest::dir::tree_order(&a.path, &b.path).is_lt()));
            let below = |model: &Model, key: &Vec<Vec<u8>>| -> Model {
                let at_or_below = model.iter().filter(|(path, _)| path.starts_with(key));
                at_or_below.map(|(path, entry)| (path.clone(), entry.clone())).collect()
            };
            let mut keys: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
            keys.sort();
            keys.dedup();
            // A path differs when anything at or below it does.
            keys.retain(|key| below(&before, key) != below(&after, key));
            let want: Vec<Vec<u8>> = keys.iter().map(|key| joined(key)).collect();
            let got: Vec<Vec<u8>> = all.iter().map(|change| change.path.clone()).collect();
            prop_assert_eq!(got, want);
            let (old, new) = (unfold(&trees, &a), unfold(&trees, &b));
            for change in &all {
                let path = std::str::from_utf8(&change.path).unwrap();
                let key = crate::manifest::model::key(path);
                prop_assert_eq!(change.before.as_ref().map(|e| &e.meta), old.get(&key).map(|e| &e.meta));
                prop_assert_eq!(change.after.as_ref().map(|e| &e.meta), new.get(&key).map(|e| &e.meta));
            }
        }
    }
}
