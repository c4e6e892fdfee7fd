//! `format.json`: what a version of vrift must understand to touch a store.
//!
//! As in ext4's superblock there are three lists. An unknown *compatible* feature
//! may be ignored, an unknown *read-only compatible* one forbids writing, an
//! unknown *incompatible* one forbids everything.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result, quoted};

pub const NAME: &str = "format.json";
const VERSION: u32 = 1;

/// Features that this build knows. Tree encoding 1, names of 2 + 20 characters.
const KNOWN: [&str; 2] = [OBJECTS, LOCK_FILES];
const OBJECTS: &str = "objects-2-20";
/// Made where flock(2) is refused: locks are names in directories (os/lock/holders.rs).
const LOCK_FILES: &str = "lock-files";

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    version: u32,
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    read_only_compatible: Vec<String>,
    #[serde(default)]
    incompatible: Vec<String>,
}

impl Format {
    fn locks_by_files(&self) -> bool {
        self.incompatible.iter().any(|feature| feature == LOCK_FILES)
    }
}

/// The text of a new store's file.
pub fn initial(lock_files: bool) -> String {
    let features = KNOWN.iter().filter(|feature| lock_files || **feature != LOCK_FILES);
    let format = Format {
        version: VERSION,
        compatible: Vec::new(),
        read_only_compatible: Vec::new(),
        incompatible: features.map(ToString::to_string).collect(),
    };
    serde_json::to_string_pretty(&format).unwrap_or_default() + "\n"
}

/// Of a store that is going: nobody opens it any more.
const DESTROYED: &str = "destroyed";

/// Whether a text is a store's, of whatever version.
pub fn is_one(text: &[u8]) -> bool {
    serde_json::from_slice::<Format>(text).is_ok_and(|format| !format.incompatible.is_empty())
}

/// The text of a store that is to go.
pub fn destroyed(before: &[u8]) -> String {
    initial(has_lock_files(before)).replace(OBJECTS, DESTROYED)
}

/// Whether those who use the store lock by files.
pub fn has_lock_files(text: &[u8]) -> bool {
    serde_json::from_slice(text).is_ok_and(|format: Format| format.locks_by_files())
}

/// What a store's file permits this build.
#[derive(Debug)]
pub enum Permits {
    Writing,
    /// Only reading, and why.
    Reading(Error),
}

/// Refuses a store that this build must not even read. With it: whether it has lock files.
pub fn check(text: &[u8], path: &Path) -> Result<(Permits, bool)> {
    let format: Format = serde_json::from_slice(text)
        .map_err(std::io::Error::from)
        .context("read store format", path)
        .map_err(|error| {
            error.with_hint(
                "the file is damaged, or not vrift's: bring it back from a backup, or use another store with --store DIR",
            )
        })?;
    let shown = quoted(path.parent().unwrap_or(path).as_os_str());
    let newer = |what: &str, how: &str| {
        Error::failure(format!("the store {shown} is of a newer format ({what}){how}"))
            .with_hint("use the newer vrift, or another store with --store DIR")
    };
    if format.version > VERSION {
        return Err(newer(&format!("version {}, this vrift knows {VERSION}", format.version), ""));
    }
    let foreign = |list: &[String]| list.iter().find(|feature| !KNOWN.contains(&feature.as_str())).cloned();
    if format.incompatible.iter().any(|feature| feature == DESTROYED) {
        return Err(Error::failure(format!("the store {shown} is being destroyed"))
            .with_hint("vrift store destroy goes on with it"));
    }
    if let Some(feature) = foreign(&format.incompatible) {
        return Err(newer(&format!("feature `{feature}`"), ""));
    }
    let permits = match foreign(&format.read_only_compatible) {
        Some(feature) => {
            Permits::Reading(newer(&format!("feature `{feature}`"), ": this vrift may only read it"))
        }
        None => Permits::Writing,
    };
    Ok((permits, format.locks_by_files()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Permits> {
        check(text.as_bytes(), Path::new("/store/format.json")).map(|(permits, _)| permits)
    }

    #[test]
    fn a_new_store_is_accepted_and_newer_ones_are_refused() {
        for good in [&initial(false), &initial(true), r#"{"version":1,"compatible":["from-the-future"]}"#] {
            assert!(matches!(checked(good).unwrap(), Permits::Writing), "{good}");
        }
        let Permits::Reading(why) = checked(r#"{"version":1,"read_only_compatible":["packs"]}"#).unwrap()
        else {
            panic!("may be written");
        };
        assert!(why.to_string().contains("`/store` is of a newer format (feature `packs`)"), "{why}");
        for bad in [r#"{"version":2}"#, r#"{"version":1,"incompatible":["packs"]}"#, "garbage", "", "[]"] {
            assert!(checked(bad).unwrap_err().hint().is_some(), "{bad}");
        }
    }

    #[test]
    fn how_it_is_locked_outlives_its_destruction() {
        for files in [true, false] {
            let text = initial(files);
            assert_eq!(check(text.as_bytes(), Path::new("/store/format.json")).unwrap().1, files);
            assert_eq!(has_lock_files(destroyed(text.as_bytes()).as_bytes()), files);
        }
    }
}
