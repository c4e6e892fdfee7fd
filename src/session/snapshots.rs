//! Snapshots that a run can read, below `.snapshots/` (`--snapshots`).
//!
//! Each is a read-only overlay of its own over a lower tree that shows its root. The tree is
//! rendered when it is first wanted and kept as long as the snapshot; the session holds its
//! lock. No workspace is ever shown by it, so nobody waits for the session to change it.

use super::mounts::{Mount, What};
use super::project::Project;
use super::stack;
use crate::cas::Digest;
use crate::error::{Error, Kind, Result};
use crate::manifest::dir::lookup;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::overlay::projection::{HARDLINK, STUB, TIER1};

/// Where they are, in the project.
pub const DIR: &str = ".snapshots";

/// How many are shown at most, the newest: each is a mount.
pub const SHOWN: usize = 100;

/// One snapshot in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub name: String,
    pub base: i64,
    /// It is made of stubs.
    pub stubs: bool,
}

/// Every snapshot with a lower tree that shows it, and the locks that keep those.
pub fn ready(mut project: Project, head: &Digest) -> Result<(Project, Vec<Shown>, Vec<Lock>)> {
    if lookup(&project.manifest, head, DIR.as_bytes())?.is_some() {
        return Err(Error::failure(format!("the workspace has a `{DIR}` of its own"))
            .with_hint("leave --snapshots out, or rename it; vrift export shows a snapshot elsewhere"));
    }
    let (mut shown, mut locks) = (Vec::new(), Vec::new());
    for snapshot in project.manifest.snapshots()?.into_iter().take(SHOWN) {
        loop {
            if let Some((base, stubs, lock)) = hold(&project, &snapshot.root, false)? {
                shown.push(Shown { name: snapshot.name, base, stubs });
                locks.push(lock);
                break;
            }
            if project.manifest.snapshot_by_id(snapshot.id)?.is_none() {
                break; // deleted meanwhile
            }
            let place = project.close();
            as_root_of_own_files("render a snapshot", || {
                let project = place.again()?.open()?;
                let _token = project.store.publishing()?; // nothing of it is swept (rule 15)
                stack::render_snapshot(&project, &snapshot.root)
            })?;
            project = place.open()?;
        }
    }
    Ok((project, shown, locks))
}

/// A base that shows the root, locked. `tier1`: of what is declared not to change.
pub fn hold(project: &Project, root: &Digest, tier1: bool) -> Result<Option<(i64, bool, Lock)>> {
    let (choose, not): (stack::Choose, _) =
        if tier1 { (stack::choose_tier1, HARDLINK) } else { (stack::choose, TIER1) };
    let Some(base) = project.manifest.base_of_snapshot(root, not)? else { return Ok(None) };
    let lock = Lock::wait(&project.base_lock(base.id), Hold::Shared)?;
    let other = choose(project, Some(&base.projection))? != base.projection;
    if other || !stack::is_marked(&project.base_path(base.id), root) {
        project.manifest.distrust_base(base.id)?; // swept with the next ones
        return Ok(None);
    }
    // read after the lock: a sweep may have taken it
    Ok((project.manifest.base(base.id)? == Some(base.clone())).then_some((
        base.id,
        base.projection == STUB,
        lock,
    )))
}

/// The mount that has them all.
pub fn mount(shown: &[Shown]) -> Mount {
    let names = shown.iter().map(|one| one.name.clone()).collect();
    Mount { path: DIR.into(), what: What::Snapshots(names), is_dir: true, on_host: false }
}

/// Refuses to join a session that has not what is wanted.
pub fn refuse_without(mounts: &[Vec<u8>], session: &str) -> Result<()> {
    if mounts.iter().any(|mount| mount == DIR.as_bytes()) {
        return Ok(());
    }
    Err(Error::new(Kind::Busy, format!("the live session {session} was opened without --snapshots"))
        .with_hint("leave the option out, wait for it to end (vrift runs), or use a fork of the workspace"))
}
