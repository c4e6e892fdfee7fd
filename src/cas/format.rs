//! `format.json`: what a version of vrift must understand to touch a store.
//!
//! As in ext4's superblock there are three lists. An unknown *compatible* feature
//! may be ignored, an unknown *read-only compatible* one forbids writing, an
//! unknown *incompatible* one forbids everything.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

pub const NAME: &str = "format.json";
const VERSION: u32 = 1;

/// Features that this build knows. Tree encoding 1, names of 2 + 20 characters.
const KNOWN: [&str; 1] = ["objects-2-20"];

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

/// The text of a new store's file.
pub fn initial() -> String {
    let format = Format {
        version: VERSION,
        compatible: Vec::new(),
        read_only_compatible: Vec::new(),
        incompatible: KNOWN.iter().map(ToString::to_string).collect(),
    };
    serde_json::to_string_pretty(&format).unwrap_or_default() + "\n"
}

/// Refuses a store that this build must not write.
pub fn check(text: &[u8], path: &Path) -> Result<()> {
    let format: Format =
        serde_json::from_slice(text).map_err(std::io::Error::from).context("read store format", path)?;
    let newer = |what: &str| {
        Error::failure(format!("the store `{}` is of a newer format ({what})", path.display()))
            .with_hint("use the newer vrift, or another store with --store DIR")
    };
    if format.version > VERSION {
        return Err(newer(&format!("version {}, this vrift knows {VERSION}", format.version)));
    }
    let mut foreign = format.incompatible.iter().chain(&format.read_only_compatible);
    match foreign.find(|feature| !KNOWN.contains(&feature.as_str())) {
        Some(feature) => Err(newer(&format!("feature `{feature}`"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<()> {
        check(text.as_bytes(), Path::new("/store/format.json"))
    }

    #[test]
    fn a_new_store_is_accepted_and_newer_ones_are_refused() {
        checked(&initial()).unwrap();
        checked(r#"{"version":1,"compatible":["from-the-future"]}"#).unwrap();
        for bad in [
            r#"{"version":2}"#,
            r#"{"version":1,"incompatible":["packs"]}"#,
            r#"{"version":1,"read_only_compatible":["packs"]}"#,
            "garbage",
            "",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
