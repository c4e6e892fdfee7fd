//! Three roots give one, by path: what a side changed since the base is taken; what
//! both changed alike is no conflict; what both changed otherwise is one.
//!
//! | | result | conflict |
//! |---|---|---|
//! | one side changed the content, the other at most metadata | that side's entry, mode and mtime with it; xattrs by name | no |
//! | metadata on both sides | field by field; where both differ the winner's, of mtimes the later | no |
//! | deleted, and metadata changed | deleted | no |
//! | deleted, and content changed | the changed entry, whoever wins | yes |
//! | two contents of files | by lines if [`TextMerge`] can | only if it cannot |
//! | anything else, as a file and a directory | the winner's | yes |
//!
//! A directory has no content of its own: its metadata is merged as above, and what is
//! in it by itself. Deleted on one side it stays as long as something in it stays,
//! which is what the other side changed (a conflict each) or added (none).
//!
//! A name takes the group of the entry it takes, so names of one group can end with
//! unequal entries: only names equal in group, kind and metadata are to be linked.
//!
//! Subtrees and chunks that two of the three have alike are not read.

use crate::cas::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::chunk::{Change, Listing, pairs};
use crate::manifest::dir::{empty_dir, push_name, read_root, write_root};
use crate::manifest::node::{Content, Entry, Kind, Meta, Xattrs};
use crate::manifest::store::Trees;

/// Whose version stands where only one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ours,
    Theirs,
}

/// Merges two changed contents of one file.
pub trait TextMerge {
    /// The merged content, stored; `None` when these are not for merging or do not
    /// merge. `base` is `None` when both sides added the file.
    fn merge(&self, base: Option<&Content>, ours: &Content, theirs: &Content) -> Result<Option<Content>>;
}

/// Merges no contents.
pub struct NoText;

impl TextMerge for NoText {
    fn merge(&self, _: Option<&Content>, _: &Content, _: &Content) -> Result<Option<Content>> {
        Ok(None)
    }
}

/// A path both sides changed, and not alike. At least one of `ours` and `theirs` is
/// there. Nothing below a path in conflict is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub path: Vec<u8>,
    pub base: Option<Entry>,
    pub ours: Option<Entry>,
    pub theirs: Option<Entry>,
}

/// The outcome of [`merge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub root: Digest,
    /// In tree order.
    pub conflicts: Vec<Conflict>,
}

/// Merges two roots that came from `base`; `None` is a base with nothing. Exchanging
/// the sides and the winner gives the same root, and conflicts with the sides exchanged.
pub fn merge(
    trees: &dyn Trees,
    base: Option<&Digest>,
    ours: &Digest,
    theirs: &Digest,
    winner: Side,
    text: &dyn TextMerge,
) -> Result<Merged> {
    if ours == theirs || base == Some(theirs) {
        return Ok(Merged { root: *ours, conflicts: Vec::new() });
    }
    if base == Some(ours) {
        return Ok(Merged { root: *theirs, conflicts: Vec::new() });
    }
    let base = base.map(|base| read_root(trees, base)).transpose()?;
    let (ours, theirs) = (Some(read_root(trees, ours)?), Some(read_root(trees, theirs)?));
    let mut run = Run { trees, rules: Rules { winner, text }, conflicts: Vec::new() };
    // Two directories always merge into one.
    let merged = run.all(Three { name: Vec::new(), base, ours, theirs })?;
    let merged = merged.ok_or_else(|| Error::corrupt("two roots did not merge into one"))?;
    let root = write_root(trees, &merged)?;
    Ok(Merged { root, conflicts: run.conflicts })
}

/// One name on all sides.
#[derive(Clone)]
struct Three {
    name: Vec<u8>,
    base: Option<Entry>,
    ours: Option<Entry>,
    theirs: Option<Entry>,
}

impl Three {
    fn trees(&self) -> [Option<Digest>; 3] {
        [&self.base, &self.ours, &self.theirs].map(|entry| entry.as_ref().and_then(Entry::tree))
    }
}

/// What is to be done with a name.
enum Step {
    Take(Option<Entry>),
    Conflict(Option<Entry>),
    /// A directory with this metadata; what is in it is still to be merged. One that
    /// was deleted stays only if something in it does.
    Descend {
        meta: Meta,
        deleted: bool,
    },
}

