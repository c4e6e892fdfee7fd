//! Putting away what commands that were killed left, and lower trees that nobody is shown by.
//!
//! All of it is what the next command of a project does too; only that may not come. What
//! cannot be done in one project is said and keeps nothing else (rule 12).

use std::path::Path;

use super::{Swept, quietly};
use crate::cas::store::Store;
use crate::error::{Context, Result};
use crate::manifest::Manifest;
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::session::open::leftovers;
use crate::session::project::{Place, identity, registry};
use crate::session::record::{self, Record, is_of};
use crate::session::recover::is_expired;
use crate::session::staging::sessions;
use crate::session::workspaces::forget_stale;
use crate::session::{elsewhere, output, plain, stack, take_in};

/// Puts away in all projects. No manifest is open.
pub fn all(store: &Store, quiet: bool, swept: &mut Swept) -> Result<()> {
    for gone in registry::forgotten(store)? {
        match as_root_of_own_files("remove a project's state", || registry::remove_forgotten(store, &gone)) {
            Ok(()) => swept.projects += 1,
            Err(why) => swept.left.push(why.to_string()),
        }
    }
    for id in registry::directories(store)? {
        let dir = store.projects_path().join(id);
        if let Err(why) = one(store, &dir, quiet, swept) {
            swept.left.push(why.to_string());
        }
        failpoint::at("gc.tidied").context("put away in", &dir)?;
    }
    Ok(())
}

fn one(store: &Store, dir: &Path, quiet: bool, swept: &mut Swept) -> Result<()> {
    let Some(manifest) = registry::manifest_of(dir)? else { return Ok(()) };
    let Some(root) = identity::path_of(&manifest)? else { return Ok(()) };
    manifest.drop_deleted_workspaces()?;
    manifest.drop_old_outputs()?;
    drop(manifest);
    let place = Place::of_state(store, dir, root)?;
    output::remove_halves(&place);
    output::adopt(&place.again()?.open()?)?;
    drop(forget_stale(place.again()?.open()?)?);
    let (before, lowers) = {
        let project = place.again()?.open()?;
        (due(&project.manifest, &place)?, project.manifest.count_lowers()?)
    };
    for workspace in before {
        if let Some(_lock) = Lock::attempt(&place.session_lock(workspace), Hold::Exclusive)? {
            let count =
                || Ok::<_, crate::error::Error>(sessions(&place)?.len() + plain::sessions(&place)?.len());
            let before = count()?;
            leftovers(place.again()?.open()?, workspace)?;
            swept.staging += before.saturating_sub(count()?) as u64;
        }
    }
    // nobody waits for a lock of what nobody is shown by
    quietly(quiet, || {
        as_root_of_own_files("remove what nobody needs", || stack::sweep(&place.again()?.open()?))
    })?;
    let project = place.open()?;
    elsewhere::sweep(&project, &project.manifest)?;
    swept.lowers += lowers.saturating_sub(project.manifest.count_lowers()?);
    Ok(())
}

/// Workspaces that have a session to be put away; the others' locks are not even tried,
/// for who looks whether a session lives would take ours for one.
fn due(manifest: &Manifest, place: &Place) -> Result<Vec<i64>> {
    let mut due = Vec::new();
    let sessions = sessions(place)?;
    let copies = plain::sessions(place)?;
    let is_due = |session: &&String| plain::is_due(&plain::top(place).join(session));
    for workspace in manifest.workspaces()? {
        if copies.iter().filter(|session| is_of(session, workspace.id)).any(|session| is_due(&session)) {
            due.push(workspace.id);
            continue;
        }
        for session in sessions.iter().filter(|session| is_of(session, workspace.id)) {
            let staging = place.staging().join(session);
            let is_pending = manifest.pending(workspace.id)?.iter().any(|row| row.staging == *session);
            let is_done = || record::is_closed(&staging) || record::is_discarded(&staging);
            if is_pending
                || is_done()
                || is_expired(&staging)
                || !take_in::has_written(&staging).unwrap_or(true)
            {
                due.push(workspace.id);
                break;
            }
        }
    }
    Ok(due)
}

/// Takes from a manifest, in a transaction that is taken back, what would be put away.
pub fn rehearse(store: &Store, manifest: &Manifest, dir: &Path, swept: &mut Swept) -> Result<()> {
    let Some(root) = identity::path_of(manifest)? else { return Ok(()) };
    let place = Place::of_state(store, dir, root)?;
    for workspace in due(manifest, &place)? {
        if Lock::attempt(&place.session_lock(workspace), Hold::Shared)?.is_none() {
            continue;
        }
        let pending = manifest.pending(workspace)?;
        for session in sessions(&place)?.iter().filter(|session| is_of(session, workspace)) {
            let staging = place.staging().join(session);
            let is_done = record::is_closed(&staging)
                || record::is_discarded(&staging)
                || pending.iter().any(|row| row.staging == *session)
                || Record::read(&staging).is_ok() && !take_in::has_written(&staging).unwrap_or(true);
            swept.staging += u64::from(is_done);
        }
        let copies = plain::sessions(&place)?.into_iter().filter(|session| is_of(session, workspace));
        swept.staging +=
            copies.filter(|session| plain::is_due(&plain::top(&place).join(session))).count() as u64;
        pending.iter().try_for_each(|row| manifest.remove_pending(row.id))?;
    }
    let is_free = |lock: &Path| Ok::<_, crate::error::Error>(Lock::attempt(lock, Hold::Exclusive)?.is_some());
    for layer in manifest.unused_layers()? {
        if !manifest.has_layer_over(layer.id)? && is_free(&place.layer_lock(layer.id))? {
            manifest.remove_layer(layer.id)?;
            swept.lowers += 1;
        }
    }
    for base in manifest.unused_bases()? {
        if is_free(&place.base_lock(base.id))? {
            manifest.remove_base(base.id)?;
            swept.lowers += 1;
        }
    }
    Ok(())
}
