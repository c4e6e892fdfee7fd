//! `session.json`: what a session's staging directory says of itself, for whoever
//! finds it after a crash.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::confine::Shape;
use super::plain;
use super::project::Place;
use crate::cas::Digest;
use crate::error::{Context, Error, Result, quoted};
use crate::manifest::base::is_session_name;
use crate::os::boot;

pub const NAME: &str = "session.json";
/// There when the session has ended and nobody can write to its upper any more (rule 2).
const CLOSED: &str = "closed";
/// There when the power was cut after that: what is staged may be anything.
const CUT: &str = "cut";

/// There since it was seen first that it ended without taking in; its mtime is that moment.
const ORPHANED: &str = "orphaned";

/// There when not everybody may join it; it says why.
pub(super) const ALONE: &str = "alone";
/// There when what it wrote is not wanted: what is left of it is removed.
const DISCARDED: &str = "discarded";

/// There when it was ended over a quota, with the reason: it is kept as an orphan.
pub(super) const OVER: &str = "over";

/// What a session is of and started from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub session: String,
    pub workspace: i64,
    pub workspace_name: String,
    pub base: i64,
    /// Over the base, topmost first.
    #[serde(default)]
    pub layers: Vec<i64>,
    /// The root that they show, in hex.
    pub root: String,
    /// What tells its mounts from those of other rules.
    #[serde(default)]
    pub rules: String,
    /// Paths where something else than the overlay is mounted.
    #[serde(default)]
    pub mounts: Vec<Vec<u8>>,
    /// Names in the upper that were made for those.
    #[serde(default)]
    pub made: Vec<Vec<u8>>,
    /// Its cover shows the preload library, and the mover listens there.
    #[serde(default)]
    pub preload: bool,
    /// Fingerprint of the metadata that the upper's root was given: unchanged, and
    /// empty, means that nothing was written.
    pub upper_root: String,
    /// Print of all that was put into the upper for those; empty: nothing was.
    #[serde(default)]
    pub upper_print: String,
    /// It has no pid namespace: a free lock does not mean that it has ended (rule 3).
    #[serde(default)]
    pub shares_pids: bool,
    /// It ran in a plain copy, which is in its directory.
    #[serde(default)]
    pub plain: bool,
    /// What it was opened with.
    #[serde(default)]
    pub shape: Shape,
    pub boot: String,
    /// Milliseconds since the epoch.
    pub started: i64,
}

impl Record {
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(NAME);
        let text = serde_json::to_vec(self).map_err(std::io::Error::from).context("write", &path)?;
        // In place: the file of a spare is used again.
        let write = || -> std::io::Result<()> {
            let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            file.write_all_at(&text, 0)?;
            file.set_len(text.len() as u64)
        };
        write().context("write", &path)
    }

    /// `None` where there is no record (the opening was cut short).
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        match std::fs::read(&path) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => {
                let record: Self =
                    serde_json::from_slice(&text).map_err(std::io::Error::from).context("read", &path)?;
                // it is a directory's name, below which things are removed
                let sound = is_session_name(&record.session);
                let broken = || Error::corrupt(format!("{} names no session", quoted(path.as_os_str())));
                sound.then_some(Some(record)).ok_or_else(broken)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, &error)),
        }
    }

    /// Where what it wrote is.
    pub fn dir(&self, place: &Place) -> PathBuf {
        let top = if self.plain { plain::top(place) } else { place.staging() };
        top.join(&self.session)
    }

    /// The root the session started from.
    pub fn start_root(&self) -> Result<Digest> {
        Digest::from_hex(&self.root)
            .ok_or_else(|| Error::corrupt(format!("session `{}` has no readable root", self.session)))
    }
}

/// Ends what lives on of a session that has no pid namespace and whose init was killed; of
/// others nothing can. The session's lock is free, or ours.
pub fn end_remains(record: &Record) -> Result<()> {
    if record.shares_pids && record.boot == boot::id() {
        crate::ns::end_remains(&format!("/staging/{}/upper", record.session))?;
    }
    Ok(())
}

/// A name that no other session has; it tells the workspace even without a record.
pub fn session_name(workspace: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("s{:x}-{:x}-w{workspace}", now.as_micros(), std::process::id())
}

/// Whether a session's name is one of this workspace's.
pub fn is_of(session: &str, workspace: i64) -> bool {
    session.ends_with(&format!("-w{workspace}"))
}

