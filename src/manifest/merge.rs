//! Three roots give one, by path: what a side changed since the base is taken; what
//! both changed alike is no conflict; what both changed otherwise is one.
//!
//! | | result | conflict |
//! |---|---|---|
//! | one side changed the content, the other at most metadata | that side's entry, mode and mtime with it; xattrs by name | no |
//! | metadata on both sides | field by field; where both differ the winner's, of mtimes the later | no |
//! | deleted, and metadata changed | deleted | no |
//! | deleted, and content changed | the winner's: the changed entry, or nothing | yes |
//! | two contents of files | by lines if [`TextMerge`] can | only if it cannot |
//! | anything else, as a file and a directory | the winner's | yes |
//!
//! A directory has no content of its own: its metadata is merged as above, and what is
//! in it by itself. Deleted on one side it stays as long as something in it stays,
//! which is what the other side changed (a conflict each) or added (none).
//!
//! A repository (`.git`) is one unit where [`How::git`] says so: the tables in `git`.
//!
//! A name takes the group of the entry it takes, so names of one group can end with
//! unequal entries: only names equal in group, kind and metadata are to be linked.
//!
//! Subtrees and chunks that two of the three have alike are not read.

use crate::cas::Store;
use crate::cas::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::chunk::{Change, Listing, pairs};
use crate::manifest::dir::{empty_dir, push_name, read_root, write_root};
use crate::manifest::git;
use crate::manifest::node::{Entry, Kind, Meta};
use crate::manifest::store::Trees;
pub use crate::manifest::three_way::{NoText, Rules, Side, Step, TextMerge, Three};

/// A path both sides changed, and not alike. At least one of `ours` and `theirs` is
/// there. Nothing below a path in conflict is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub path: Vec<u8>,
    pub base: Option<Entry>,
    pub ours: Option<Entry>,
    pub theirs: Option<Entry>,
}

/// How to merge.
pub struct How<'a> {
    /// Whose version stands where only one can.
    pub winner: Side,
    pub text: &'a dyn TextMerge,
    /// Repositories are units; `None`: they are directories like others.
    pub git: Option<Git<'a>>,
    /// A file that both sides have with one content keeps our mtime.
    pub our_mtimes: bool,
}

/// How to merge repositories.
#[derive(Clone, Copy)]
pub struct Git<'a> {
    /// Has the files that say what a repository's state is.
    pub store: &'a Store,
    /// Whose repository stands where both sides changed its state.
    pub keeps: Side,
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
    how: &How<'_>,
) -> Result<Merged> {
    if ours == theirs || base == Some(theirs) {
        return Ok(Merged { root: *ours, conflicts: Vec::new() });
    }
    if base == Some(ours) && !how.our_mtimes {
        return Ok(Merged { root: *theirs, conflicts: Vec::new() });
    }
    let base = base.map(|base| read_root(trees, base)).transpose()?;
    let (ours, theirs) = (Some(read_root(trees, ours)?), Some(read_root(trees, theirs)?));
    let rules = Rules { winner: how.winner, text: how.text, our_mtimes: how.our_mtimes };
    let mut run = Run { trees, rules, git: how.git, conflicts: Vec::new() };
    // Two directories always merge into one.
    let merged = run.all(Three { name: Vec::new(), base, ours, theirs }, Vec::new())?;
    let merged = merged.ok_or_else(|| Error::corrupt("two roots did not merge into one"))?;
    let root = write_root(trees, &merged)?;
    Ok(Merged { root, conflicts: run.conflicts })
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

pub(super) struct Run<'a> {
    pub(super) trees: &'a dyn Trees,
    rules: Rules<'a>,
    /// `None` inside a repository too.
    pub(super) git: Option<Git<'a>>,
    conflicts: Vec<Conflict>,
}

impl Run<'_> {
    /// Merges the topmost entry, which has this path, and all below it.
    pub(super) fn all(&mut self, top: Three, mut path: Vec<u8>) -> Result<Option<Entry>> {
        let mut stack: Vec<Frame> = Vec::new();
        let mut next = Some(top);
        loop {
            // Down, or along: one name is decided or opened.
            let (three, merged) = match next.take() {
                Some(three) => match self.rules.step(&three)? {
                    Step::Take(entry) => (three, entry),
                    _ if three.name == git::NAME && self.git.is_some() && three.has_dir() => {
                        let merged = self.repository(&three, &path)?;
                        (three, merged)
                    }
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

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
