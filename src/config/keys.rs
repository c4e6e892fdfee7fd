//! Every key there is. A section that is not here yet is an error, not a promise.

/// One key.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// With its section: `paths.own`.
    pub name: &'static str,
    pub kind: Kind,
    /// `vrift.toml` may set it.
    pub in_project: bool,
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    List,
}

/// What a key is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
}

pub const STORE: &str = "store";
pub const HISTORY_BYTES: &str = "history.bytes";
pub const CHECKPOINT: &str = "history.checkpoint";
pub const MTIME: &str = "sync.mtime";
pub const BIND: &str = "paths.bind";

const fn list(name: &'static str, about: &'static str) -> Key {
    Key { name, kind: Kind::List, in_project: true, about }
}

pub const KEYS: &[Key] = &[
    Key { name: STORE, kind: Kind::Text, in_project: false, about: "the store's directory" },
    Key {
        name: HISTORY_BYTES,
        kind: Kind::Text,
        in_project: true,
        about: "what old states alone may hold, as in \"2 GiB\"",
    },
    Key {
        name: CHECKPOINT,
        kind: Kind::Text,
        in_project: true,
        about: "how often a live session is taken in, as in \"10 min\", or \"off\"",
    },
    list("paths.follow", "the host's edits come in"),
    list("paths.own", "taken from the host once, then the workspace's own"),
    list("paths.live", "the host's directory itself: writes go there at once"),
    list("paths.scratch", "an empty directory that ends with the session"),
    list("paths.hide", "covered, and never taken in"),
    Key {
        name: MTIME,
        kind: Kind::Text,
        in_project: true,
        about: "\"exact\", or \"content\": a file of the host with the workspace's content keeps the workspace's mtime",
    },
    list(BIND, "SRC:DST[:ro]: an outside directory shown at DST in the project"),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// `VRIFT_PATHS_OWN` for `paths.own`.
    pub fn variable(&self) -> String {
        format!("VRIFT_{}", self.name.replace('.', "_").to_uppercase())
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(list) => write!(f, "{list:?}"),
        }
    }
}
