//! git's repositories as units (design: Git): `.git` is not merged by path.
//!
//! ```text
//! HEAD refs packed-refs index logs …   one side's, all of them (below)
//! objects/                             that side's, and what the other side's has besides
//! modules/X                            a repository of its own, the same way
//! config hooks info and the rest       by path, while the state is not changed on both sides
//! ```
//!
//! | state (`state.rs`) | whose stands |
//! |---|---|
//! | the other side's is the base's | ours |
//! | ours is the base's, or equal to the other side's | theirs |
//! | both changed | the side that keeps its repository: in a workspace its own, until both are equal again |
//!
//! Objects are never deleted from the side that keeps its repository, as long as it made
//! any of its own: those may need others that only it still has.

pub mod index;
pub mod state;
pub mod unit;

use crate::cas::{Digest, Store};
use crate::error::Result;
use crate::manifest::diff::diff;
use crate::manifest::node::Entry;
use crate::manifest::store::Trees;
use state::State;

/// The name of a repository's directory.
pub const NAME: &[u8] = b".git";

/// A repository that belongs to the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Of its `.git`.
    pub path: Vec<u8>,
    /// What of its state is not the host's, in words.
    pub unlike: Vec<&'static str>,
}

/// True for the path of a `.git`, and for all that is below one.
pub fn is_in(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| part == NAME)
}

/// The outermost `.git` of a path in one.
pub fn of_path(path: &[u8]) -> &[u8] {
    let mut end = 0;
    for part in path.split(|byte| *byte == b'/') {
        end += part.len();
        if part == NAME {
            return &path[..end];
        }
        end += 1;
    }
    path
}

/// True for what lies in a `.git` and is told of by its state: all but what a user writes
/// there (configuration, hooks, rules).
pub fn is_detail(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/').skip_while(|part| *part != NAME).skip(1);
    let users: &[&[u8]] = &[b"config", b"config.worktree", b"hooks", b"info"];
    parts.next().is_some_and(|part| !users.contains(&part))
}

/// The repositories whose state in `head` is not the one that the host had at `base`.
pub fn owned(trees: &dyn Trees, store: &Store, base: Option<&Digest>, head: &Digest) -> Result<Vec<Owned>> {
    let mut found = Vec::new();
    diff(trees, base, Some(head), &mut |change| {
        let name = change.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if name == NAME && change.has_dir() {
            let state = |entry: &Option<Entry>| match entry.as_ref().and_then(Entry::tree) {
                Some(tree) => State::of(trees, store, &tree),
                None => Ok(State::default()),
            };
            let (before, after) = (state(&change.before)?, state(&change.after)?);
            let unlike = after.unlike(&before);
            if !unlike.is_empty() {
                found.push(Owned { path: change.path, unlike });
            }
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_writes_in_a_repository_is_no_detail() {
        for (path, detail) in [
            (".git", false),
            (".git/HEAD", true),
            ("a/.git/objects/00/x", true),
            (".git/config", false),
            (".git/hooks/pre-push", false),
            ("git/HEAD", false),
        ] {
            assert_eq!(is_detail(path.as_bytes()), detail, "{path}");
        }
        assert_eq!(of_path(b"a/.git/b/.git/c"), b"a/.git");
        assert_eq!(of_path(b".git"), b".git");
    }
}
