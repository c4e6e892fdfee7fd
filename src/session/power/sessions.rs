//! Staged files are not synced: after a power cut nothing of them goes into a head by itself.

use std::path::Path;

use crate::error::{Context, Result, quoted};
use crate::os::boot;
use crate::session::project::Project;
use crate::session::record::{self, Record};
use crate::session::staging::{self, sessions};
use crate::session::take_in;

/// Whether a session of a project was opened since this start of the machine. Whoever opens one
/// has looked after the store before.
pub fn is_of_this_boot(project: &Path) -> Result<bool> {
    let place = project.join("staging");
    for entry in std::fs::read_dir(&place).context("read", &place)? {
        let path = entry.context("read", &place)?.path();
        let record = if path.is_dir() { Record::read(&path).unwrap_or(None) } else { None };
        if record.is_some_and(|record| record.boot == boot::id()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Take-ins that had committed and are whole stay to be finished; all other sessions become
/// orphans, and one that cannot be read is moved aside. What sessions left for
/// the next one goes.
pub fn keep_as_orphans(project: &Project, say: &dyn Fn(&str)) -> Result<()> {
    let place = project.staging();
    if !place.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
        let path = entry.path();
        // no session's name has a dot
        if path.is_dir() && path.extension().is_some() {
            staging::remove(&path)?;
        }
    }
    let mut pending = Vec::new();
    for workspace in project.manifest.all_workspaces()? {
        pending.extend(project.manifest.pending(workspace.id)?.into_iter().map(|row| row.staging));
    }
    for session in sessions(project)? {
        let path = place.join(&session);
        if let Err(error) =
            Record::read(&path).and_then(|record| record.map(|is| is.start_root()).transpose())
        {
            // whoever empties the quarantine knows nothing of objects
            let _ = take_in::settle_staged(project, &path);
            project.store.set_aside(&path)?;
            say(&format!("session {} cannot be read and was moved aside: {error}", quoted(session.as_ref())));
            continue;
        }
        // its upper had become a layer, or was being removed
        if !path.join("upper").exists() && !pending.contains(&session) {
            staging::remove(&path)?;
            continue;
        }
        record::mark_cut(&path)?;
    }
    Ok(())
}
