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
    /// True or false.
    Flag,
}

/// What a key is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
    Flag(bool),
}

pub const STORE: &str = "store";
pub const HISTORY_BYTES: &str = "history.bytes";
pub const CHECKPOINT: &str = "history.checkpoint";
pub const GC_AUTO: &str = "gc.auto";
pub const DURABLE_AFTER: &str = "durable.after";
pub const MTIME: &str = "sync.mtime";
pub const BIND: &str = "paths.bind";
pub const CONFINE: &str = "run.confine";
pub const CACHES: &str = "run.caches";
pub const NET: &str = "run.net";
pub const PRIVATE_TMP: &str = "run.private-tmp";
pub const ROOT: &str = "run.root";
pub const LIMIT: &str = "run.limit";
pub const RUN_BIND: &str = "run.bind";
pub const SETENV: &str = "run.setenv";
pub const CLEAR_ENV: &str = "run.clear-env";
pub const TIER1_PATHS: &str = "tier1.paths";
pub const TIER1_EXCEPT: &str = "tier1.except";
pub const UNLOCK: &str = "run.unlock";
pub const PRIVATE: &str = "run.private";
pub const HIDE: &str = "run.hide";
pub const HELPER_ENV: &str = "run.helper-env";
pub const PROJECTION: &str = "run.projection";
pub const QUOTA_STAGING: &str = "quota.staging";
pub const QUOTA_FILES: &str = "quota.files";
pub const QUOTA_STORE: &str = "quota.store";
pub const QUOTA_FLOOR: &str = "quota.floor";
pub const PROTECT_OBJECTS: &str = "protect.objects";
pub const PROTECT_BY: &str = "protect.by";
/// The section of what a run is like; a profile has the same keys.
pub const RUN: &str = "run";
pub const PROFILE: &str = "profile";

const fn list(name: &'static str, about: &'static str) -> Key {
    Key { name, kind: Kind::List, in_project: true, about }
}

const fn text(name: &'static str, about: &'static str) -> Key {
    Key { name, kind: Kind::Text, in_project: true, about }
}

const fn flag(name: &'static str, about: &'static str) -> Key {
    Key { name, kind: Kind::Flag, in_project: true, about }
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
    Key {
        name: GC_AUTO,
        kind: Kind::Flag,
        in_project: false,
        about: "what nothing needs is removed in the background when there may be much of it (it is unless this is false)",
    },
    Key {
        name: DURABLE_AFTER,
        kind: Kind::Text,
        in_project: false,
        about: "how long after a run, sync, undo and the like it is written out to the disk (10 s), or \"off\"",
    },
    list("paths.follow", "the host's edits come in"),
    list("paths.own", "taken from the host once, then the workspace's own"),
    list("paths.live", "the host's directory itself: writes go there at once"),
    list("paths.scratch", "an empty directory that ends with the session"),
    list("paths.hide", "covered, and never taken in"),
    list(TIER1_PATHS, "declared not to change: the host's, read-only inside"),
    list(TIER1_EXCEPT, "what of it stays writable, and is then the workspace's own"),
    list(UNLOCK, "paths of tier1 that are not read-only"),
    Key {
        name: MTIME,
        kind: Kind::Text,
        in_project: true,
        about: "\"exact\", or \"content\": a file of the host with the workspace's content keeps the workspace's mtime",
    },
    list(BIND, "SRC:DST[:ro]: an outside directory shown at DST in the project"),
    text(CONFINE, "none, home or host: what outside the project is read-only"),
    list(CACHES, "what stays writable then: cargo, npm, pip, go, ccache, or directories"),
    text(NET, "host, none or own: the network"),
    flag(PRIVATE_TMP, "/tmp and /var/tmp are the session's own"),
    list(RUN_BIND, "SRC:DST[:ro]: an outside file or directory shown at DST"),
    text(LIMIT, "mem=,cpus=,pids=: what all processes of the session may use"),
    flag(ROOT, "uid 0 inside"),
    list(PRIVATE, "directories outside the project of which each workspace has its own, as ~/.cache/bazel"),
    list(HIDE, "files, sockets and directories outside the project that a run does not see"),
    flag(
        HELPER_ENV,
        "build servers, editors and multiplexers outside are kept from a run by variables (unless false)",
    ),
    list(SETENV, "K=V: a variable of the command"),
    flag(CLEAR_ENV, "the command gets no variable of the caller's"),
    text(PROJECTION, "auto, stub, hardlink or copy: what the files of the view are below"),
    text(QUOTA_STAGING, "what a session may write before it is ended, as in \"20 GiB\""),
    text(QUOTA_FILES, "how many names a session may write, as in \"1000000\""),
    text(QUOTA_STORE, "what the store may take on its disk, as in \"200 GiB\""),
    Key {
        name: QUOTA_FLOOR,
        kind: Kind::Text,
        in_project: false,
        about: "what is to stay free of the store's disk, or \"off\" (else a twentieth, at most 2 GiB)",
    },
    Key {
        name: PROTECT_OBJECTS,
        kind: Kind::Text,
        in_project: false,
        about: "which stored contents nobody can change: none, tier1 (unless set), or all, by each vrift gc",
    },
    Key {
        name: PROTECT_BY,
        kind: Kind::List,
        in_project: false,
        about: "by what, the strongest that works: immutable (chattr +i; unless set, this alone), verity (fs-verity)",
    },
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that `profile.NAME.KEY` sets when the profile is chosen, and the profile.
pub fn find_in_profile(name: &str) -> Option<(&'static Key, &str)> {
    let (profile, key) = name.strip_prefix(PROFILE)?.strip_prefix('.')?.rsplit_once('.')?;
    let key = KEYS.iter().find(|known| known.in_profile() == Some(key))?;
    (!profile.is_empty()).then_some((key, profile))
}

impl Key {
    /// What the key is called in a `[profile.NAME]`; `None` where it is none of a run's.
    pub fn in_profile(&self) -> Option<&'static str> {
        self.name.strip_prefix(RUN)?.strip_prefix('.')
    }

    /// `VRIFT_PATHS_OWN` for `paths.own`.
    pub fn variable(&self) -> String {
        format!("VRIFT_{}", self.name.replace(['.', '-'], "_").to_uppercase())
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(list) => write!(f, "{list:?}"),
            Value::Flag(flag) => write!(f, "{flag}"),
        }
    }
}
