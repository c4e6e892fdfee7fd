//! What a walk does not take in, and why.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::FileType;

use crate::error::{Error, quoted};
use crate::os::dir::Stat;

/// A name that is not taken in.
pub struct LeftOut {
    pub path: Vec<u8>,
    pub why: String,
    /// It is there all the same: what the workspace has under this name stays.
    pub unreadable: bool,
    pub is_dir: bool,
}

impl LeftOut {
    pub(super) fn unreadable(path: Vec<u8>, error: &Error, is_dir: bool) -> Self {
        let why = error.cause().map_or_else(|| error.to_string(), str::to_string);
        Self { path, why, unreadable: true, is_dir }
    }
}

/// Why a kind is not taken in (rule 5).
pub(super) fn not_taken(stat: &Stat) -> Option<&'static str> {
    match stat.kind {
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        FileType::Unknown => Some("of an unknown kind"),
        _ => None,
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = OsStr::from_bytes(&self.path);
        let path = quoted(path);
        match self.unreadable {
            true => {
                write!(f, "{path} cannot be read ({}): it is shown as on the host and not taken in", self.why)
            }
            false => write!(f, "left out {path}: {}", self.why),
        }
    }
}
