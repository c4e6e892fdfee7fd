//! Putting right what was found, without a guess: nothing is taken that has not the digest it
//! should have, nothing damaged is deleted, and what cannot be put right is said.
//!
//! | finding | becomes |
//! |---|---|
//! | a lock that is none, a stray, a session that cannot be read, a damaged preload library | moved to `quarantine/`; a lock's mode is set |
//! | a damaged or missing tree | the same tree of another project, where one has it |
//! | a damaged object | moved to `quarantine/`, then looked for as a missing one |
//! | a missing object | a copy on the host, or in a layer, that has the digest |
//! | a state that is not whole all the same | its workspace goes back to the newest one that is |
//! | a lower tree or layer | rendered anew |
//!
//! In this order, for each needs those before it. Killed anywhere it may be begun again.

mod contents;
mod heads;
mod lowers;
mod places;

use crate::cas::Store;
use crate::cas::finding::Finding;
use crate::error::{Error, Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::verify::Forest;
use crate::os::lock::{Hold, Lock};

/// What was done, in words, and what could not be.
#[derive(Debug, Default)]
pub struct Repaired {
    pub done: Vec<String>,
    pub left: Vec<String>,
}

/// Puts right what can be.
pub fn repair(store: &Store, found: &[Finding]) -> Result<Repaired> {
    let alone = Lock::attempt(&store.root().join("gc.lock"), Hold::Exclusive)?;
    let _alone = alone.ok_or_else(|| {
        Error::new(Kind::Busy, "a vrift gc, or another repair, is at work on this store")
            .with_hint("let it finish")
    })?;
    let mut repaired = Repaired::default();
    places::repair(store, found, &mut repaired);
    contents::trees(store, found, &mut repaired)?;
    contents::objects(store, found, &mut repaired)?;
    heads::repair(store, found, &mut repaired)?;
    lowers::repair(store, found, &mut repaired)?;
    Ok(repaired)
}

impl Repaired {
    fn note(&mut self, what: &str, result: Result<String>) {
        match result {
            Ok(done) => self.done.push(done),
            Err(error) => self.left.push(match error.hint() {
                Some(hint) => format!("{what}: {error} ({hint})"),
                None => format!("{what}: {error}"),
            }),
        }
    }
}

/// The projects whose manifest can be read, by their name in the store.
fn readable(store: &Store) -> Result<Vec<(String, Manifest, Forest)>> {
    let mut all = Vec::new();
    for dir in super::places::projects(store.root())? {
        let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !super::has_manifest(&dir) {
            continue;
        }
        let Ok(manifest) = Manifest::open(&dir) else { continue };
        if let Ok(forest) = Forest::read(&manifest) {
            all.push((id, manifest, forest));
        }
    }
    Ok(all)
}
