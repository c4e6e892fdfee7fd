//! What a name in a tree stands for.
//!
//! Owner and group are not recorded (inside, everything is the caller's), neither
//! are `security.*` xattrs, file capabilities and chattr flags (rule 7).

use crate::cas::digest::Digest;

/// A moment as `stat` gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Seconds since the epoch; negative before 1970.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// Extended attributes by name, sorted by name, each name once: `user.*` as the
/// project sees them (never our own `user.overlay.*`), and
/// `system.posix_acl_access` / `_default`.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The metadata that is the same for every kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: `st_mode & 0o7777`.
    /// Always 0o777 for a symbolic link.
    pub mode: u16,
    pub mtime: Time,
    pub xattrs: Xattrs,
}

impl Meta {
    /// A text that equal metadata have alike, and different ones do not.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.mode.to_le_bytes());
        hasher.update(&self.mtime.secs.to_le_bytes());
        hasher.update(&self.mtime.nanos.to_le_bytes());
        for part in self.xattrs.iter().flat_map(|(name, value)| [name, value]) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// A regular file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    pub digest: Digest,
    /// Bytes, holes included.
    pub size: u64,
    /// The digest is of the sparse kind (rule 6): made from the data extents.
    pub sparse: bool,
}

/// A name's kind, with what only this kind has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    File(Content),
    /// The target's bytes.
    Symlink(Vec<u8>),
    Fifo,
    /// The digest of the directory's own tree.
    Dir(Digest),
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Bytes, never empty (but for the root record), without `/` and NUL.
    pub name: Vec<u8>,
    pub meta: Meta,
    /// Names of one hard-linked file carry the same number; 0: has one name.
    /// Always 0 for directories.
    pub group: u64,
    pub kind: Kind,
}

impl Entry {
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir(_))
    }

    /// The tree of a directory.
    pub fn tree(&self) -> Option<Digest> {
        match self.kind {
            Kind::Dir(tree) => Some(tree),
            _ => None,
        }
    }

    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }
}
