//! What a sync would take over, without taking anything: nothing is written, neither to the
//! store nor to the manifest. As sync it costs a walk, and reads what no stamp vouches for.

use super::assemble::assemble;
use super::class::Classes;
use super::walk::{LeftOut, Walk};
use super::{clock_of, nothing_to_do, settled};
use crate::error::Result;
use crate::manifest::diff::{Change, diff};
use crate::manifest::store::Scratch;
use crate::manifest::workspace::Workspace;
use crate::progress::Meter;
use crate::session::mounts::{Recorded, is_below};
use crate::session::project::Project;

/// The host's edits that a workspace has not taken over, in tree order; none before its
/// first take-in.
pub fn host_edits(project: &Project, workspace: &Workspace) -> Result<Vec<Change>> {
    let (manifest, Some(base)) = (&project.manifest, workspace.host_base) else { return Ok(Vec::new()) };
    let stamps = manifest.stamps()?;
    let classes = Classes::of_project(&project.root, &project.config);
    let recorded = Recorded::read(project)?;
    let unreadable = recorded.unreadable.iter().map(|known| known.path.clone()).collect();
    let meter = Meter::default();
    let mut walked = settled(&project.root, || Walk {
        store: &project.store,
        token: None,
        stamps: &stamps,
        classes: &classes,
        unreadable: &unreadable,
        take_own: false,
        cold: &project.config.cold,
        by_directories: false,
        is_tier1: false,
        began: clock_of(&project.root),
        meter: &meter,
    })?;
    if nothing_to_do(project, &workspace.name, &walked, &stamps)?.is_some() {
        return Ok(Vec::new());
    }
    let alone = walked.left_alone();
    let unreadable = walked.left_out.drain(..).filter(|left| left.unreadable);
    walked.left_out = unreadable.map(|left| LeftOut { why: String::new(), ..left }).collect();
    let trees = Scratch::over(manifest);
    let now = assemble(&trees, walked, &stamps)?.root;
    let mut edits = Vec::new();
    diff(&trees, Some(&base), Some(&now), &mut |change| {
        let at = |path: &Vec<u8>| change.path == *path || is_below(&change.path, path);
        if !alone.iter().any(at) {
            edits.push(change);
        }
        Ok(())
    })?;
    Ok(edits)
}
