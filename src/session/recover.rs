//! What a session left that ended without taking in: its launcher and init were killed.

use super::project::Project;
use super::record::{self, Record};
use super::staging::sessions;
use super::take_in::{Taken, Trust, take_in};
use crate::error::{Error, Kind, Result};
use crate::os::lock::{Hold, Lock};
use crate::os::remove;
use crate::os::userns::as_root_of_own_files;

/// What becomes of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Keep,
    Drop,
}

/// Staging of sessions of any workspace that do not live and were not taken in.
pub fn orphans(project: &Project) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    for session in sessions(project)? {
        let Some(record) = Record::read(&project.staging().join(&session))? else { continue };
        let lock = Lock::attempt(&project.session_lock(record.workspace), Hold::Exclusive)?;
        let pending = project.manifest.pending(record.workspace)?;
        if lock.is_some() && !pending.iter().any(|row| row.staging == session) {
            found.push(record);
        }
    }
    Ok(found)
}

/// Takes an orphan in, or removes it. Nobody watched its end, so somebody may still
/// have a file of it open: it is copied, unless the machine was started anew (rule 2).
pub fn recover(project: Project, orphan: &Record, fate: Fate) -> Result<(Project, Taken)> {
    let busy = || {
        Error::new(Kind::Busy, format!("workspace `{}` has a live run", orphan.workspace_name))
            .with_hint("wait for it to end")
    };
    let _lock = Lock::attempt(&project.session_lock(orphan.workspace), Hold::Exclusive)?.ok_or_else(busy)?;
    record::end_remains(orphan)?;
    let staging = project.staging().join(&orphan.session);
    match fate {
        Fate::Keep => {
            let rebooted = orphan.boot != record::boot_id();
            let trust = if rebooted { Trust::Closed } else { Trust::MayBeWritten };
            take_in(project, &orphan.session, trust)
        }
        Fate::Drop => as_root_of_own_files("remove staging", || remove::remove_tree(&staging))
            .map(|()| (project, Taken::default())),
    }
}
