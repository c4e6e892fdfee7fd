//! A directory's move that a session was killed in: taken in as done, or as not begun.
//!
//! The mover says what it does in the session's directory (`ns::mover::record`). By that,
//! and by what the upper has, it is seen how far it came; names of one file on both sides
//! are the ones that it linked. Nothing is changed but the list of what was found
//! (rule 1). What somebody added to the source stays there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Context, Result};
use crate::manifest::dir::tree_order;
use crate::manifest::group;
use crate::ns::mover::record::{Kind, NAME, Unfinished};
use crate::overlay::upper::{Found, Upper};

/// What a mover has left to say, as it is in its file.
pub fn unfinished(staging: &Path) -> Result<Option<Vec<u8>>> {
    let path = staging.join(NAME);
    match std::fs::read(&path) {
        Ok(bytes) if Unfinished::decode(&bytes).is_some() => Ok(Some(bytes)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read", &path),
    }
}

/// Finishes in the list of what was found in an upper what `begun` says, or takes it back.
/// True: the list is not any more what the upper has.
pub fn finish(upper: &mut Upper, staging: &Path, begun: Option<&[u8]>) -> Result<bool> {
    let Some(begun) = begun.and_then(Unfinished::decode) else { return Ok(false) };
    let (beside_old, beside_new) = (parent(begun.old), parent(begun.new));
    let is_hidden = |dir: &[u8], name: &[u8]| {
        let path = staging.join("upper").join(OsStr::from_bytes(&join(dir, name)));
        !name.is_empty() && path.symlink_metadata().is_ok()
    };
    let is_prepared = is_hidden(beside_new, begun.first) || is_hidden(beside_old, begun.second);
    let shown = |dir: &[u8], name: &[u8]| join(dir, name.strip_prefix(b".").unwrap_or(name));
    let (first, second) = (shown(beside_new, begun.first), shown(beside_old, begun.second));
    let mut list = List::of(upper);
    match begun.kind {
        Kind::Rename if is_prepared => return Ok(list.give_back(upper)),
        Kind::Rename => list.drop_linked(begun.old, begun.new),
        Kind::Leaf if is_prepared => return Ok(list.give_back(upper)),
        Kind::Leaf => match list.found.get(&Ordered(first.clone())) {
            Some(Found::Dir { .. }) => list.drop_all(&first),
            Some(Found::Leaf(_)) => {
                list.drop_linked(begun.old, begun.new);
                list.put(&first, begun.old);
            }
            _ => return Ok(list.give_back(upper)),
        },
        Kind::Trees if is_prepared => {
            list.drop_all(&first);
            list.drop_all(&second);
        }
        Kind::Trees => {
            if list.found.contains_key(&Ordered(first.clone())) {
                list.drop_linked(begun.new, &second);
                list.put(&first, begun.new);
            }
            if list.found.contains_key(&Ordered(second.clone())) {
                list.drop_linked(begun.old, begun.new);
                list.put(&second, begun.old);
            }
        }
    }
    list.regroup();
    list.give_back(upper);
    Ok(true)
}

/// A path that sorts in tree order.
#[derive(Clone, PartialEq, Eq)]
struct Ordered(Vec<u8>);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        tree_order(&self.0, &other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What was found, by path.
struct List {
    found: BTreeMap<Ordered, Found>,
}

impl List {
    fn of(upper: &mut Upper) -> Self {
        let found = std::mem::take(&mut upper.found);
        Self { found: found.into_iter().map(|(path, found)| (Ordered(path), found)).collect() }
    }

    /// Always false: nothing was changed, or the caller knows.
    fn give_back(self, upper: &mut Upper) -> bool {
        upper.found = self.found.into_iter().map(|(path, found)| (path.0, found)).collect();
        false
    }

    /// What is at a path and below it, by what follows the path.
    fn below(&self, top: &[u8]) -> Vec<(Vec<u8>, &Found)> {
        let rest = |path: &[u8]| match path.strip_prefix(top)? {
            [] => Some(Vec::new()),
            [b'/', rest @ ..] => Some(rest.to_vec()),
            _ => None,
        };
        let from = self.found.range(Ordered(top.to_vec())..);
        from.map_while(|(path, found)| Some((rest(&path.0)?, found))).collect()
    }

    fn drop_all(&mut self, top: &[u8]) {
        let inside: Vec<Vec<u8>> = self.below(top).into_iter().map(|(rest, _)| rest).collect();
        for rest in inside {
            self.found.remove(&Ordered(join(top, &rest)));
        }
    }

    /// Takes away below `from` what has a name of the same file below `to`, and directories
    /// that `to` has and in which nothing is left.
    fn drop_linked(&mut self, from: &[u8], to: &[u8]) {
        let kept: BTreeMap<Vec<u8>, Option<u64>> = self.below(to).into_iter().filter_map(file).collect();
        if kept.is_empty() {
            return;
        }
        let gone = self.below(from);
        let stays: Vec<Vec<u8>> = gone
            .into_iter()
            .filter_map(file)
            .filter(|(rest, group)| match (group, kept.get(rest)) {
                (None, Some(None)) => false,
                (Some(group), Some(Some(other))) => *group == 0 || group != other,
                _ => true,
            })
            .map(|(rest, _)| rest)
            .collect();
        let held: HashSet<&[u8]> = stays.iter().flat_map(|path| with_parents(path)).collect();
        // what is within a name that goes goes with it
        let mut hidden: BTreeSet<Vec<u8>> = BTreeSet::new();
        for rest in kept.into_keys() {
            if !held.contains(&rest[..]) && !with_parents(&rest).any(|path| hidden.contains(path)) {
                hidden.insert(rest);
            }
        }
        for rest in hidden {
            let path = join(from, &rest);
            // a file that was never copied up was not linked either
            if self.found.contains_key(&Ordered(path.clone())) || self.is_shown_dir(to, &rest) {
                self.drop_all(&path);
                self.found.insert(Ordered(path), Found::Whiteout);
            }
        }
    }

    fn is_shown_dir(&self, top: &[u8], rest: &[u8]) -> bool {
        matches!(self.found.get(&Ordered(join(top, rest))), Some(Found::Dir { .. }))
    }

    /// Gives what is at `from` the name `to`, if nothing has it.
    fn put(&mut self, from: &[u8], to: &[u8]) {
        if !matches!(self.found.get(&Ordered(to.to_vec())), Some(Found::Whiteout) | None) {
            return;
        }
        let moved: Vec<(Vec<u8>, Found)> =
            self.below(from).into_iter().map(|(rest, found)| (rest, found.clone())).collect();
        self.drop_all(from);
        for (rest, mut found) in moved {
            match &mut found {
                Found::Dir { opaque, .. } if rest.is_empty() => *opaque = true,
                Found::Leaf(entry) if rest.is_empty() => entry.name = name(to).to_vec(),
                _ => {}
            }
            self.found.insert(Ordered(join(to, &rest)), found);
        }
    }

    /// The names that a file has left are its group.
    fn regroup(&mut self) {
        let mut names: HashMap<u64, Vec<Vec<u8>>> = HashMap::new();
        for (path, found) in &self.found {
            if let Found::Leaf(entry) = found
                && entry.group != 0
            {
                names.entry(entry.group).or_default().push(path.0.clone());
            }
        }
        for found in self.found.values_mut() {
            if let Found::Leaf(entry) = found
                && let Some(paths) = names.get(&entry.group)
            {
                entry.group = if paths.len() > 1 { group::number(paths) } else { 0 };
            }
        }
    }
}

/// A directory (`None`), or a file with its group.
fn file((rest, found): (Vec<u8>, &Found)) -> Option<(Vec<u8>, Option<u64>)> {
    match found {
        Found::Whiteout => None,
        Found::Dir { .. } => Some((rest, None)),
        Found::Leaf(entry) => Some((rest, Some(entry.group))),
    }
}

/// A path, and those of the directories that it is in, the topmost one (empty) last.
fn with_parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| (!path.is_empty()).then(|| parent(path)))
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at])
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match (dir, name) {
        ([], name) => name.to_vec(),
        (dir, []) => dir.to_vec(),
        (dir, name) => [dir, name].join(&b'/'),
    }
}
