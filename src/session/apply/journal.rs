//! What an apply is about to do, on the disk before its first write (`apply.json` in the
//! project's directory of the store).
//!
//! | phase | the host | killed here |
//! |---|---|---|
//! | planned | new versions are being made under temporary names | they are removed |
//! | staged | they are complete and synced, and are being put in place | the rest is put in place; if that cannot be, all is put back |
//! | committed | all is in place, old versions lie under temporary names | these are removed |

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::host::Id;
use crate::error::{Context, Error, Result};
use crate::manifest::node::{Meta, Time};

pub const NAME: &str = "apply.json";
/// One that is not synced; its name begins as the other's. After a power cut it may be there and hold nothing: then what it was
/// about is lost as well.
const QUICK: &str = "apply.json.quick";
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Planned,
    Staged,
    Committed,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    /// Neither it nor what it is about is synced: who is killed finds it, a power cut may take it.
    #[serde(default)]
    pub quick: bool,
    pub phase: Phase,
    pub swaps: Vec<Swap>,
    pub dresses: Vec<Dress>,
    /// Directories whose names change, a directory before those in it.
    pub dirs: Vec<Dress>,
    pub after: After,
}

/// A name that gets, changes or loses what it names.
#[derive(Debug, Serialize, Deserialize)]
pub struct Swap {
    pub path: Vec<u8>,
    /// In the same directory.
    pub temporary: Vec<u8>,
    /// What was there.
    pub old: Option<Id>,
    /// All that lay in it, if it was a directory: relative to the project.
    pub below: Vec<(Vec<u8>, Id)>,
    /// It gets something new.
    pub puts: bool,
    /// The inode of that, once it is made.
    pub new: Option<u64>,
}

/// Something whose metadata changes in place.
#[derive(Debug, Serialize, Deserialize)]
pub struct Dress {
    pub path: Vec<u8>,
    pub id: Option<Id>,
    pub from: Clothes,
    pub to: Clothes,
}

/// [`Meta`], as the journal writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clothes {
    mode: u16,
    mtime: (i64, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What the manifest records when all is in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct After {
    pub workspace: String,
    /// The host base, from and to.
    pub base: Option<([u8; 32], [u8; 32])>,
    /// The head, from and to.
    pub head: Option<([u8; 32], [u8; 32])>,
    /// How many names go from the host that sync knows.
    pub gone: u64,
}

impl From<&Meta> for Clothes {
    fn from(meta: &Meta) -> Self {
        let mtime = (meta.mtime.secs, meta.mtime.nanos);
        Self { mode: meta.mode, mtime, xattrs: meta.xattrs.clone() }
    }
}

impl From<&Clothes> for Meta {
    fn from(clothes: &Clothes) -> Self {
        let (secs, nanos) = clothes.mtime;
        Self { mode: clothes.mode, mtime: Time { secs, nanos }, xattrs: clothes.xattrs.clone() }
    }
}

impl Clothes {
    pub fn same_xattrs(&self, other: &Self) -> bool {
        self.xattrs == other.xattrs
    }

    /// They differ in nothing but the mtime.
    pub fn only_time(&self, other: &Self) -> bool {
        self.mode == other.mode && self.xattrs == other.xattrs
    }
}

impl Journal {
    pub fn new(swaps: Vec<Swap>, dresses: Vec<Dress>, dirs: Vec<Dress>, after: After, quick: bool) -> Self {
        Self { version: VERSION, quick, phase: Phase::Planned, swaps, dresses, dirs, after }
    }

    /// Whether a project has an apply that was begun.
    pub fn is_there(project: &Path) -> bool {
        project.join(NAME).exists() || project.join(QUICK).exists()
    }

    pub fn read(project: &Path) -> Result<Option<Self>> {
        let quick = project.join(QUICK);
        if let Ok(text) = std::fs::read(&quick) {
            match serde_json::from_slice::<Self>(&text) {
                Ok(journal) if journal.version == VERSION => return Ok(Some(journal)),
                _ => std::fs::remove_file(&quick).context("remove", &quick)?,
            }
        }
        let path = project.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, &error)),
        };
        let broken = |why: String| {
            Error::corrupt(format!("the journal `{}` of an apply does not read back: {why}", path.display()))
                .with_hint("look for names that begin with `.vrift-` in the project; then remove the journal")
        };
        let journal: Self = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        match journal.version {
            VERSION => Ok(Some(journal)),
            other => Err(broken(format!("it is of version {other}"))),
        }
    }

    /// On the disk when it returns, unless it is a quick one.
    pub fn write(&self, project: &Path) -> Result<()> {
        let name = if self.quick { QUICK } else { NAME };
        let (path, half) = (project.join(name), project.join(format!("{name}.new")));
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&half)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            if !self.quick {
                file.sync_all()?;
            }
            std::fs::rename(&half, &path)?;
            if self.quick { Ok(()) } else { std::fs::File::open(project)?.sync_all() }
        };
        write().context("write", &path)
    }

    pub fn remove(project: &Path, quick: bool) -> Result<()> {
        let path: PathBuf = project.join(if quick { QUICK } else { NAME });
        let sync = || if quick { Ok(()) } else { std::fs::File::open(project)?.sync_all() };
        std::fs::remove_file(&path).and_then(|()| sync()).context("remove", &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_foreign_bytes_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Journal::read(dir.path()).unwrap().is_none());
        let swap = Swap {
            path: b"a\xff\n".to_vec(),
            temporary: b".vrift-1".to_vec(),
            old: None,
            below: vec![],
            puts: true,
            new: Some(7),
        };
        let after = After { workspace: "main".into(), base: Some(([1; 32], [2; 32])), head: None, gone: 0 };
        let mut journal = Journal::new(vec![swap], vec![], vec![], after, false);
        journal.phase = Phase::Staged;
        journal.write(dir.path()).unwrap();
        let read = Journal::read(dir.path()).unwrap().unwrap();
        assert_eq!((read.phase, &read.swaps[0].path[..]), (Phase::Staged, &b"a\xff\n"[..]));
        Journal::remove(dir.path(), false).unwrap();
        assert!(!Journal::is_there(dir.path()));
        for bad in ["", "{}", "[1]", "{\"version\":9}"] {
            std::fs::write(dir.path().join(NAME), bad).unwrap();
            assert!(Journal::read(dir.path()).is_err());
        }
    }
}
