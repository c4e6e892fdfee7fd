//! A root and a list of edits give another root.
//!
//! The edits are one flat list; they are sorted into tree order here, so that one
//! pass with a stack of open directories meets each directory once. Only directories
//! on the way to an edit are read and written, and of one that is cut into chunks only
//! the index and the touched chunks. The result is what building from nothing gives.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::cas::digest::Digest;
use crate::error::{Error, Result, quoted};
use crate::manifest::chunk::{Change, Listing};
use crate::manifest::dir::{check_path, components, open_root, tree_order, write_root};
use crate::manifest::node::{Entry, Kind, Meta};
use crate::manifest::store::Trees;

/// What becomes of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Nothing is there any more, nor below; removing what is not there is no error.
    Remove,
    /// A file, symbolic link, fifo, or a whole directory by its tree, whatever was there
    /// before. Its name is the path's last component; no other edit may lie below it.
    Put(Entry),
    /// A directory. One that was there keeps what is in it, unless `opaque`: then
    /// only what other edits put into it is there. It takes the place of anything else.
    Dir { meta: Meta, opaque: bool },
}

/// Applies edits by path; gives the new root. An edit below a directory that is there
/// and not mentioned goes through it. Failures: a path twice, a path that is none, an
/// edit below what is not a directory, and for the root anything but `Dir`.
pub fn apply(trees: &dyn Trees, root: &Digest, mut edits: Vec<(Vec<u8>, Edit)>) -> Result<Digest> {
    for (path, _) in &edits {
        check_path(path)?;
    }
    edits.sort_unstable_by(|a, b| tree_order(&a.0, &b.0));
    if let Some(twice) = edits.windows(2).find(|two| two[0].0 == two[1].0) {
        return Err(refused(&twice[0].0, "it is there twice"));
    }
    let (old, tree) = open_root(trees, root)?;
    let mut open = Open { trees, stack: Vec::new(), here: Frame::new(&[], old.meta, Some(tree)) };
    for (path, edit) in edits {
        open.edit(&path, edit)?;
    }
    write_root(trees, &open.finish()?)
}

fn refused(path: &[u8], why: &str) -> Error {
    let path = quoted(OsStr::from_bytes(path));
    Error::failure(format!("cannot apply the edit of {path}: {why}"))
}

/// A directory that is being changed.
struct Frame<'t> {
    name: Vec<u8>,
    meta: Meta,
    /// What was in it; `None` is nothing.
    tree: Option<Digest>,
    /// Read from `tree` when first asked.
    listing: Option<Listing<'t>>,
    /// By name; the last one may still be met as a parent.
    changes: Vec<Change>,
}

impl<'t> Frame<'t> {
    fn new(name: &[u8], meta: Meta, tree: Option<Digest>) -> Self {
        Self { name: name.to_vec(), meta, tree, listing: None, changes: Vec::new() }
    }

    fn listing(&mut self, trees: &'t dyn Trees) -> Result<&mut Listing<'t>> {
        let listing = match self.listing.take() {
            Some(listing) => listing,
            None => Listing::open(trees, self.tree.as_ref())?,
        };
        Ok(self.listing.insert(listing))
    }

    /// The metadata and tree of a directory in this one.
    fn below(&mut self, trees: &'t dyn Trees, name: &[u8]) -> Result<Option<(Meta, Digest)>> {
        // What an edit has already put here is a leaf or nothing: directories of
        // edits are still open when the edits below them come.
        if self.changes.last().is_some_and(|change| change.0 == name) {
            return Ok(None);
        }
        let entry = self.listing(trees)?.get(name)?;
        Ok(entry.and_then(|entry| Some((entry.meta.clone(), entry.tree()?))))
    }

    /// Stores the directory.
    fn close(self, trees: &'t dyn Trees) -> Result<Entry> {
        let tree = match (self.tree, self.listing) {
            (Some(tree), _) if self.changes.is_empty() => tree,
            (_, Some(listing)) => listing.update(self.changes)?,
            (tree, None) => Listing::open(trees, tree.as_ref())?.update(self.changes)?,
        };
        Ok(Entry { name: self.name, meta: self.meta, group: 0, kind: Kind::Dir(tree) })
    }
}

/// The directories from the root down to the one at hand.
struct Open<'t> {
    trees: &'t dyn Trees,
    /// Those above `here`.
    stack: Vec<Frame<'t>>,
    here: Frame<'t>,
}

