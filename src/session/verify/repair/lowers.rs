//! Lower trees and layers are rendered anew: all that they show is in trees and objects.

use std::collections::BTreeSet;

use super::Repaired;
use crate::cas::Store;
use crate::cas::finding::{Finding, Subject, What};
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::workspace::Workspace;
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::session::project::Project;
use crate::session::stack::{bring_to_head, finish_target, sweep};

pub fn repair(store: &Store, found: &[Finding], repaired: &mut Repaired) -> Result<()> {
    let mut bases: BTreeSet<(&str, i64)> = BTreeSet::new();
    let mut layers: BTreeSet<(&str, i64)> = BTreeSet::new();
    for finding in found {
        match (finding.what, &finding.subject) {
            (What::LowerMissing | What::LowerDiffers, Subject::Base(id)) => {
                bases.insert((&finding.project, *id))
            }
            (What::LayerMissing | What::LayerDiffers, Subject::Layer(id)) => {
                layers.insert((&finding.project, *id))
            }
            _ => continue,
        };
    }
    for (id, base) in bases {
        let place = format!("projects/{id}/base/{base}");
        let done = with_project(store, id, |project| again(project, base));
        repaired.note(&place, done.map(|()| format!("{place}: rendered anew")));
    }
    for (id, layer) in layers {
        let place = format!("projects/{id}/layers/{layer}");
        let done = with_project(store, id, |project| without(project, layer));
        repaired.note(&place, done.map(|()| format!("{place}: replaced by a new one")));
    }
    Ok(())
}

pub fn with_project(store: &Store, id: &str, work: impl FnOnce(&Project) -> Result<()>) -> Result<()> {
    as_root_of_own_files("render anew", || {
        let store = Store::open(store.root())?;
        let project = store.map(|store| Project::of_store(&store, id)).transpose()?.flatten();
        project.map_or(Ok(()), |project| work(&project))
    })
}

fn live(what: &str) -> Error {
    Error::new(Kind::Busy, format!("{what} lives")).with_hint("vrift stop, then again")
}

/// Renders a base anew at its root; where the root's trees are lost, those who are shown by it
/// get another one.
fn again(project: &Project, id: i64) -> Result<()> {
    let manifest = &project.manifest;
    drop(
        Lock::attempt(&project.base_lock(id), Hold::Exclusive)?
            .ok_or_else(|| live("a run that is shown by it"))?,
    );
    manifest.distrust_base(id)?;
    failpoint::at("repair.lower").context("render anew", project.base_path(id))?;
    if finish_target(project, id).is_ok() {
        return Ok(());
    }
    for workspace in manifest.workspaces()?.iter().filter(|workspace| workspace.base == Some(id)) {
        restack(project, workspace, None)?;
    }
    sweep(project)
}

/// Shows whoever has a layer without it and those over it; the difference is rendered.
fn without(project: &Project, id: i64) -> Result<()> {
    let manifest = &project.manifest;
    for workspace in manifest.workspaces()? {
        let layers = manifest.layers(workspace.layer)?;
        if let Some(layer) = layers.iter().find(|layer| layer.id == id) {
            let stack = Some((workspace.base, layer.below));
            restack(project, &workspace, stack).or_else(|error| match error.kind() {
                Kind::Busy => Err(error),
                _ => restack(project, &workspace, None),
            })?;
        }
    }
    sweep(project)
}

/// Gives a workspace another stack, or a new one, and brings it to the head.
pub fn restack(
    project: &Project,
    workspace: &Workspace,
    stack: Option<(Option<i64>, Option<i64>)>,
) -> Result<()> {
    let lock = Lock::attempt(&project.session_lock(workspace.id), Hold::Exclusive)?;
    let _lock = lock.ok_or_else(|| live(&format!("a run of workspace {}", workspace.name)))?;
    let (base, layer) = stack.unwrap_or((None, None));
    project.manifest.set_stack(workspace.id, base, layer)?;
    failpoint::at("repair.stack").context("render anew", &project.dir)?;
    bring_to_head(project, workspace.id)?;
    sweep(project)
}
