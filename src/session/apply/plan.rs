//! What is to be written, before anything is: three ways, path by path.
//!
//! | | |
//! |---|---|
//! | base | what the other side had when it was last taken over |
//! | ours | the state that is to be written |
//! | theirs | what the other side has now, looked at path by path as far as ours differs from base |
//!
//! A path whose content theirs has otherwise than both base and ours is a *clash*: it is
//! for [`OnConflict`] to say what becomes of it. Metadata alone never clashes. The cost goes
//! with the difference of base and ours. Nothing here knows which way the changes go.

use std::collections::{HashMap, HashSet};

use super::host::{Host, Look, Seen};
use super::select::{Select, Want};
use crate::cas::Digest;
use crate::error::Result;
use crate::manifest::diff::{Change, diff};
use crate::manifest::dir::{empty_dir, lookup};
use crate::manifest::edit::Edit;
use crate::manifest::merge::{self, Rules, Side, TextMerge, Three};
use crate::manifest::node::{Entry, Kind};
use crate::manifest::store::Trees;
use crate::os::cursor::split;
use crate::session::mounts::is_below;
use crate::session::sync::shown;
use crate::session::sync::walk::join;

/// What becomes of a path that both sides changed. Its words are those of the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnConflict {
    /// Write nothing at all (the default).
    #[default]
    Abort,
    /// Merge, by lines where it is text; if that is not possible write nothing at all.
    Merge,
    /// Leave the host's version, in conflict for the next sync.
    KeepHost,
    /// Write the workspace's version over it.
    Overwrite,
    /// Leave the host's version and write the workspace's beside it, as PATH.WORKSPACE.
    Both,
}

/// A path, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Step {
    pub path: Vec<u8>,
    pub base: Option<Entry>,
    pub ours: Option<Entry>,
    /// What is there now.
    pub seen: Option<Seen>,
    /// As `seen`, with what base or ours know of it.
    pub theirs: Option<Entry>,
    pub result: Option<Entry>,
    pub act: Act,
    /// It only holds what is written: it stays as it is.
    on_the_way: bool,
    /// It is the workspace's own: sync does not know it.
    pub own: bool,
}

/// What is done for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is as it should be.
    Nothing,
    /// Made aside and put in its place.
    Put,
    /// Made with the directory above it.
    Within,
    Remove,
    /// Goes with the directory above it.
    Gone,
    /// Mode, mtime or attributes.
    Dress,
}

/// Why a path cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    pub path: Vec<u8>,
    pub why: String,
    /// A way of resolving conflicts decides it.
    pub by_choice: bool,
}

/// All of it.
#[derive(Default)]
pub struct Plan {
    /// In tree order.
    pub steps: Vec<Step>,
    pub clashes: Vec<Clash>,
    /// Paths whose conflict leaves them as the host has them.
    pub kept: Vec<Vec<u8>>,
    /// Directories that stay on the host because of what is in them.
    pub stays: Vec<(Vec<u8>, Vec<u8>)>,
    /// Directories that are the workspace's own and were not named.
    pub own: Vec<Vec<u8>>,
    /// Where git looks for hooks, if that is a directory of the project.
    pub hooks: Option<Vec<u8>>,
    /// What the host base is to have otherwise.
    pub base_edits: Vec<(Vec<u8>, Edit)>,
    /// What the head is to have otherwise: host edits that were merged.
    pub head_edits: Vec<(Vec<u8>, Edit)>,
}

/// What a plan is made from.
pub struct Sides<'a, 'h> {
    pub trees: &'a dyn Trees,
    pub base: Option<Digest>,
    pub ours: Digest,
    pub host: &'a Host<'h>,
    pub select: &'a Select<'a>,
    pub text: &'a dyn TextMerge,
    /// For one path.
    pub on_conflict: &'a dyn Fn(&[u8]) -> OnConflict,
    /// What the workspace is called, for a version beside the host's.
    pub workspace: &'a str,
    /// Each side keeps its own mtime of a file that both have with one content
    /// (`sync.mtime = content`).
    pub own_mtimes: bool,
}