impl<'t> Open<'t> {
    fn edit(&mut self, path: &[u8], edit: Edit) -> Result<()> {
        let names: Vec<&[u8]> = components(path).collect();
        let Some((name, above)) = names.split_last() else { return self.edit_root(edit) };
        self.go_to(path, above)?;
        match edit {
            Edit::Remove => self.here.changes.push((name.to_vec(), None)),
            Edit::Put(entry) if entry.name != *name => return Err(refused(path, "its name is another")),
            Edit::Put(entry) => self.here.changes.push((name.to_vec(), Some(entry))),
            Edit::Dir { meta, opaque } => {
                let old = if opaque { None } else { self.here.below(self.trees, name)? };
                self.enter(Frame::new(name, meta, old.map(|(_, tree)| tree)));
            }
        }
        Ok(())
    }

    fn edit_root(&mut self, edit: Edit) -> Result<()> {
        let Edit::Dir { meta, opaque } = edit else {
            return Err(refused(b"", "the root stays a directory"));
        };
        self.here.meta = meta;
        if opaque {
            self.here.tree = None;
        }
        Ok(())
    }

    /// Closes what is done and opens what is missing, until `here` is the directory
    /// with these names.
    fn go_to(&mut self, path: &[u8], names: &[&[u8]]) -> Result<()> {
        let opened = self.stack.iter().skip(1).chain((!self.stack.is_empty()).then_some(&self.here));
        let common = opened.zip(names).take_while(|(frame, name)| frame.name == **name).count();
        while self.stack.len() > common {
            self.leave()?;
        }
        for name in &names[common..] {
            let Some((meta, tree)) = self.here.below(self.trees, name)? else {
                return Err(refused(path, "what is above it is not a directory"));
            };
            self.enter(Frame::new(name, meta, Some(tree)));
        }
        Ok(())
    }

    fn enter(&mut self, below: Frame<'t>) {
        self.stack.push(std::mem::replace(&mut self.here, below));
    }

    fn leave(&mut self) -> Result<()> {
        let Some(above) = self.stack.pop() else { return Ok(()) };
        let entry = std::mem::replace(&mut self.here, above).close(self.trees)?;
        self.here.changes.push((entry.name.clone(), Some(entry)));
        Ok(())
    }