/// A directory whose names are being merged.
struct Frame {
    three: Three,
    meta: Meta,
    deleted: bool,
    /// The length of its path.
    length: usize,
    rest: std::vec::IntoIter<Three>,
    /// What the result has otherwise than ours, by name.
    changes: Vec<Change>,
}

struct Run<'a> {
    trees: &'a dyn Trees,
    rules: Rules<'a>,
    conflicts: Vec<Conflict>,
}

impl Run<'_> {
    /// Merges the topmost entry and all below it.
    fn all(&mut self, top: Three) -> Result<Option<Entry>> {
        let mut path = top.name.clone();
        let mut stack: Vec<Frame> = Vec::new();
        let mut next = Some(top);
        loop {
            // Down, or along: one name is decided or opened.
            let (three, merged) = match next.take() {
                Some(three) => match self.rules.step(&three)? {
                    Step::Take(entry) => (three, entry),
                    Step::Conflict(entry) => {
                        let Three { base, ours, theirs, .. } = three.clone();
                        self.conflicts.push(Conflict { path: path.clone(), base, ours, theirs });
                        (three, entry)
                    }
                    Step::Descend { meta, deleted } => {
                        stack.push(self.open(three, meta, deleted, path.len())?);
                        next = following(&mut stack, &mut path);
                        continue;
                    }
                },
                // Up: a directory is done.
                None => match stack.pop() {
                    Some(frame) => self.close(frame)?,
                    None => return Ok(None),
                },
            };
            match stack.last_mut() {
                Some(above) if merged != three.ours => above.changes.push((three.name, merged)),
                Some(_) => {}
                None => return Ok(merged),
            }
            next = following(&mut stack, &mut path);
        }
    }

    /// Lists the names that theirs has otherwise than both the base and ours.
    fn open(&self, three: Three, meta: Meta, deleted: bool, length: usize) -> Result<Frame> {
        let [base, ours, theirs] = three.trees();
        let mut by_us = pairs(self.trees, base.as_ref(), ours.as_ref())?.into_iter().peekable();
        let mut rest = Vec::new();
        for pair in pairs(self.trees, base.as_ref(), theirs.as_ref())? {
            while by_us.next_if(|ours| ours.name < pair.name).is_some() {}
            let ours = match by_us.next_if(|ours| ours.name == pair.name) {
                Some(ours) => ours.after,
                None => pair.before.clone(),
            };
            if ours != pair.after {
                rest.push(Three { name: pair.name, base: pair.before, ours, theirs: pair.after });
            }
        }
        Ok(Frame { three, meta, deleted, length, rest: rest.into_iter(), changes: Vec::new() })
    }

    /// Stores a merged directory.
    fn close(&self, frame: Frame) -> Result<(Three, Option<Entry>)> {
        let Frame { three, meta, deleted, changes, .. } = frame;
        let [_, ours, _] = three.trees();
        let tree = match ours {
            Some(tree) if changes.is_empty() => tree,
            _ => Listing::open(self.trees, ours.as_ref())?.update(changes)?,
        };
        if deleted && tree == empty_dir()? {
            return Ok((three, None));
        }
        let merged = Entry { name: three.name.clone(), meta, group: 0, kind: Kind::Dir(tree) };
        Ok((three, Some(merged)))
    }
}

/// The next name of the innermost directory, and its path.
fn following(stack: &mut [Frame], path: &mut Vec<u8>) -> Option<Three> {
    let frame = stack.last_mut()?;
    path.truncate(frame.length);
    let three = frame.rest.next()?;
    push_name(path, &three.name);
    Some(three)
}

/// The table at the top of this file.
struct Rules<'a> {
    winner: Side,
    text: &'a dyn TextMerge,
}