/// Looks at every path that ours has otherwise than base, and decides.
pub fn plan(sides: &Sides<'_, '_>) -> Result<Plan> {
    let mut making = Making { sides, plan: Plan::default(), beside: Vec::new(), skip: None };
    diff(sides.trees, sides.base.as_ref(), Some(&sides.ours), &mut |change| making.visit(change))?;
    let Making { mut plan, beside, .. } = making;
    plan.steps.extend(beside);
    plan.steps.sort_by(|a, b| crate::manifest::dir::tree_order(&a.path, &b.path));
    what_stays(sides, &mut plan)?;
    assign(&mut plan.steps);
    edits(sides, &mut plan)?;
    Ok(plan)
}

struct Making<'a, 'h> {
    sides: &'a Sides<'a, 'h>,
    plan: Plan,
    beside: Vec<Step>,
    /// Nothing below it is looked at.
    skip: Option<Vec<u8>>,
}

impl Making<'_, '_> {
    fn visit(&mut self, change: Change) -> Result<()> {
        if self.skip.as_ref().is_some_and(|above| is_below(&change.path, above)) {
            return Ok(());
        }
        let is_dir = change.after.as_ref().or(change.before.as_ref()).is_some_and(Entry::is_dir);
        let want = self.sides.select.want(&change.path, is_dir)?;
        if want == Want::Leave {
            if change.after.is_some() && self.sides.select.is_own(&change.path, is_dir)? {
                self.plan.own.push(change.path.clone());
            }
            self.skip = Some(change.path);
            return Ok(());
        }
        let seen = match self.sides.host.look(&change.path)? {
            Look::Nothing => None,
            Look::There(seen) => Some(seen),
            Look::Other(why) => return self.clash(change.path, why, false),
        };
        let theirs = seen.as_ref().map(|seen| known(&seen.entry, &change)).transpose()?;
        let Change { path, before: base, after: mut ours } = change;
        if let (true, Some(ours), Some(theirs)) = (self.sides.own_mtimes, &mut ours, &theirs)
            && ours.content().is_some()
            && ours.kind == theirs.kind
        {
            ours.meta.mtime = theirs.meta.mtime;
        }
        let on_the_way = want == Want::OnTheWay && base.is_some();
        let edited = !alike(theirs.as_ref(), base.as_ref()) && !alike(theirs.as_ref(), ours.as_ref());
        let result = match (edited, on_the_way) {
            (false, true) => theirs.clone(),
            (false, false) => match self.merged(&path, &base, &ours, &theirs)? {
                merge::Step::Take(result) | merge::Step::Conflict(result) => result,
                merge::Step::Descend { meta, .. } => {
                    ours.clone().or_else(|| theirs.clone()).map(|dir| Entry { meta, ..dir })
                }
            },
            (true, _) => match self.decide(&path, &base, &ours, &theirs)? {
                Some(result) => result,
                None => return Ok(()),
            },
        };
        self.plan.steps.push(Step {
            path,
            base,
            ours,
            seen,
            theirs,
            result,
            act: Act::Nothing,
            on_the_way,
            own: false,
        });
        Ok(())
    }

    fn merged(
        &self,
        path: &[u8],
        base: &Option<Entry>,
        ours: &Option<Entry>,
        theirs: &Option<Entry>,
    ) -> Result<merge::Step> {
        let name = split(path).map_or(&b""[..], |(_, name)| name).to_vec();
        let three = Three { name, base: base.clone(), ours: ours.clone(), theirs: theirs.clone() };
        Rules { winner: Side::Theirs, text: self.sides.text, our_mtimes: false }.step(&three)
    }

