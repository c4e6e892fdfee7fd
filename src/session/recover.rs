//! What a session left that ended without taking in: its launcher and init were killed.
//!
//! The head is the session's last checkpoint. What came after lies in its staging until
//! somebody keeps or drops it, or for thirty days from when it was noticed first.

use std::path::Path;
use std::time::Duration;

use super::checkpoint;
use super::open::live;
use super::plain;
use super::project::Project;
use super::record::{self, Record};
use super::staging::sessions;
use super::take_in::{Taken, Trust, discard, take_in};
use crate::cas::Digest;
use crate::error::{Error, Kind, Result};
use crate::os::boot;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::progress::Meter;

/// What becomes of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Keep,
    Drop,
}

/// How long it is kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// One that the next command found.
#[derive(Clone, Debug)]
pub struct Orphan {
    pub session: String,
    /// Full days for which it is still kept; `None`: it was dropped just now.
    pub days: Option<u64>,
}

impl Orphan {
    /// Notes that a session is one, and drops one that has been noted for too long. The
    /// workspace's session lock is held.
    pub(super) fn noted(project: &Project, staging: &Path, session: String) -> Result<Self> {
        record::mark_orphaned(staging)?;
        if is_expired(staging) {
            discard(project, staging)?;
            return Ok(Self { session, days: None });
        }
        Ok(Self { days: Some(days_left(staging)), session })
    }
}

/// Whether an orphan has lain there for so long that it is dropped.
pub fn is_expired(staging: &Path) -> bool {
    record::orphaned(staging).is_some_and(|age| age > KEPT)
}

/// Full days for which an orphan is still kept.
pub fn days_left(staging: &Path) -> u64 {
    let age = record::orphaned(staging).unwrap_or_default();
    KEPT.saturating_sub(age).as_secs() / (24 * 3600)
}

/// Sessions of any workspace that do not live and were not taken in.
pub fn orphans(project: &Project) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    let staged = sessions(project)?.into_iter().map(|session| project.staging().join(session));
    let copies = plain::sessions(project)?.into_iter().map(|session| plain::top(project).join(session));
    for staging in staged.chain(copies) {
        let Some(record) = Record::read(&staging)? else { continue };
        if record::is_discarded(&staging) || !is_ended(project, &record)? {
            continue;
        }
        let pending = project.manifest.pending(record.workspace)?;
        if !pending.iter().any(|row| row.staging == record.session) {
            found.push(record);
        }
    }
    Ok(found)
}

/// While another session of its workspace lives, or begins, only one that was noted before
/// is told from that.
fn is_ended(project: &Project, record: &Record) -> Result<bool> {
    if Lock::attempt(&project.session_lock(record.workspace), Hold::Exclusive)?.is_some() {
        return Ok(true);
    }
    let noted = record::orphaned(&record.dir(project)).is_some();
    Ok(noted && live(project, record.workspace)?.as_ref() != Some(&record.session))
}

/// Whether the next command takes it in by itself: its end was watched, and only its
/// taking in was cut short.
pub fn is_resumed(project: &Project, orphan: &Record) -> bool {
    record::is_closed(&orphan.dir(project))
}

fn alone(project: &Project, orphan: &Record) -> Result<Lock> {
    Lock::attempt(&project.session_lock(orphan.workspace), Hold::Exclusive)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("workspace `{}` has a live run", orphan.workspace_name))
            .with_hint("wait for it to end")
    })
}

/// Removes what is left of sessions that were being discarded when they were cut short.
pub fn finish_discarded(project: &Project) -> Result<()> {
    for session in sessions(project)? {
        let staging = project.staging().join(&session);
        if !record::is_discarded(&staging) {
            continue;
        }
        let Ok(Some(record)) = Record::read(&staging) else { continue };
        if let Some(_lock) = Lock::attempt(&project.session_lock(record.workspace), Hold::Exclusive)? {
            discard(project, &staging)?;
        }
    }
    for session in plain::sessions(project)? {
        let dir = plain::top(project).join(&session);
        let Ok(Some(record)) = Record::read(&dir) else { continue };
        if record::is_discarded(&dir)
            && let Some(_lock) = Lock::attempt(&project.session_lock(record.workspace), Hold::Exclusive)?
        {
            plain::drop_copy(project, &session)?;
        }
    }
    Ok(())
}

/// Takes an orphan in, or removes it. Nobody watched its end, so somebody may still
/// have a file of it open: it is copied, unless the machine was started anew (rule 2).
pub fn recover(project: Project, orphan: &Record, fate: Fate, meter: &Meter) -> Result<(Project, Taken)> {
    let _lock = alone(&project, orphan)?;
    if orphan.plain {
        plain::unused(&project, orphan)?;
        let taken = match fate {
            Fate::Keep => plain::take_in(&project, orphan, meter)?,
            Fate::Drop => Taken::default(),
        };
        plain::drop_copy(&project, &orphan.session)?;
        return Ok((project, taken));
    }
    record::end_remains(orphan)?;
    let staging = project.staging().join(&orphan.session);
    match fate {
        Fate::Keep => {
            let rebooted = orphan.boot != boot::id();
            let trust = if rebooted { Trust::Closed } else { Trust::MayBeWritten };
            take_in(project, &orphan.session, trust, meter)
        }
        // marked first: cut short, the rest is removed and never taken for what was written
        Fate::Drop => discard(&project, &staging).map(|()| (project, Taken::default())),
    }
}

/// The state that the head has of an orphan (its last checkpoint, or its beginning) and the
/// one that it would make.
pub fn states(project: Project, orphan: &Record) -> Result<(Project, Digest, Digest)> {
    let _lock = alone(&project, orphan)?;
    if orphan.plain {
        let (before, after) = plain::states(&project, orphan)?;
        return Ok((project, before, after));
    }
    record::end_remains(orphan)?;
    let staging = project.staging().join(&orphan.session);
    let _alone = checkpoint::hold(&staging)?;
    let place = project.close();
    let states = as_root_of_own_files("read what the session wrote", || {
        checkpoint::states(&place.again()?.open()?, &staging, &orphan.session)
    })?;
    let project = place.open()?;
    let (before, after) = states
        .ok_or_else(|| Error::failure(format!("session `{}` was put away meanwhile", orphan.session)))?;
    Ok((project, Digest::from_bytes(before), Digest::from_bytes(after)))
}
