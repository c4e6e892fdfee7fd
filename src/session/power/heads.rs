//! Heads of which something is missing go back to the newest one that is whole.

use std::collections::HashSet;

use crate::cas::store::Publishing;
use crate::cas::{Digest, Store};
use crate::error::{Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::history::Cause;
use crate::manifest::reach::{Part, Reach};
use crate::manifest::verify::Forest;
use crate::manifest::workspace::Workspace;
use crate::session::project::Project;
use crate::session::roll_back::{Back, Judge};

/// Looks at all that rows name. True when something is missing; what needed it has gone back
/// then, and that was said.
pub fn go_back(project: &Project, say: &dyn Fn(&str)) -> Result<bool> {
    let manifest = &project.manifest;
    let token = project.store.publishing()?;
    let mut all: HashSet<Digest> = manifest.named_roots()?;
    let workspaces = manifest.all_workspaces()?;
    for workspace in &workspaces {
        all.extend(manifest.past(workspace.id)?.iter().map(|past| past.root));
    }
    let mut reach = Reach::default();
    let mut whole = true;
    for root in &all {
        whole &= is_whole((manifest, &mut reach), &project.store, &token, root)?;
    }
    if whole {
        return Ok(false);
    }
    let judge = Judge::new(&project.store, Forest::read(manifest)?);
    let said = manifest.durable(|manifest| {
        let mut said = Vec::new();
        // the oldest first: a fork may go back to where its parent has gone
        for workspace in &workspaces {
            let past = manifest.past(workspace.id)?;
            said.extend(said_of(workspace, judge.go_back(manifest, workspace, Cause::PowerCut)?));
            let gone = past.iter().filter(|past| !judge.is_whole(&past.root));
            manifest.forget_heads(&gone.map(|past| past.number).collect::<Vec<_>>())?;
        }
        for (id, versions) in manifest.conflict_versions()? {
            if !versions.iter().all(|root| judge.is_whole(root)) {
                manifest.remove_conflict(id)?;
            }
        }
        for workspace in &workspaces {
            for row in manifest.pending(workspace.id)? {
                if !judge.is_whole(&row.to) {
                    manifest.remove_pending(row.id)?; // what is left of its staging is an orphan
                }
            }
        }
        for (key, root) in manifest.checkpoints()? {
            if !judge.is_whole(&root) {
                manifest.remove_meta(&key)?;
            }
        }
        for snapshot in manifest.snapshots()? {
            if !judge.is_whole(&snapshot.root) {
                said.push(format!(
                    "snapshot {} is not whole, though it was written out: the disk lost what it had \
                     confirmed (vrift verify names the files)",
                    snapshot.name
                ));
            }
        }
        Ok(said)
    })?;
    said.iter().for_each(|text| say(text));
    Ok(true)
}

/// Whether a root has all its trees and contents, those but once looked at.
fn is_whole(
    (trees, reach): (&Manifest, &mut Reach),
    store: &Store,
    token: &Publishing,
    root: &Digest,
) -> Result<bool> {
    let mut whole = true;
    let walked = reach.walk(trees, root, &mut |part| {
        if let Part::File(content) = part {
            whole &= match store.has(token, &content.digest, content.size) {
                Err(error) if error.kind() == Kind::Corrupt => false,
                has => has?,
            };
        }
        Ok(())
    });
    match walked {
        Err(error) if error.kind() == Kind::Corrupt => Ok(false),
        walked => walked.map(|()| whole),
    }
}

/// What there is to say of a workspace that went back.
fn said_of(workspace: &Workspace, back: Back) -> Option<String> {
    let name = &workspace.name;
    let what = match back {
        Back::Stays => return None,
        _ if workspace.deleted.is_some() => return None,
        Back::Parent(past) => format!(
            "is where its parent is ({}): what it had was not on the disk when the power was cut",
            past.root.hex().chars().take(12).collect::<String>()
        ),
        Back::To(past) => format!(
            "went back to @{}: what came later was not on the disk when the power was cut",
            past.number
        ),
        Back::Nowhere => "begins anew: nothing of it was on the disk when the power was cut".into(),
    };
    Some(format!("workspace {name} {what}"))
}