    /// What becomes of a path that both sides changed; `None`: it is left alone.
    fn decide(
        &mut self,
        path: &[u8],
        base: &Option<Entry>,
        ours: &Option<Entry>,
        theirs: &Option<Entry>,
    ) -> Result<Option<Option<Entry>>> {
        let strange_dir = theirs.as_ref().is_some_and(Entry::is_dir);
        let why = match theirs {
            None => "was deleted on the host",
            Some(_) if strange_dir => "is a directory on the host",
            Some(_) if base.is_none() => "was made on the host as well",
            Some(_) => "was changed on the host",
        };
        match (self.sides.on_conflict)(path) {
            OnConflict::KeepHost => {}
            OnConflict::Overwrite if !strange_dir => return Ok(Some(ours.clone())),
            OnConflict::Merge => match self.merged(path, base, ours, theirs)? {
                // what is in a directory that only the host has is for the next sync
                merge::Step::Take(Some(result)) if result.is_dir() && strange_dir => {}
                merge::Step::Take(result) => return Ok(Some(result)),
                merge::Step::Conflict(_) | merge::Step::Descend { .. } => {
                    self.clash(path.to_vec(), format!("{why}, and does not merge"), true)?;
                    return Ok(None);
                }
            },
            OnConflict::Both if theirs.is_none() => return Ok(Some(ours.clone())),
            OnConflict::Both if ours.is_none() => {}
            OnConflict::Both if !strange_dir && !ours.as_ref().is_some_and(Entry::is_dir) => {
                self.put_beside(path, ours)?;
                return Ok(Some(theirs.clone()));
            }
            _ => {
                self.clash(path.to_vec(), why.into(), !strange_dir)?;
                return Ok(None);
            }
        }
        self.plan.kept.push(path.to_vec());
        self.skip = Some(path.to_vec());
        Ok(None)
    }

    fn clash(&mut self, path: Vec<u8>, why: String, by_choice: bool) -> Result<()> {
        self.skip = Some(path.clone());
        self.plan.clashes.push(Clash { path, why, by_choice });
        Ok(())
    }

    /// Writes our version under a name that nobody has.
    fn put_beside(&mut self, path: &[u8], ours: &Option<Entry>) -> Result<()> {
        let mut number = 1;
        loop {
            let ending = match number {
                1 => format!(".{}", self.sides.workspace),
                _ => format!(".{}-{number}", self.sides.workspace),
            };
            let beside = [path, ending.as_bytes()].concat();
            let free = matches!(self.sides.host.look(&beside)?, Look::Nothing)
                && lookup(self.sides.trees, &self.sides.ours, &beside)?.is_none();
            if free {
                let name = split(&beside).map_or(&b""[..], |(_, name)| name).to_vec();
                let result = ours.clone().map(|entry| Entry { name, group: 0, ..entry });
                self.beside.push(Step {
                    path: beside,
                    base: None,
                    ours: None,
                    seen: None,
                    theirs: None,
                    result,
                    act: Act::Nothing,
                    on_the_way: false,
                    own: false,
                });
                return Ok(());
            }
            number += 1;
        }
    }
}

/// Equal but for metadata; two directories are alike whatever is in them.
fn alike(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.is_dir() && b.is_dir() || a.kind == b.kind,
        (None, None) => true,
        _ => false,
    }
}

/// What was seen, with the tree and the group that base or ours have for it.
fn known(seen: &Entry, change: &Change) -> Result<Entry> {
    let mut sides = [&change.before, &change.after].into_iter().flatten();
    let mut entry = seen.clone();
    if entry.is_dir() {
        let tree = sides.filter_map(Entry::tree).next();
        entry.kind = Kind::Dir(tree.map_or_else(empty_dir, Ok)?);
    } else if let Some(same) = sides.find(|side| side.kind == entry.kind) {
        entry.group = same.group;
    }
    Ok(entry)
}