impl Rules<'_> {
    fn step(&self, three: &Three) -> Result<Step> {
        let Three { base, ours, theirs, .. } = three;
        if ours == theirs || base == theirs {
            return Ok(Step::Take(ours.clone()));
        }
        if base == ours {
            return Ok(Step::Take(theirs.clone()));
        }
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => self.both(base.as_ref(), ours, theirs),
            (Some(left), None) | (None, Some(left)) => Ok(match base {
                Some(base) if base.kind == left.kind => Step::Take(None),
                Some(base) if base.is_dir() && left.is_dir() => {
                    Step::Descend { meta: left.meta.clone(), deleted: true }
                }
                _ => Step::Conflict(Some(left.clone())),
            }),
            (None, None) => Ok(Step::Take(None)),
        }
    }

    /// Both are there, and differ from each other and from the base.
    fn both(&self, base: Option<&Entry>, ours: &Entry, theirs: &Entry) -> Result<Step> {
        let base_kind = base.map(|base| &base.kind);
        let alike = base.filter(|base| same_sort(&base.kind, &ours.kind));
        let base_meta = alike.map(|base| &base.meta);
        if ours.is_dir() && theirs.is_dir() {
            return Ok(Step::Descend {
                meta: self.meta(base_meta, &ours.meta, &theirs.meta),
                deleted: false,
            });
        }
        if ours.kind == theirs.kind {
            let mut merged = ours.clone();
            merged.meta = self.meta(base_meta, &ours.meta, &theirs.meta);
            merged.group = self.field(alike.map(|base| &base.group), &ours.group, &theirs.group);
            return Ok(Step::Take(Some(merged)));
        }
        let (changed, other) = match base_kind {
            Some(kind) if *kind == ours.kind => (theirs, ours),
            Some(kind) if *kind == theirs.kind => (ours, theirs),
            _ => return self.contents(base, ours, theirs),
        };
        let mut merged = changed.clone();
        if same_sort(&changed.kind, &other.kind) {
            merged.meta.xattrs = self.xattrs(base_meta, &ours.meta.xattrs, &theirs.meta.xattrs);
        }
        Ok(Step::Take(Some(merged)))
    }

    /// Both changed the content.
    fn contents(&self, base: Option<&Entry>, ours: &Entry, theirs: &Entry) -> Result<Step> {
        if let (Some(our), Some(their)) = (ours.content(), theirs.content()) {
            let base = base.filter(|base| base.content().is_some());
            if let Some(content) = self.text.merge(base.and_then(Entry::content), our, their)? {
                let mut merged = ours.clone();
                merged.meta = self.meta(base.map(|base| &base.meta), &ours.meta, &theirs.meta);
                merged.meta.mtime = ours.meta.mtime.max(theirs.meta.mtime);
                // Neither side's entry: linked only if both sides agree on the names.
                merged.group = if ours.group == theirs.group { ours.group } else { 0 };
                merged.kind = Kind::File(content);
                return Ok(Step::Take(Some(merged)));
            }
        }
        Ok(Step::Conflict(Some(self.winning(ours, theirs).clone())))
    }

    fn winning<'e, T: ?Sized>(&self, ours: &'e T, theirs: &'e T) -> &'e T {
        match self.winner {
            Side::Ours => ours,
            Side::Theirs => theirs,
        }
    }

    fn field<T: PartialEq + Clone>(&self, base: Option<&T>, ours: &T, theirs: &T) -> T {
        if base == Some(ours) {
            theirs.clone()
        } else if base == Some(theirs) {
            ours.clone()
        } else {
            self.winning(ours, theirs).clone()
        }
    }

    fn meta(&self, base: Option<&Meta>, ours: &Meta, theirs: &Meta) -> Meta {
        let mode = self.field(base.map(|base| &base.mode), &ours.mode, &theirs.mode);
        let mtime = match base.map(|base| base.mtime) {
            Some(time) if time == ours.mtime => theirs.mtime,
            Some(time) if time == theirs.mtime => ours.mtime,
            _ => ours.mtime.max(theirs.mtime),
        };
        Meta { mode, mtime, xattrs: self.xattrs(base, &ours.xattrs, &theirs.xattrs) }
    }

    /// Each name by itself; not being there is a value like others.
    fn xattrs(&self, base: Option<&Meta>, ours: &Xattrs, theirs: &Xattrs) -> Xattrs {
        fn value<'x>(xattrs: &'x [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'x Vec<u8>> {
            let at = xattrs.binary_search_by(|xattr| xattr.0.as_slice().cmp(name)).ok()?;
            Some(&xattrs[at].1)
        }
        let base = base.map_or(&[][..], |base| &base.xattrs);
        let mut names: Vec<&Vec<u8>> = ours.iter().chain(theirs).map(|xattr| &xattr.0).collect();
        names.sort_unstable();
        names.dedup();
        let merged = |name: &Vec<u8>| {
            let kept = self.field(Some(&value(base, name)), &value(ours, name), &value(theirs, name));
            kept.map(|value| (name.clone(), value.clone()))
        };
        names.into_iter().filter_map(merged).collect()
    }
}

/// The same of file, symbolic link, fifo, directory.
fn same_sort(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
