//! What a repository's state is: HEAD, the refs, the index's entries, and an operation
//! that is under way. Two states are equal when git would say the same of both, however
//! the refs are packed and whatever stat data the index holds.
//!
//! `refs/remotes/host/` is no part of it: that is what `git fetch host` inside says of the
//! host.

use std::collections::BTreeMap;
use std::io::Read;

use super::index::{self, Index};
use crate::cas::{Digest, Store};
use crate::error::{Context, Result};
use crate::manifest::dir::read_dir;
use crate::manifest::node::{Content, Entry, Kind};
use crate::manifest::store::Trees;

/// Files and directories by which git knows that an operation is under way.
const OPERATION: &[&[u8]] = &[
    b"BISECT_LOG",
    b"BISECT_START",
    b"CHERRY_PICK_HEAD",
    b"MERGE_HEAD",
    b"REVERT_HEAD",
    b"rebase-apply",
    b"rebase-merge",
    b"sequencer",
    b"shallow",
];

/// Names by value; a value is the digest of what git reads there.
type Values = BTreeMap<Vec<u8>, Digest>;

/// A repository's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    head: Option<Digest>,
    refs: Values,
    /// `None`: no entries.
    index: Option<Digest>,
    operation: Values,
}

impl State {
    /// What two states do not agree on, in words.
    pub fn unlike(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            (self.head != other.head, "HEAD"),
            (self.refs != other.refs, "refs"),
            (self.index != other.index, "index"),
            (self.operation != other.operation, "an operation under way"),
        ];
        parts.into_iter().filter(|(unlike, _)| *unlike).map(|(_, part)| part).collect()
    }

    /// What stands in a repository's place: a `.git` file, a link.
    pub fn of_file(entry: &Entry) -> Self {
        Self { head: Some(value(entry)), ..Self::default() }
    }

    /// A state that has these refs, for tables.
    #[cfg(test)]
    pub fn named(names: &[&str]) -> Self {
        let refs = names.iter().map(|name| (name.as_bytes().to_vec(), Digest::of(name.as_bytes())));
        Self { refs: refs.collect(), ..Self::default() }
    }

    /// The state of the repository whose directory has this tree.
    pub fn of(trees: &dyn Trees, store: &Store, tree: &Digest) -> Result<Self> {
        let mut state = Self::default();
        let top = read_dir(trees, tree)?;
        let mut packed = None;
        for entry in &top {
            match entry.name.as_slice() {
                b"HEAD" => state.head = Some(value(entry)),
                b"packed-refs" => packed = entry.content(),
                b"index" => state.index = index_of(store, entry, &top)?,
                b"refs" | b"reftable" => collect(trees, entry, &mut state.refs)?,
                name if OPERATION.contains(&name) => collect(trees, entry, &mut state.operation)?,
                _ => {}
            }
        }
        if let Some(packed) = packed {
            for (name, value) in packed_refs(&bytes(store, packed)?) {
                state.refs.entry(name).or_insert(value);
            }
        }
        state.refs.retain(|name, _| !name.starts_with(b"refs/remotes/host/"));
        Ok(state)
    }
}

/// The state's own names at the top of a repository: they go together, whoever's stand.
pub fn is_state(name: &[u8]) -> bool {
    const REST: &[&[u8]] = &[b"HEAD", b"index", b"logs", b"packed-refs", b"refs", b"reftable", b"worktrees"];
    // Traces of commands, as ORIG_HEAD, FETCH_HEAD, COMMIT_EDITMSG, MERGE_MSG.
    let trace = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
    trace || REST.contains(&name) || OPERATION.contains(&name) || name.starts_with(b"sharedindex.")
}

/// All that is below an entry, by path, the entry's name first. Empty directories count
/// for nothing.
fn collect(trees: &dyn Trees, entry: &Entry, into: &mut Values) -> Result<()> {
    let mut stack = vec![(entry.name.clone(), entry.clone())];
    while let Some((path, entry)) = stack.pop() {
        match entry.kind {
            Kind::Dir(tree) => {
                let below = read_dir(trees, &tree)?;
                stack.extend(below.into_iter().map(|entry| ([&path[..], b"/", &entry.name].concat(), entry)));
            }
            _ => {
                into.insert(path, value(&entry));
            }
        }
    }
    Ok(())
}

fn value(entry: &Entry) -> Digest {
    match &entry.kind {
        Kind::File(content) => content.digest,
        Kind::Symlink(target) => Digest::of(target),
        Kind::Dir(tree) => *tree,
        Kind::Fifo => Digest::of(b""),
    }
}

/// The refs of a `packed-refs` file, with the values they would have as loose ones.
fn packed_refs(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, Digest)> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b' ')?;
        let (object, name) = (&line[..at], &line[at + 1..]);
        let is_ref = object.iter().all(u8::is_ascii_hexdigit) && at >= 40;
        is_ref.then(|| (name.to_vec(), Digest::of(&[object, b"\n"].concat())))
    })
}

/// The digest of the index's entries; of its bytes where it is none that we can read.
fn index_of(store: &Store, entry: &Entry, top: &[Entry]) -> Result<Option<Digest>> {
    let Some(content) = entry.content() else { return Ok(Some(value(entry))) };
    let entries = match Index::parse(&bytes(store, content)?) {
        None => None,
        Some(index) => match index.shared() {
            None => Some(index.entries),
            Some(name) => {
                let name = format!("sharedindex.{name}").into_bytes();
                let shared = top.iter().find(|entry| entry.name == name).and_then(Entry::content);
                let shared = shared.map(|content| bytes(store, content)).transpose()?;
                shared.and_then(|bytes| Index::parse(&bytes)).and_then(|shared| index.over(shared))
            }
        },
    };
    Ok(match entries {
        Some(entries) if entries.is_empty() => None,
        Some(entries) => Some(index::digest(&entries)),
        None => Some(content.digest),
    })
}

fn bytes(store: &Store, content: &Content) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let object = store.open_object(&content.digest)?;
    std::fs::File::from(object)
        .read_to_end(&mut bytes)
        .context("read object", store.objects_path().join(content.digest.object_path()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_refs_have_the_values_of_loose_ones() {
        let object = "0123456789012345678901234567890123456789";
        let text = format!("# pack-refs with: peeled\n{object} refs/heads/a b\n^{object}\nshort refs/x\n\n");
        let refs: Vec<_> = packed_refs(text.as_bytes()).collect();
        assert_eq!(refs, [(b"refs/heads/a b".to_vec(), Digest::of(format!("{object}\n").as_bytes()))]);
    }

    #[test]
    fn the_names_that_go_together() {
        for (name, state) in [
            ("HEAD", true),
            ("ORIG_HEAD", true),
            ("sharedindex.01", true),
            ("rebase-merge", true),
            ("refs", true),
            ("config", false),
            ("hooks", false),
            ("objects", false),
            ("modules", false),
        ] {
            assert_eq!(is_state(name.as_bytes()), state, "{name}");
        }
    }
}
