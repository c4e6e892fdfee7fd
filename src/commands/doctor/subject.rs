//! What is examined: the machine, and a place for a store. Nothing is left there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::check::Verdict;
use crate::error::{Context, Error, Result};
use crate::os::mkdir;
use crate::os::refusal::Machine;
use crate::os::remove::{remove_left, remove_tree};
use crate::os::userns::as_root_of_own_files;
use crate::overlay::probe::Probe;
use crate::session::trial;

pub struct Subject {
    /// The store's directory, there or not.
    pub root: PathBuf,
    /// The directory that was tried: the store's, or the nearest one above that is there.
    pub place: PathBuf,
    pub machine: Machine,
    scratch: Result<PathBuf>,
    /// A whole run: what it did without, or why it failed.
    pub trial: Result<Vec<Error>>,
    /// What can be mounted in that place.
    pub probe: Result<Probe>,
}

impl Subject {
    pub fn new(root: PathBuf) -> Self {
        let place = root.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/")).to_path_buf();
        let scratch = scratch(&place);
        let trial = scratch.clone().and_then(|scratch| trial::run(&scratch.join("run"), pages()?));
        let probe = scratch.clone().and_then(|scratch| Probe::run(&scratch));
        Self { root, place, machine: Machine::read(), scratch, trial, probe }
    }

    /// An empty directory in the store's place.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.scratch.clone()?.join(name);
        mkdir::private(&dir)?;
        Ok(dir)
    }

    /// How bad it is that something does not work: where runs do, it is not.
    pub fn severity(&self) -> Verdict {
        if self.trial.is_ok() { Verdict::Note } else { Verdict::Bad }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Ok(scratch) = &self.scratch {
            // what a run left has files of mode 000; who cannot become root of his own files had no run
            let removed = as_root_of_own_files("clear up", || remove_tree(scratch));
            let _ = removed.or_else(|_| remove_tree(scratch));
        }
    }
}

/// How its name begins; the process's number follows.
const SCRATCH: &str = ".vrift-doctor-";

fn scratch(place: &Path) -> Result<PathBuf> {
    remove_left(place, SCRATCH);
    let dir = place.join(format!("{SCRATCH}{}", std::process::id()));
    remove_tree(&dir)?;
    mkdir::private(&dir).map_err(|error| {
        error.with_hint("choose a directory you can write with --store DIR or VRIFT_STORE")
    })?;
    mkdir::private(&dir.join("run"))?;
    Ok(dir)
}

/// A command that is on every machine and writes: our own, printing its manual to files.
fn pages() -> Result<Vec<OsString>> {
    let vrift = std::env::current_exe().context("find", "the running program")?;
    Ok([vrift.into_os_string(), "man".into(), "--dir".into(), ".".into()].to_vec())
}
