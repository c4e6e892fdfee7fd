//! Bases: rendered, folded, and rendered aside.
//!
//! A base is changed under its exclusive lock only; what it is being brought to is
//! recorded first, so a killed change is finished by whoever comes next (rule 12).

use std::path::Path;
use std::time::Duration;

use super::choice::{Choose, choose, choose_tier1};
use super::{is_marked, mark, mark_files, missing, sweep, unmarked};
use crate::cas::Digest;
use crate::error::{Context, Result};
use crate::manifest::Manifest;
use crate::manifest::base::Base;
use crate::manifest::diff::{Change, diff};
use crate::manifest::workspace::{MAIN, Workspace};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::remove;
use crate::overlay::projection::{self, Lower, Projection};
use crate::progress::Meter;
use crate::session::project::Project;

/// Between two looks at a lock that somebody has.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Brings the base that a workspace has alone, or that was never whole, to the head.
/// Where a fork has come to share it, nothing is done.
pub fn fold(project: &Project, workspace: i64, id: i64) -> Result<()> {
    let manifest = &project.manifest;
    let is_due = || {
        let base = manifest.base(id)?.ok_or_else(|| missing(id))?;
        Ok(base.target.is_some() || base.root.is_none() || manifest.sharers(id)? == 1)
    };
    let Some(_lock) = alone(project, id, &is_due)? else { return Ok(()) };
    let target = manifest.transaction(|manifest| {
        let base = manifest.base(id)?.ok_or_else(|| missing(id))?;
        // What was begun is finished before anything newer (rule 12).
        if let Some(target) = base.target {
            return Ok(Some((base, target)));
        }
        let now = manifest.workspace_by_id(workspace)?;
        let Some(head) = now.head.filter(|_| now.base == Some(id)) else { return Ok(None) };
        if base.root.is_some() && manifest.sharers(id)? != 1 {
            return Ok(None);
        }
        manifest.set_base_target(id, &head)?;
        Ok(Some((base, head)))
    })?;
    failpoint::at("fold.begun").context("change", project.base_path(id))?;
    match target {
        Some((base, target)) => bring(project, &base, target),
        None => Ok(()),
    }
}

/// Finishes what was begun on a base, if it still is.
pub fn finish_target(project: &Project, id: i64) -> Result<()> {
    let is_due = || Ok(project.manifest.base(id)?.is_some_and(|base| base.target.is_some()));
    let Some(_lock) = alone(project, id, &is_due)? else { return Ok(()) };
    match project.manifest.base(id)? {
        Some(base) => base.target.map_or(Ok(()), |target| bring(project, &base, target)),
        None => Ok(()),
    }
}

