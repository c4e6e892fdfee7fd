//! Forks: a new workspace that begins where another one is, or was.
//!
//! A fork shares base, layers and objects: it is a few rows in one transaction, whatever
//! the project's size. From a root that no stack shows, its first start brings the
//! stack there, as any start does. A base that is being changed is waited for (rule 12).

use super::checkpoint::{LIVE, checkpoint};
use super::project::Project;
use super::stack::{choose, finish_target};
use crate::cas::Digest;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::manifest::roots::resolve;
use crate::manifest::workspace::Workspace;
use crate::os::userns::as_root_of_own_files;

/// The fork that is to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `None`: it is for one run.
    pub name: Option<&'a str>,
    /// The root to begin at; `None`: the workspace's head.
    pub from: Option<&'a str>,
    /// The workspace it leaves, unless `from` is another one's.
    pub workspace: &'a str,
}

/// Makes a fork.
pub fn fork(mut project: Project, wanted: Wanted<'_>) -> Result<(Project, Workspace)> {
    let mut wanted = wanted;
    if wanted.from == Some(LIVE) {
        let viewer = project.manifest.known_workspace(wanted.workspace)?;
        let taken;
        (project, taken) = checkpoint(project, viewer.id)?;
        if taken.is_none() {
            return Err(Error::failure(format!("workspace `{}` has no live run", viewer.name))
                .with_hint("without --from the fork begins at the workspace's state"));
        }
        wanted.from = None;
    }
    loop {
        let made =
            project.manifest.transaction(|manifest| begin(manifest, wanted, &|| choose(&project, None)))?;
        match made {
            Ok(workspace) => return Ok((project, workspace)),
            Err(base) => project = wait_for(project, base)?,
        }
    }
}

/// Brings a deleted workspace back under its name.
pub fn revive(mut project: Project, deleted: &Workspace, name: &str) -> Result<Project> {
    loop {
        let done = project.manifest.transaction(|manifest| {
            manifest.free_name(name)?;
            let Some(like) = showing(manifest, deleted.head.as_ref(), None)? else {
                return Ok(Ok(()));
            };
            if let Some(base) = pending(manifest, &like)? {
                return Ok(Err(base));
            }
            manifest.revive_workspace(deleted.id, name, &like).map(Ok)
        })?;
        match done {
            Ok(()) => return Ok(project),
            Err(base) => project = wait_for(project, base)?,
        }
    }
}

/// One attempt; the inner error is a base to wait for.
fn begin(
    manifest: &Manifest,
    wanted: Wanted<'_>,
    projection: &dyn Fn() -> Result<&'static str>,
) -> Result<std::result::Result<Workspace, i64>> {
    let name = wanted.name.map(|name| manifest.free_name(name)).transpose()?;
    let viewer = manifest.known_workspace(wanted.workspace)?;
    let (root, mut parent, snapshot) = origin(manifest, viewer, wanted.from)?;
    if parent.base.is_none() {
        // rendered by whichever of them runs first
        manifest.create_base(parent.id, projection()?)?;
        parent = manifest.workspace_by_id(parent.id)?;
    }
    let like = showing(manifest, Some(&root), Some(&parent))?.unwrap_or_else(|| parent.clone());
    if let Some(base) = pending(manifest, &like)? {
        return Ok(Err(base));
    }
    let parent = Workspace { base: like.base, layer: like.layer, ..parent };
    manifest.add_fork(name.as_deref(), &parent, &root, snapshot).map(Ok)
}

/// The root that a fork begins at, the workspace it leaves, and the newest snapshot before.
fn origin(
    manifest: &Manifest,
    viewer: Workspace,
    from: Option<&str>,
) -> Result<(Digest, Workspace, Option<i64>)> {
    let Some(text) = from else {
        let root = viewer.head.ok_or_else(|| {
            Error::failure(format!("workspace `{}` has no state yet", viewer.name))
                .with_hint("vrift sync takes the directory in")
        })?;
        let snapshot = viewer.snapshot;
        return Ok((root, viewer, snapshot));
    };
    let root = resolve(manifest, &viewer, text)?;
    let name = text.split_once('~').map_or(text, |(name, _)| name);
    if let Some(snapshot) = manifest.snapshot(name)? {
        let line = manifest.line(Some(snapshot.id))?;
        let at = line.iter().find(|snapshot| snapshot.root == root).map(|snapshot| snapshot.id);
        let parent = manifest.workspace(&snapshot.workspace)?.unwrap_or(viewer);
        return Ok((root, parent, at));
    }
    let parent = manifest.workspace(name)?.unwrap_or(viewer);
    let snapshot = parent.snapshot;
    Ok((root, parent, snapshot))
}

/// A workspace whose stack shows a root, the favourite before all others; where none does,
/// the favourite, else the oldest.
fn showing(
    manifest: &Manifest,
    root: Option<&Digest>,
    favourite: Option<&Workspace>,
) -> Result<Option<Workspace>> {
    if let Some(favourite) = favourite
        && shown(manifest, favourite)?.as_ref() == root
    {
        return Ok(Some(favourite.clone()));
    }
    let all = manifest.workspaces()?;
    for workspace in &all {
        let shown = shown(manifest, workspace)?;
        if shown.is_some() && shown.as_ref() == root {
            return Ok(Some(workspace.clone()));
        }
    }
    Ok(favourite.cloned().or_else(|| all.into_iter().next()))
}

/// The root that a workspace's stack shows.
fn shown(manifest: &Manifest, workspace: &Workspace) -> Result<Option<Digest>> {
    if let Some(layer) = workspace.layer {
        return Ok(manifest.layer(layer)?.map(|layer| layer.root));
    }
    let base = workspace.base.map(|base| manifest.base(base)).transpose()?.flatten();
    Ok(base.and_then(|base| base.root))
}

/// The base of a workspace, when it is being changed.
fn pending(manifest: &Manifest, workspace: &Workspace) -> Result<Option<i64>> {
    let base = workspace.base.map(|base| manifest.base(base)).transpose()?.flatten();
    Ok(base.filter(|base| base.target.is_some()).map(|base| base.id))
}

/// Waits for who changes a base; who was killed at it is helped.
fn wait_for(project: Project, base: i64) -> Result<Project> {
    let place = project.close();
    as_root_of_own_files("bring the lower tree up to date", || finish_target(&place.again()?.open()?, base))?;
    place.open()
}
