//! The marker in the cover of the store, by which a process knows that it is inside a
//! session, and of which (rule 23): an environment variable could lie.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The marker in the cover by which a process knows that it is inside (rule 23).
pub(super) const INSIDE: &std::ffi::CStr = c"inside.json";

/// What the marker says.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Inside {
    pub workspace: String,
    pub session: String,
    #[serde(with = "path_bytes")]
    pub root: PathBuf,
}

impl Inside {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The session this process is inside of, if the store is covered.
    pub fn of(store: &Path) -> Option<Self> {
        let text = std::fs::read(store.join("inside.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

mod path_bytes {
    use super::{OsStrExt, PathBuf};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::os::unix::ffi::OsStringExt;

    pub fn serialize<S: Serializer>(path: &std::path::Path, to: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().as_bytes().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Vec::deserialize(from).map(|bytes| std::ffi::OsString::from_vec(bytes).into())
    }
}
