//! States that are not whole once all has come back that could: a workspace goes back to the
//! newest of its states that is. The one it had stays as `@N` while its trees are there;
//! a state whose trees are lost shows nothing, and is forgotten.

use super::{Repaired, lowers, readable};
use crate::cas::finding::{Finding, What};
use crate::cas::{Digest, Store};
use crate::error::{Context, Error, Kind, Result, plain};
use crate::manifest::history::Cause;
use crate::manifest::workspace::Workspace;
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::session::project::Project;
use crate::session::roll_back::{Back, Judge};

pub fn repair(store: &Store, found: &[Finding], repaired: &mut Repaired) -> Result<()> {
    use What::{ObjectDigest, ObjectMissing, ObjectSize, RootMissing, TreeBroken, TreeDigest, TreeMissing};
    let of_contents = |finding: &Finding| {
        matches!(
            finding.what,
            ObjectMissing | ObjectSize | ObjectDigest | TreeMissing | TreeDigest | TreeBroken | RootMissing
        )
    };
    if !found.iter().any(of_contents) {
        return Ok(());
    }
    for (id, manifest, forest) in readable(store)? {
        let judge = Judge::new(store, forest);
        drop(manifest);
        let Some(project) = Project::of_store(store, &id)? else { continue };
        for workspace in project.manifest.workspaces()? {
            if workspace.head.is_none_or(|head| judge.is_whole(&head)) {
                continue;
            }
            let back = go_back(&project, &workspace, &judge);
            repaired.note(&format!("workspace {}", plain(workspace.name.as_ref())), back);
        }
        let mut astray = Vec::new();
        for workspace in project.manifest.workspaces()? {
            if !is_shown_by_whole(&project, &workspace, &judge)? {
                astray.push(workspace);
            }
        }
        forget(&project, &judge, repaired)?;
        drop(project); // a child opens its own manifest
        for workspace in astray {
            let name = format!("workspace {}", plain(workspace.name.as_ref()));
            let done = lowers::with_project(store, &id, |project| lowers::restack(project, &workspace, None));
            repaired.note(&name, done.map(|()| format!("{name}: shown by a new lower tree")));
        }
    }
    Ok(())
}

fn go_back(project: &Project, workspace: &Workspace, judge: &Judge) -> Result<String> {
    let manifest = &project.manifest;
    let lock = Lock::attempt(&project.session_lock(workspace.id), Hold::Exclusive)?;
    let _lock = lock.ok_or_else(|| {
        Error::new(Kind::Busy, "its state needs what is lost, and a run of it lives")
            .with_hint("vrift stop, then again")
    })?;
    let now = manifest.heads(workspace.id)?.first().map_or(0, |head| head.number);
    let back = manifest.transaction(|manifest| {
        // the judge knows nothing of what came later
        if manifest.workspace_by_id(workspace.id)?.head != workspace.head {
            return Err(Error::new(Kind::Busy, "the workspace's head moved meanwhile"));
        }
        match judge.newest(manifest, workspace)? {
            Back::Nowhere | Back::Parent(_) => {
                Err(Error::corrupt("its state needs what is lost, and no state it had before is whole"))
            }
            _ => judge.go_back(manifest, workspace, Cause::Repair),
        }
    })?;
    failpoint::at("repair.head").context("repair", &project.dir)?;
    let kept = match workspace.head.is_some_and(|head| judge.has_trees(&head)) {
        true => format!("what else it had is in @{now}"),
        false => "trees of the state it had are lost".into(),
    };
    let name = plain(workspace.name.as_ref());
    let Back::To(whole) = back else { return Ok(format!("workspace {name}: its state is whole")) };
    Ok(format!("workspace {name}: back to @{}, its newest state that is whole; {kept}", whole.number))
}

/// Whether all that a workspace is shown by is of trees that are there: a lower tree is
/// brought from one root to another by both.
fn is_shown_by_whole(project: &Project, workspace: &Workspace, judge: &Judge) -> Result<bool> {
    let manifest = &project.manifest;
    let base = workspace.base.map(|id| manifest.base(id)).transpose()?.flatten();
    let mut roots: Vec<Digest> =
        base.into_iter().flat_map(|base| [base.root, base.target]).flatten().collect();
    for layer in manifest.layers(workspace.layer)? {
        roots.extend([layer.under, layer.root]);
    }
    Ok(roots.iter().all(|root| judge.has_trees(root)))
}

/// Old states whose trees are lost.
fn forget(project: &Project, judge: &Judge, repaired: &mut Repaired) -> Result<()> {
    let mut gone = Vec::new();
    for workspace in project.manifest.all_workspaces()? {
        let old = project.manifest.heads(workspace.id)?.into_iter();
        let old = old.filter(|head| Some(head.root) != workspace.head);
        gone.extend(old.filter(|head| !judge.has_trees(&head.root)).map(|head| head.number));
    }
    if !gone.is_empty() {
        project.manifest.drop_heads(&gone)?;
        let names: Vec<String> = gone.iter().map(|number| format!("@{number}")).collect();
        repaired.done.push(format!("forgotten, for trees of them are lost: {}", names.join(", ")));
    }
    Ok(())
}
