//! What a walk of the host directory found.

use serde::{Deserialize, Serialize};

use super::LeftOut;
use crate::manifest::node::{Entry, Meta};
use crate::session::sync::class::Class;

/// What the walk saw.
#[derive(Default)]
pub struct Walked {
    pub dirs: Vec<WalkedDir>,
    /// The root directory's own metadata.
    pub root: Meta,
    /// What is `own` and lies in nothing that is, relative.
    pub own: Vec<Vec<u8>>,
    /// What is mounted instead of taken in.
    pub mounted: Vec<Mounted>,
    /// What is `tier1`, the outermost, and what in it stays writable.
    pub tier1: Vec<Vec<u8>>,
    pub open: Vec<Vec<u8>>,
    /// Names that were left out, and why.
    pub left_out: Vec<LeftOut>,
    /// Names that were stamped and are still there.
    pub still_there: usize,
    /// Files whose content was read, and what was new to the store.
    pub read: usize,
    pub new_bytes: u64,
    /// Files by the name of `.git`: they name repositories elsewhere.
    pub git_files: Vec<Vec<u8>>,
    /// A repository changed while it was read: its parts may not fit.
    pub moved: bool,
    /// One lost a pack: objects may be missing.
    pub packs_moved: bool,
}

impl Walked {
    /// Everything that a walk which is not the first does not look into.
    pub fn left_alone(&self) -> Vec<Vec<u8>> {
        let mounted = self.mounted.iter().map(|mounted| mounted.path.clone());
        self.own.iter().cloned().chain(mounted).collect()
    }
}

/// A path of the host that is `live`, `scratch` or `hide`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mounted {
    /// Relative.
    pub path: Vec<u8>,
    pub class: Class,
    pub is_dir: bool,
}

/// One directory of the host.
pub struct WalkedDir {
    /// Relative; the root is empty.
    pub path: Vec<u8>,
    /// All of it is `own`.
    pub own: bool,
    /// Subdirectories that were walked.
    pub subdirs: Vec<Vec<u8>>,
    /// `None`: every name and every subdirectory's metadata is as stamped.
    pub listing: Option<Listing>,
}

/// A directory whose listing is not as stamped.
#[derive(Default)]
pub struct Listing {
    /// Entries that were read; a directory's tree is filled in by the assembly.
    pub fresh: Vec<Fresh>,
    /// Names whose entry in the recorded tree still holds.
    pub kept: Vec<Vec<u8>>,
    pub stamps: Vec<u8>,
}

/// An entry that was read, with what makes hard-link groups of files.
pub struct Fresh {
    pub entry: Entry,
    pub ino: u64,
    pub nlink: u32,
}

/// The tree of a directory until the assembly knows it.
pub const UNKNOWN: crate::cas::Digest = crate::cas::Digest::from_bytes([0; 32]);