/// Notes that the session is over a quota: whoever is the last to leave takes nothing in.
pub fn mark_over(dir: &Path, why: &str) -> Result<()> {
    let path = dir.join(OVER);
    std::fs::write(&path, why).context("write", &path)
}

/// Why the session was ended, when it was over a quota.
pub fn over(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join(OVER)).ok()
}

/// Notes that nobody can write to this session's upper any more, and that it is to be taken in.
pub fn mark_closed(dir: &Path) -> Result<()> {
    let path = dir.join(CLOSED);
    std::fs::write(&path, "").context("write", &path)?;
    match is_cut(dir) {
        true => crate::os::remove::remove_tree(&dir.join(CUT)),
        false => Ok(()),
    }
}

/// Whether the next command takes it in by itself.
pub fn is_closed(dir: &Path) -> bool {
    dir.join(CLOSED).exists() && !is_cut(dir)
}

/// Whether files of its upper may be objects: only those of a closed one are linked.
pub fn may_be_objects(dir: &Path) -> bool {
    dir.join(CLOSED).exists()
}

/// After a power cut what is staged may be anything: it is not taken in before somebody has
/// looked.
pub fn mark_cut(dir: &Path) -> Result<()> {
    let path = dir.join(CUT);
    match dir.join(CLOSED).exists() {
        true => std::fs::write(&path, "").context("write", &path),
        false => Ok(()),
    }
}

fn is_cut(dir: &Path) -> bool {
    dir.join(CUT).exists()
}

/// Why not everybody may join a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// What it writes may be thrown away.
    Discard,
    /// What its runs write, and only that, goes to the host: only such runs join.
    Apply,
}

/// Notes that not everybody may join this session.
pub fn mark_alone(dir: &Path, why: Alone) -> Result<()> {
    let path = dir.join(ALONE);
    std::fs::write(&path, if why == Alone::Apply { "apply" } else { "" }).context("write", &path)
}

pub fn alone(dir: &Path) -> Option<Alone> {
    match std::fs::read(dir.join(ALONE)).ok()?.as_slice() {
        b"apply" => Some(Alone::Apply),
        _ => Some(Alone::Discard),
    }
}

/// Notes that what this session wrote is not wanted.
pub fn mark_discarded(dir: &Path) -> Result<()> {
    let path = dir.join(DISCARDED);
    std::fs::write(&path, "").context("write", &path)
}

pub fn is_discarded(dir: &Path) -> bool {
    dir.join(DISCARDED).exists()
}

/// Notes that this session ended without taking in, unless that is noted already.
pub fn mark_orphaned(dir: &Path) -> Result<()> {
    let path = dir.join(ORPHANED);
    let made = std::fs::OpenOptions::new().append(true).create(true).open(&path);
    made.map(drop).context("write", &path)
}

/// How long ago that was noted; `None`: it was not yet.
pub fn orphaned(dir: &Path) -> Option<Duration> {
    let noted = dir.join(ORPHANED).metadata().ok()?.modified().ok()?;
    Some(noted.elapsed().unwrap_or_default())
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_workspace() {
        assert!(is_of(&session_name(1), 1));
        assert!(!is_of(&session_name(11), 1));
    }

    #[test]
    fn a_record_comes_back_and_broken_ones_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Record::read(dir.path()).unwrap().is_none());
        let root = Digest::of(b"root");
        let record = Record {
            session: "s".into(),
            workspace: 1,
            workspace_name: "main".into(),
            base: 2,
            layers: vec![3],
            root: root.hex(),
            rules: String::new(),
            mounts: Vec::new(),
            made: Vec::new(),
            preload: false,
            upper_root: String::new(),
            upper_print: String::new(),
            shares_pids: false,
            plain: false,
            shape: Shape::default(),
            boot: boot::id(),
            started: now_ms(),
        };
        record.write(dir.path()).unwrap();
        let read = Record::read(dir.path()).unwrap().unwrap();
        assert_eq!(read.start_root().unwrap(), root);
        for bad in ["", "zz", &"é".repeat(32)] {
            assert!(Record { root: bad.into(), ..record.clone() }.start_root().is_err());
        }
        std::fs::write(dir.path().join(NAME), "{").unwrap();
        assert!(Record::read(dir.path()).is_err());
    }
}
