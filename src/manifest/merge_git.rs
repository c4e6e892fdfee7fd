//! Merging two repositories into one: the tables in `git`.

use std::collections::BTreeMap;

use super::chunk::{Change, Listing};
use super::dir::{push_name, read_dir};
use super::git::state::{self, State};
use super::git::unit::{Adds, adds, stands, union};
use super::merge::{Git, Run};
use super::node::{Entry, Kind};
use super::three_way::{Side, Three};
use crate::cas::Digest;
use crate::error::Result;

/// Repositories in one another (submodules of submodules) that are told apart.
const DEEPEST: usize = 16;

/// One name's versions, those of the side that stands and of the other.
type Sides<'t> = (Option<&'t Entry>, Option<&'t Entry>);

impl Run<'_> {
    /// Merges the repositories that are at `path`: a `.git`, or what is there instead.
    pub(super) fn repository(&mut self, three: &Three, path: &[u8]) -> Result<Option<Entry>> {
        let Some(git) = self.git.take() else { return Ok(three.ours.clone()) };
        let merged = self.unit(git, three, path, DEEPEST);
        self.git = Some(git);
        merged
    }

    fn unit(&mut self, git: Git<'_>, three: &Three, path: &[u8], deepest: usize) -> Result<Option<Entry>> {
        let state = |entry: &Option<Entry>| match entry {
            None => Ok(None),
            Some(Entry { kind: Kind::Dir(tree), .. }) => State::of(self.trees, git.store, tree).map(Some),
            Some(entry) => Ok(Some(State::of_file(entry))),
        };
        let [base, ours, theirs] = [state(&three.base)?, state(&three.ours)?, state(&three.theirs)?];
        let stands = stands(base.as_ref(), ours.as_ref(), theirs.as_ref(), git.keeps);
        let of = |three: &Three| sided(stands.side, three).0.cloned();
        let (kept, other) = sided(stands.side, three);
        let (Some(kept), Some(tree), Some(_)) =
            (kept, kept.and_then(Entry::tree), other.and_then(Entry::tree))
        else {
            return Ok(kept.cloned());
        };
        let names = self.names(three)?;
        let logs =
            names.get(&b"logs"[..]).is_some_and(|logs| sided(stands.side, logs).1 != logs.base.as_ref());
        let mut changes: Vec<Change> = Vec::new();
        for (name, inner) in &names {
            let mut path = path.to_vec();
            push_name(&mut path, name);
            let merged = match name.as_slice() {
                b"objects" => self.objects(inner, stands.side, logs, git.keeps)?,
                b"modules" => self.modules(git, inner, &path, deepest)?,
                name if stands.both || state::is_state(name) => continue,
                _ => self.all(inner.clone(), path)?,
            };
            if merged != of(inner) {
                changes.push((name.clone(), merged));
            }
        }
        let tree = Listing::open(self.trees, Some(&tree))?.update(changes)?;
        Ok(Some(Entry { kind: Kind::Dir(tree), ..kept.clone() }))
    }

    /// The objects of the side that stands, and what it gets from the other.
    fn objects(&self, three: &Three, stands: Side, logs: bool, keeps: Side) -> Result<Option<Entry>> {
        let (kept, other) = sided(stands, three);
        let (Some(kept), Some(other)) = (kept, other) else { return Ok(kept.or(other).cloned()) };
        let base = three.base.as_ref().and_then(Entry::tree);
        let (Some(tree), Some(theirs)) = (kept.tree(), other.tree()) else { return Ok(Some(kept.clone())) };
        let known = match adds(base != Some(theirs), logs, stands != keeps) {
            Adds::Nothing => return Ok(Some(kept.clone())),
            Adds::All => None,
            Adds::New => base,
        };
        let tree = match known {
            None => union(self.trees, &tree, &theirs, None)?,
            Some(known) => union(self.trees, &tree, &theirs, Some(&known))?,
        };
        Ok(Some(Entry { kind: Kind::Dir(tree), ..kept.clone() }))
    }

    /// The repositories of submodules: each directory with a HEAD is one.
    fn modules(&mut self, git: Git<'_>, three: &Three, path: &[u8], deepest: usize) -> Result<Option<Entry>> {
        let (Some(ours), Some(theirs)) = (&three.ours, &three.theirs) else {
            return self.unit_or_less(git, three, path, deepest);
        };
        if ours == theirs || three.base.as_ref() == Some(theirs) {
            return Ok(Some(ours.clone()));
        }
        let (Some(tree), true, true) = (ours.tree(), theirs.is_dir(), deepest > 0) else {
            return Ok(Some(ours.clone()));
        };
        let mut changes: Vec<Change> = Vec::new();
        for (name, inner) in self.names(three)? {
            let mut path = path.to_vec();
            push_name(&mut path, &name);
            let merged = match self.is_repository(&inner)? {
                true => self.unit(git, &inner, &path, deepest - 1)?,
                false => self.modules(git, &inner, &path, deepest - 1)?,
            };
            if merged != inner.ours {
                changes.push((name, merged));
            }
        }
        let tree = Listing::open(self.trees, Some(&tree))?.update(changes)?;
        Ok(Some(Entry { kind: Kind::Dir(tree), ..ours.clone() }))
    }

    /// One side has nothing there: by its state, as a whole.
    fn unit_or_less(
        &mut self,
        git: Git<'_>,
        three: &Three,
        path: &[u8],
        deepest: usize,
    ) -> Result<Option<Entry>> {
        match (&three.base, &three.ours, &three.theirs) {
            (None, ours, theirs) => Ok(ours.clone().or_else(|| theirs.clone())),
            (base, ours, theirs) if base == ours => Ok(theirs.clone()),
            (base, ours, theirs) if base == theirs => Ok(ours.clone()),
            _ if deepest > 0 && self.is_repository(three)? => self.unit(git, three, path, deepest - 1),
            (_, ours, theirs) => Ok(ours.clone().or_else(|| theirs.clone())),
        }
    }

    fn is_repository(&self, three: &Three) -> Result<bool> {
        let mut found = false;
        for tree in three.trees().iter().flatten() {
            found |= Listing::open(self.trees, Some(tree))?.get(b"HEAD")?.is_some();
        }
        Ok(found)
    }

    /// The names in three directories, sorted.
    fn names(&self, three: &Three) -> Result<BTreeMap<Vec<u8>, Three>> {
        let mut names: BTreeMap<Vec<u8>, Three> = BTreeMap::new();
        let [base, ours, theirs] = three.trees();
        let mut put = |tree: Option<Digest>, place: fn(&mut Three) -> &mut Option<Entry>| -> Result<()> {
            let Some(tree) = tree else { return Ok(()) };
            for entry in read_dir(self.trees, &tree)? {
                let three = names.entry(entry.name.clone()).or_default();
                three.name.clone_from(&entry.name);
                *place(three) = Some(entry);
            }
            Ok(())
        };
        put(base, |three| &mut three.base)?;
        put(ours, |three| &mut three.ours)?;
        put(theirs, |three| &mut three.theirs)?;
        Ok(names)
    }
}

/// The version of the side that stands, and the other one.
fn sided(stands: Side, three: &Three) -> Sides<'_> {
    match stands {
        Side::Ours => (three.ours.as_ref(), three.theirs.as_ref()),
        Side::Theirs => (three.theirs.as_ref(), three.ours.as_ref()),
    }
}
