//! Bringing a workspace's lower tree to its head.
//!
//! A base is changed under its exclusive lock only; what it is being brought to is
//! recorded first, so a killed change is finished by whoever comes next (rule 12).

use std::path::Path;

use crate::cas::Digest;
use crate::error::{Context, Error, Result};
use crate::manifest::base::Base;
use crate::manifest::diff::{Change, diff};
use crate::os::dir::Dir;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::os::{remove, xattr};
use crate::overlay::probe::Probe;
use crate::overlay::projection::{self, Projection};
use crate::session::project::Project;

/// A base that shows its workspace's head, and will as long as the lock is held.
pub struct Ready {
    pub base: i64,
    pub root: Digest,
    pub lock: Lock,
}

/// Locks the workspace's base shared, having brought it to the head.
pub fn ready(mut project: Project, workspace: &str) -> Result<(Project, Ready)> {
    let mut distrusted = false;
    loop {
        // From reading the head until the base is locked nothing may be swept (rule 15).
        let token = project.store.publishing()?;
        let now = project.manifest.known_workspace(workspace)?;
        let head = now.head.ok_or_else(|| {
            Error::failure(format!("workspace `{workspace}` has no state yet"))
                .with_hint("run without --no-sync once, so that the directory is taken in")
        })?;
        if let Some(id) = now.base {
            let lock = Lock::wait(&project.base_lock(id), Hold::Shared)?;
            let base = project.manifest.base(id)?;
            if base.is_some_and(|base| base.root == Some(head) && base.target.is_none()) {
                if is_marked(&project.base_path(id), &head) {
                    return Ok((project, Ready { base: id, root: head, lock }));
                }
                if std::mem::replace(&mut distrusted, true) {
                    return Err(Error::corrupt(format!(
                        "the lower tree of workspace `{workspace}` does not keep its mark"
                    ))
                    .with_hint("does the store's filesystem keep user xattrs? vrift doctor says"));
                }
                project.manifest.distrust_base(id)?;
            }
        }
        drop(token);
        if now.base.is_none() {
            stubs_work(&project)?;
        }
        project = bring_up(project, workspace)?;
    }
}

/// A base is made of stubs: this kernel and this store must show them. Asked before a first
/// take-in too, so that nobody waits for one that is of no use.
pub fn stubs_work(project: &Project) -> Result<()> {
    let Err(why) = Probe::cached(project.store.root())?.stub else { return Ok(()) };
    let error = Error::failure(format!("runs do not work here: {why}"));
    Err(error.with_hint(why.hint().unwrap_or("vrift doctor says more")))
}

/// Renders or folds, as the owner of everything in the tree (rule 4).
fn bring_up(project: Project, workspace: &str) -> Result<Project> {
    let place = project.close();
    as_root_of_own_files("bring the lower tree up to date", || {
        bring_to_head(&place.again()?.open()?, workspace)
    })?;
    place.open()
}

/// Brings the base of a workspace to its head. The caller may write all of the
/// caller's files.
pub fn bring_to_head(project: &Project, workspace: &str) -> Result<()> {
    let manifest = &project.manifest;
    let (id, head) = manifest.transaction(|manifest| {
        let now = manifest.known_workspace(workspace)?;
        let id = match now.base {
            Some(id) => id,
            None => manifest.create_base(now.id, projection::STUB)?,
        };
        Ok((id, now.head))
    })?;
    let Some(head) = head else { return Ok(()) };
    let _lock = Lock::wait(&project.base_lock(id), Hold::Exclusive)?;
    let missing = || Error::corrupt(format!("base {id} is missing from the manifest"));
    // What was begun is finished before anything newer (rule 12).
    let base = manifest.base(id)?.ok_or_else(missing)?;
    if let Some(target) = base.target {
        bring(project, &base, target)?;
    }
    let base = manifest.base(id)?.ok_or_else(missing)?;
    if base.root != Some(head) {
        bring(project, &base, head)?;
    }
    Ok(())
}

fn bring(project: &Project, base: &Base, target: Digest) -> Result<()> {
    let manifest = &project.manifest;
    let projection = projection::named(&base.projection)?;
    let dest = project.base_path(base.id);
    if base.target != Some(target) {
        manifest.set_base_target(base.id, &target)?;
    }
    match base.root {
        None => render(project, &dest, &target, projection.as_ref())?,
        Some(root) => {
            let mut changes: Vec<Change> = Vec::new();
            diff(manifest, Some(&root), Some(&target), &mut |change| {
                changes.push(change);
                Ok(())
            })?;
            projection::fold(changes, &dest, projection.as_ref()).map_err(|error| {
                error.with_hint("what was taken in is safe; the next command goes on from here")
            })?;
        }
    }
    mark(&dest, &target)?;
    manifest.base_reached(base.id, &target)
}

/// The root that a lower shows, on its directory. A copy or a backup that lost the
/// xattrs of the stubs, which then read as zeros, has lost this one too (rule 20).
const MARK: &std::ffi::CStr = c"user.vrift.root";

fn mark(dest: &Path, root: &Digest) -> Result<()> {
    xattr::set(Dir::open(dest)?, MARK, root.hex().as_bytes()).context("mark", dest)
}

fn is_marked(dest: &Path, root: &Digest) -> bool {
    let mark = Dir::open(dest).ok().and_then(|dir| xattr::get(dir, MARK).ok().flatten());
    mark.is_some_and(|mark| mark == root.hex().as_bytes())
}

fn render(project: &Project, dest: &Path, target: &Digest, projection: &dyn Projection) -> Result<()> {
    if dest.symlink_metadata().is_ok() {
        remove::remove_tree(dest)?; // a rendering that was cut short
    }
    projection::render(&project.manifest, target, dest, projection)?;
    Ok(())
}