/// A directory that holds something that does not go stays.
fn what_stays(sides: &Sides<'_, '_>, plan: &mut Plan) -> Result<()> {
    let mut gone: HashSet<Vec<u8>> = HashSet::new();
    for step in plan.steps.iter_mut().rev() {
        let was_dir = step.theirs.as_ref().is_some_and(Entry::is_dir);
        let goes =
            step.theirs.is_some() && step.result.as_ref().is_none_or(|result| result.is_dir() != was_dir);
        if !goes {
            continue;
        }
        if was_dir {
            let names = sides.host.names(&step.path)?;
            let held =
                names.iter().map(|name| join(&step.path, name.to_bytes())).find(|path| !gone.contains(path));
            if let Some(held) = held {
                if step.result.is_some() {
                    let why = format!("is a directory that holds {} on the host", shown(&held));
                    plan.clashes.push(Clash { path: step.path.clone(), why, by_choice: false });
                } else {
                    plan.stays.push((step.path.clone(), held));
                }
                step.result = step.theirs.clone();
                step.on_the_way = true;
                continue;
            }
        }
        gone.insert(step.path.clone());
    }
    plan.stays.reverse();
    Ok(())
}

fn assign(steps: &mut [Step]) {
    let (mut put, mut gone): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    for step in steps {
        let below = |above: &Option<Vec<u8>>| above.as_ref().is_some_and(|above| is_below(&step.path, above));
        step.act = if below(&put) {
            Act::Within
        } else if below(&gone) {
            Act::Gone
        } else {
            match (&step.theirs, &step.result) {
                (None, None) => Act::Nothing,
                (Some(theirs), Some(result)) if theirs.is_dir() && result.is_dir() => {
                    if theirs.meta == result.meta { Act::Nothing } else { Act::Dress }
                }
                (Some(theirs), Some(result))
                    if theirs.kind == result.kind && theirs.group == result.group =>
                {
                    if theirs.meta == result.meta { Act::Nothing } else { Act::Dress }
                }
                (_, Some(_)) => Act::Put,
                (Some(_), None) => Act::Remove,
            }
        };
        let is_dir = |entry: &Option<Entry>| entry.as_ref().is_some_and(Entry::is_dir);
        if step.act == Act::Put && is_dir(&step.result) {
            put = Some(step.path.clone());
        } else if matches!(step.act, Act::Put | Act::Remove) && is_dir(&step.theirs) {
            gone = Some(step.path.clone());
        }
    }
}

/// What host base and head have otherwise when all is done.
fn edits(sides: &Sides<'_, '_>, plan: &mut Plan) -> Result<()> {
    for step in &mut plan.steps {
        let is_dir = step.result.as_ref().is_some_and(Entry::is_dir);
        step.own = sides.select.is_own(&step.path, is_dir)?;
    }
    for step in plan.steps.iter().filter(|step| !step.on_the_way) {
        if !step.own {
            add_edit(&mut plan.base_edits, step, &step.base);
        }
        add_edit(&mut plan.head_edits, step, &step.ours);
    }
    Ok(())
}

/// What a whole directory becomes says it for all that is in it.
fn add_edit(edits: &mut Vec<(Vec<u8>, Edit)>, step: &Step, from: &Option<Entry>) {
    let said = edits
        .last()
        .is_some_and(|(path, edit)| !matches!(edit, Edit::Dir { .. }) && is_below(&step.path, path));
    if !said {
        edits.extend(edit(step, from));
    }
}

fn edit(step: &Step, from: &Option<Entry>) -> Option<(Vec<u8>, Edit)> {
    let edit = match (from, &step.result) {
        (None, None) => return None,
        (Some(_), None) => Edit::Remove,
        (from, Some(to)) if to.is_dir() => {
            let stays = from.as_ref().is_some_and(Entry::is_dir);
            if stays && from.as_ref().is_some_and(|from| from.meta == to.meta) {
                return None;
            }
            Edit::Dir { meta: to.meta.clone(), opaque: !stays }
        }
        (Some(from), Some(to)) if from == to => return None,
        (_, Some(to)) => Edit::Put(to.clone()),
    };
    Some((step.path.clone(), edit))
}

impl Plan {
    /// The directories whose names change, with what they are to be afterwards.
    pub fn by_path(&self) -> HashMap<&[u8], &Step> {
        self.steps.iter().map(|step| (step.path.as_slice(), step)).collect()
    }

    /// Nothing on the host is touched.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.act == Act::Nothing)
    }
}