/// The lock of a base that is to be changed; `None` once that is not due any more. Several workspaces may
/// begin to share a base that is not whole yet, all at once: who has brought it there holds it shared from
/// then on, for as long as a session lives, and nobody is to wait for that.
fn alone(project: &Project, id: i64, is_due: &dyn Fn() -> Result<bool>) -> Result<Option<Lock>> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(lock) = Lock::attempt(&project.base_lock(id), Hold::Exclusive)? {
            return Ok(Some(lock));
        }
        if !is_due()? {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Brings a base, whose exclusive lock is held, to the target that is recorded.
fn bring(project: &Project, base: &Base, target: Digest) -> Result<()> {
    let manifest = &project.manifest;
    let dest = project.base_path(base.id);
    let Some(root) = base.root else {
        let names = render(project, (base.id, &base.projection), &target)?;
        return manifest.base_reached(base.id, &target, Some(names));
    };
    let mut changes: Vec<Change> = Vec::new();
    diff(manifest, Some(&root), Some(&target), &mut |change| {
        changes.push(change);
        Ok(())
    })?;
    let more = |change: &Change| i64::from(change.after.is_some()) - i64::from(change.before.is_some());
    let names = base.names.map(|names| names.saturating_add(changes.iter().map(more).sum::<i64>()));
    let (links, meter) = (project.base_links(base.id), Meter::default());
    let lower = Lower { top: &dest, links: &links, store: &project.store, meter: &meter, fresh: false };
    let projection = projection::named(&base.projection, &lower)?;
    projection::fold(changes, &dest, projection.as_ref())
        .and_then(|_| seal(projection.as_ref(), &dest))
        .map_err(|error| match error.hint() {
            Some(_) => error,
            None => error.with_hint("what was taken in is safe; the next command goes on from here"),
        })?;
    failpoint::at("fold.done").context("change", &dest)?;
    mark(&dest, &target)?;
    failpoint::at("fold.marked").context("change", &dest)?;
    manifest.transaction(|manifest| {
        manifest.base_reached(base.id, &target, names)?;
        manifest.drop_layers_over(base.id)
    })?;
    sweep(project)
}

/// Renders a root where nothing is, or what was cut short; returns how many names it has.
fn render(project: &Project, (id, projection): (i64, &str), target: &Digest) -> Result<i64> {
    let (dest, links, meter) = (&project.base_path(id), project.base_links(id), Meter::default());
    let lower = Lower { top: dest, links: &links, store: &project.store, meter: &meter, fresh: true };
    let projection = projection::named(projection, &lower)?;
    if dest.symlink_metadata().is_ok() {
        remove::remove_tree(dest)?;
    }
    let made = projection::render(&project.manifest, target, dest, projection.as_ref())?;
    seal(projection.as_ref(), dest)?;
    failpoint::at("base.rendered").context("make", dest)?;
    mark(dest, target)?;
    Ok(i64::try_from(made.files + made.dirs).unwrap_or(i64::MAX))
}

/// Keeps what a projection knows of the tree.
fn seal(projection: &dyn Projection, dest: &Path) -> Result<()> {
    projection.seal()?;
    projection.files().map_or(Ok(()), |rung| mark_files(dest, rung))
}

/// Gives a workspace a base of its own that shows its head. Nothing refers to it until it
/// is whole; cut short, it is swept away.
pub fn render_own(project: &Project, now: &Workspace, head: Digest) -> Result<()> {
    let before = now.base.map(|base| project.manifest.base(base)).transpose()?.flatten();
    let projection = choose(project, before.as_ref().map(|base| base.projection.as_str()))?;
    let refer = |manifest: &Manifest, id| manifest.set_stack(now.id, Some(id), None);
    aside(project, &head, (&now.name, projection), refer)?;
    sweep(project)
}

/// Makes a base that shows a snapshot's root; it is there as long as the snapshot is.
pub fn render_snapshot(project: &Project, root: &Digest) -> Result<()> {
    render_apart(project, root, choose)
}

/// The same for what is declared not to change.
pub fn render_tier1(project: &Project, root: &Digest) -> Result<()> {
    render_apart(project, root, choose_tier1)
}

fn render_apart(project: &Project, root: &Digest, choose: Choose) -> Result<()> {
    let main = project.manifest.known_workspace(MAIN)?.base;
    let like = main.map(|base| project.manifest.base(base)).transpose()?.flatten();
    let projection = choose(project, like.as_ref().map(|base| base.projection.as_str()))?;
    aside(project, root, ("", projection), |_, _| Ok(()))?;
    sweep(project)
}

fn aside(
    project: &Project,
    root: &Digest,
    (workspace, projection): (&str, &str),
    refer: impl FnOnce(&Manifest, i64) -> Result<()>,
) -> Result<()> {
    let manifest = &project.manifest;
    let id = manifest.add_base(projection)?;
    let Some(_lock) = Lock::attempt(&project.base_lock(id), Hold::Exclusive)? else { return Ok(()) };
    if manifest.base(id)?.is_none() {
        return Ok(()); // a sweeper that came in between took it for one cut short
    }
    let dest = project.base_path(id);
    let names = render(project, (id, projection), root)?;
    failpoint::at("base.aside").context("make", &dest)?;
    if !is_marked(&dest, root) {
        return Err(unmarked(workspace));
    }
    manifest.transaction(|manifest| {
        manifest.base_reached(id, root, Some(names))?;
        refer(manifest, id)
    })
}
