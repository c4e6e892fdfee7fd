//! Whose path is it: the classes of design.md's table.

use serde::{Deserialize, Serialize};

use super::keys;

/// How a path is treated by sync, in the view, and by apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Host edits come in, three-way.
    Follow,
    /// Taken once, then the workspace's own.
    Own,
    /// The host's directory itself.
    Live,
    /// An empty directory that ends with the session.
    Scratch,
    /// Covered, and never taken in.
    Hide,
    /// The host's, read-only: it is declared not to change.
    Tier1,
    /// Outside of the project, a directory of the workspace's own.
    Private,
}

/// In the order in which one place's lists are asked: what hides more comes first.
pub const STRICTEST_FIRST: [Class; 6] =
    [Class::Hide, Class::Scratch, Class::Live, Class::Tier1, Class::Own, Class::Follow];

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Class::Follow => "follow",
            Class::Own => "own",
            Class::Live => "live",
            Class::Scratch => "scratch",
            Class::Hide => "hide",
            Class::Tier1 => "tier1",
            Class::Private => "private",
        }
    }

    /// The class that `paths.NAME`, or `tier1.paths`, lists.
    pub fn of_key(key: &str) -> Option<Self> {
        if key == keys::TIER1_PATHS {
            return Some(Class::Tier1);
        }
        let name = key.strip_prefix("paths.")?;
        STRICTEST_FIRST.into_iter().find(|class| class.name() == name && *class != Class::Tier1)
    }

    /// Shown by a mount of its own, never by the overlay; never taken in.
    pub fn is_mounted(self) -> bool {
        matches!(self, Class::Live | Class::Scratch | Class::Hide)
    }

    /// What becomes of a write there.
    pub fn write(self) -> &'static str {
        match self {
            Class::Follow => "kept in the workspace; apply writes it to the host",
            Class::Own => "kept in the workspace; apply leaves it out unless it is named",
            Class::Live => "goes to the host at once; the workspace does not keep it",
            Class::Scratch => "lost when the session ends",
            Class::Hide => "refused: the path is covered",
            Class::Private => {
                "kept in the workspace's own directory, which goes with the workspace; no state, fork or apply has it"
            }
            Class::Tier1 => {
                "refused (EROFS): it is declared not to change; for one run: --unlock PATH, for good: [tier1] except"
            }
        }
    }

    /// Whether the workspace keeps a write there.
    pub fn keeps(self) -> bool {
        !self.is_mounted() && self != Class::Tier1
    }
}
