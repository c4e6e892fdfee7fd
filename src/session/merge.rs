//! Merging one workspace's changes into another's head.
//!
//! Three ways, with the root that both had last in common as the base. What both changed
//! and cannot be brought together is a conflict: the receiving head's version is in the
//! view, the other one is kept. As in git, what a live run of the merged workspace has not
//! had taken in is not merged, and a workspace in which somebody works receives nothing.

use super::open::{leftovers, live};
use super::project::Project;
use crate::cas::{Digest, Store};
use crate::error::{Error, Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::compare::{Item, compare};
use crate::manifest::history::Cause;
use crate::manifest::lines::Lines;
use crate::manifest::merge::{Conflict, Git, How, Side, TextMerge, merge as three_way};
use crate::manifest::workspace::Workspace;
use crate::os::lock::{Hold, Lock};

/// What a merge did, or would do.
pub struct Merge {
    /// What the receiving workspace gets.
    pub items: Vec<Item>,
    pub conflicts: Vec<Conflict>,
    /// The merged workspace has a live run: what that has written since is not in.
    pub live: bool,
    /// The number of the head that was left.
    pub from: Option<i64>,
}

/// Merges workspace `name` into workspace `into`. `dry_run`: nothing is changed.
pub fn merge(project: Project, name: &str, into: &str, dry_run: bool) -> Result<(Project, Merge)> {
    let (theirs, ours) = (project.manifest.known_workspace(name)?, project.manifest.known_workspace(into)?);
    if theirs.id == ours.id {
        return Err(Error::failure(format!("workspace `{name}` cannot be merged into itself")));
    }
    let is_live = live(&project, theirs.id)?.is_some();
    // what is merged by lines is an object before the head names it (rule 15)
    if dry_run {
        let token = project.store.publishing()?;
        let text = Lines { store: &project.store, token: &token };
        let merged =
            project.manifest.rehearse(|manifest| of(manifest, &ours, &theirs, &project.store, &text))?;
        drop(token);
        return Ok((project, Merge { live: is_live, ..merged.1 }));
    }
    let _lock = Lock::attempt(&project.session_lock(ours.id), Hold::Exclusive)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("workspace `{into}` has a live run"))
            .with_hint(format!("wait for it to end, or end it: vrift stop -w {into}"))
    })?;
    let (project, ..) = leftovers(project, ours.id)?;
    let token = project.store.publishing()?;
    let text = Lines { store: &project.store, token: &token };
    let merged = project.manifest.transaction(|manifest| {
        let (ours, theirs) = (manifest.workspace_by_id(ours.id)?, manifest.workspace_by_id(theirs.id)?);
        let ((root, brought), merged) = of(manifest, &ours, &theirs, &project.store, &text)?;
        for conflict in &merged.conflicts {
            manifest.add_conflict(ours.id, name, conflict)?;
        }
        // a head of its own even where nothing changes: the merge is what undo takes back
        let number = match manifest.move_head(ours.id, ours.head.as_ref(), &root, Cause::Merge)? {
            Some(number) => number,
            None => manifest.heads(ours.id)?.first().map_or(0, |head| head.number),
        };
        manifest.add_merged(ours.id, theirs.id, &brought, number)?;
        Ok(merged)
    })?;
    drop(token);
    Ok((project, Merge { live: is_live, ..merged }))
}

/// Whether all of a workspace's changes are in the one it was forked from.
pub fn is_merged(manifest: &Manifest, workspace: &Workspace) -> Result<bool> {
    let Some(parent) = workspace.parent.map(|id| manifest.workspace_by_id(id)).transpose().unwrap_or(None)
    else {
        return Ok(false);
    };
    Ok(workspace.head.is_some() && manifest.merge_base(workspace, &parent)? == workspace.head)
}

/// The merged root and what it brought in; and what to say of it.
fn of(
    manifest: &Manifest,
    ours: &Workspace,
    theirs: &Workspace,
    store: &Store,
    text: &dyn TextMerge,
) -> Result<((Digest, Digest), Merge)> {
    let head = |workspace: &Workspace| {
        workspace.head.ok_or_else(|| {
            Error::failure(format!("workspace `{}` has no state yet", workspace.name))
                .with_hint("vrift sync takes the directory in")
        })
    };
    let (our, their) = (head(ours)?, head(theirs)?);
    let base = manifest.merge_base(ours, theirs)?;
    let git = Git { store, keeps: Side::Ours };
    let how = How { winner: Side::Ours, text, git: Some(git), our_mtimes: false };
    let merged = three_way(manifest, base.as_ref(), &our, &their, &how)?;
    let items = compare(manifest, Some(&our), Some(&merged.root), &|_| false, &|_| false)?;
    let from = manifest.heads(ours.id)?.first().map(|head| head.number);
    let merge = Merge { items, conflicts: merged.conflicts, live: false, from };
    Ok(((merged.root, their), merge))
}