    fn finish(mut self) -> Result<Entry> {
        while !self.stack.is_empty() {
            self.leave()?;
        }
        self.here.close(self.trees)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::manifest::dir::{lookup, read_root, write_dir, write_empty_root};
    use crate::manifest::model::{
        Counting, Model, any_model, any_small, build, dir, fifo, file, joined, key, link, meta, model, unfold,
    };

    fn put(path: &str, entry: Entry) -> (Vec<u8>, Edit) {
        let name = path.rsplit('/').next().unwrap().into();
        (path.into(), Edit::Put(Entry { name, ..entry }))
    }

    fn make(path: &str, opaque: bool) -> (Vec<u8>, Edit) {
        (path.into(), Edit::Dir { meta: meta(0o700, 5), opaque })
    }

    fn start() -> Model {
        model(&[("a/b/c", file("", 1)), ("a/d", link("", "b")), ("e", fifo(""))])
    }

    #[test]
    fn directories_keep_lose_and_replace() {
        let trees = Counting::default();
        let root = build(&trees, &start());
        let after = |edits: Vec<(Vec<u8>, Edit)>| {
            let root = apply(&trees, &root, edits).unwrap();
            let paths: Vec<Vec<u8>> = unfold(&trees, &root).keys().map(|key| joined(key)).collect();
            String::from_utf8(paths.join(&b' ')).unwrap()
        };
        assert_eq!(after(vec![]), " a a/b a/b/c a/d e");
        assert_eq!(after(vec![make("a", false)]), " a a/b a/b/c a/d e");
        assert_eq!(after(vec![make("a", true)]), " a e");
        assert_eq!(after(vec![put("a/x", fifo("")), make("a", true)]), " a a/x e");
        assert_eq!(after(vec![make("a", true), make("a/b", false)]), " a a/b e");
        assert_eq!(after(vec![make("e", false), put("e/x", fifo(""))]), " a a/b a/b/c a/d e e/x");
        assert_eq!(after(vec![put("a", fifo(""))]), " a e");
        assert_eq!(
            after(vec![(b"a/b".to_vec(), Edit::Remove), (b"none".to_vec(), Edit::Remove)]),
            " a a/d e"
        );
        assert_eq!(after(vec![make("", true), put("z", fifo(""))]), " z");
        let renamed = apply(&trees, &root, vec![make("", false)]).unwrap();
        assert_eq!(read_root(&trees, &renamed).unwrap().meta, meta(0o700, 5));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let trees = Counting::default();
        let root = build(&trees, &start());
        for edits in [
            vec![put("e", fifo("")), make("e", false)],
            vec![put("e/x", fifo(""))],
            vec![put("none/x", fifo(""))],
            vec![(b"a/b/c/x".to_vec(), Edit::Remove)],
            vec![(b"a".to_vec(), Edit::Remove), put("a/x", fifo(""))],
            vec![put("a", fifo("")), put("a/x", fifo(""))],
            vec![make("a", true), put("a/b/x", fifo(""))],
            vec![(b"x".to_vec(), Edit::Put(fifo("y")))],
            vec![put("x", dir("", write_dir(&trees, &[]).unwrap())), put("x/y", fifo(""))],
            vec![put("", fifo(""))],
            vec![(vec![], Edit::Remove)],
            vec![make("a/../x", false)],
        ] {
            assert!(apply(&trees, &root, edits.clone()).is_err(), "{edits:?}");
        }
    }

    #[test]
    fn only_the_way_to_an_edit_is_read_and_written() {
        let trees = Counting::default();
        let leaves: Vec<(String, Entry)> =
            (0..900).map(|n| (format!("d{}/e{}/f{n}", n % 30, n % 9), file("", n))).collect();
        let leaves: Vec<(&str, Entry)> =
            leaves.iter().map(|(path, leaf)| (path.as_str(), leaf.clone())).collect();
        let root = build(&trees, &model(&leaves));
        trees.reset();
        apply(&trees, &root, vec![put("d3/e3/f3", fifo("")), put("d3/e3/new", fifo(""))]).unwrap();
        assert_eq!((trees.gets.get(), trees.news.get()), (4, 4));
    }

    #[test]
    fn a_tree_3000_deep_is_edited() {
        let trees = Counting::default();
        let root = write_empty_root(&trees, meta(0o755, 0)).unwrap();
        let deep: Vec<String> = (1..=3_000).map(|depth| vec!["d"; depth].join("/")).collect();
        let root = apply(&trees, &root, deep.iter().map(|path| make(path, false)).collect()).unwrap();
        let leaf = format!("{}/f", deep.last().unwrap());
        let root = apply(&trees, &root, vec![put(&leaf, file("", 1))]).unwrap();
        assert_eq!(lookup(&trees, &root, leaf.as_bytes()).unwrap().unwrap().name, b"f");
    }

    /// The plain way: each edit on the map, in tree order; `None` where `apply` must fail.
    fn by_model(mut model: Model, edits: &BTreeMap<Vec<Vec<u8>>, Edit>) -> Option<Model> {
        for (key, edit) in edits {
            let above = key.split_last().map(|(_, above)| above);
            if above.is_some_and(|above| !model.get(above).is_some_and(Entry::is_dir)) {
                return None;
            }
            let old = model.get(key).cloned();
            let keep = matches!(edit, Edit::Dir { opaque: false, .. });
            model.retain(|path, _| keep || !path.starts_with(key));
            if let Some(leaf) = match edit {
                Edit::Remove => None,
                Edit::Put(entry) => Some(entry.clone()),
                Edit::Dir { meta, .. } => {
                    let new = dir("", crate::manifest::model::UNKNOWN);
                    let old = old.filter(Entry::is_dir).unwrap_or(new);
                    let name = key.last().cloned().unwrap_or_default();
                    Some(Entry { name, meta: meta.clone(), ..old })
                }
            } {
                model.insert(key.clone(), leaf);
            }
        }
        Some(model)
    }

    fn any_edits() -> impl Strategy<Value = BTreeMap<Vec<Vec<u8>>, Edit>> {
        let part = prop::sample::select(vec!["a", "b", "b-", "b.c"]);
        let path = prop::collection::vec(part, 1..4).prop_map(|parts| key(&parts.join("/")));
        let edit = (any_small(), any::<bool>(), 0u8..4);
        prop::collection::btree_map(path, edit, 0..8).prop_map(|edits| {
            let edit = |(key, (entry, opaque, what)): (Vec<Vec<u8>>, (Entry, bool, u8))| {
                let edit = match what {
                    0 => Edit::Remove,
                    1 if !entry.is_dir() => Edit::Put(Entry { name: key.last().unwrap().clone(), ..entry }),
                    _ => Edit::Dir { meta: meta(0o700, 1), opaque },
                };
                (key, edit)
            };
            edits.into_iter().map(edit).collect()
        })
    }

    proptest! {
        #[test]
        fn apply_equals_building_the_edited_model(before in any_model(), edits in any_edits()) {
            let trees = Counting::default();
            let root = build(&trees, &before);
            prop_assert_eq!(unfold(&trees, &root), before.clone());
            // Unsorted on purpose.
            let list = edits.iter().rev().map(|(key, edit)| (joined(key), edit.clone())).collect();
            match by_model(before, &edits) {
                Some(after) => prop_assert_eq!(apply(&trees, &root, list).unwrap(), build(&trees, &after)),
                None => prop_assert!(apply(&trees, &root, list).is_err()),
            }
        }
    }
}
