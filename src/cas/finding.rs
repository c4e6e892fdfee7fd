//! What a check of a store finds: one line each, and what it is about.

use serde::{Deserialize, Serialize};

/// What is wrong, in words that stay: scripts may ask for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A manifest cannot be opened, or SQLite finds it damaged.
    ManifestBroken,
    /// A row names another row that is not there.
    RowForeign,
    /// A row names a tree that is not there, or is no root.
    RootMissing,
    /// A tree names a tree that is not there.
    TreeMissing,
    /// A body has another digest than its name.
    TreeDigest,
    /// A body cannot be read, or is not as this program would have written it.
    TreeBroken,
    ObjectMissing,
    ObjectSize,
    ObjectDigest,
    ObjectMode,
    /// Something lies where it does not belong.
    Stray,
    /// A lower tree is not there, or does not keep its mark.
    LowerMissing,
    /// A path in a lower tree is not what its root says.
    LowerDiffers,
    LayerMissing,
    LayerDiffers,
    /// What a session says of itself cannot be read.
    SessionBroken,
    /// A session of a workspace that is not in the manifest.
    SessionForeign,
    /// Something in the store belongs to somebody else.
    WrongOwner,
    /// What is to be locked is no file that can be.
    LockBroken,
    /// The library that programs in runs load is not as this version has it.
    PreloadBroken,
}

impl What {
    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|word| Some(word.as_str()?.to_string())).unwrap_or_default()
    }
}

/// What a finding is about, for who repairs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// An object, by the full digest where a tree names it, else by its name.
    Object(String),
    /// A tree body, in hex.
    Tree(String),
    /// A row that names a root.
    Root(String),
    Manifest,
    Base(i64),
    Layer(i64),
    /// A file or directory below the store, relative to it.
    File(Vec<u8>),
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub what: What,
    /// The project's directory below `projects/`; empty: it is the store's.
    pub project: String,
    pub subject: Subject,
    /// Where, relative to the store: ready to be shown.
    pub place: String,
    /// What is the matter, on one line.
    pub detail: String,
    /// What to do.
    pub remedy: String,
    /// States and paths that need it, as far as they are known: (state, path).
    #[serde(default)]
    pub needed_by: Vec<(String, String)>,
}

impl Finding {
    pub fn new(what: What, subject: Subject, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            what,
            project: String::new(),
            subject,
            place: place.into(),
            detail: detail.into(),
            remedy: REPAIR.into(),
            needed_by: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Whether it is the same thing, found once more.
    pub fn is_again(&self, other: &Self) -> bool {
        (self.what, &self.project, &self.subject, &self.place)
            == (other.what, &other.project, &other.subject, &other.place)
    }
}

/// What helps with most.
const REPAIR: &str = "vrift verify --repair";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_as_json_has_it() {
        assert_eq!(What::ObjectMissing.word(), "object-missing");
        assert_eq!(What::LowerDiffers.word(), "lower-differs");
    }
}
