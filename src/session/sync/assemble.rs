//! From what the walk saw to trees, bottom-up: a directory that is as stamped, with
//! nothing changed below it, keeps its recorded tree unread.

use std::collections::{HashMap, HashSet};

use super::walk::{Fresh, Listing, Walked, WalkedDir, join, split};
use crate::cas::Digest;
use crate::error::Result;
use crate::manifest::dir::{read_dir, write_dir, write_root};
use crate::manifest::group;
use crate::manifest::node::{Entry, Kind};
use crate::manifest::stamp::Stamps;
use crate::manifest::store::Trees;

/// The host tree as trees.
pub struct Assembled {
    /// The root of everything that is `follow`.
    pub root: Digest,
    /// `own` directories with their trees, by path: only when the walk took them.
    pub own: Vec<(Vec<u8>, Entry)>,
    /// The stamps of directories that are not as stamped.
    pub stamps: Vec<(Vec<u8>, Digest, Vec<u8>)>,
    /// Stamped directories that are no more.
    pub gone: Vec<Vec<u8>>,
}

/// Writes the trees of a walk. Inside a transaction.
pub fn assemble(
    trees: &dyn Trees,
    mut walked: Walked,
    recorded: &HashMap<Vec<u8>, Stamps>,
) -> Result<Assembled> {
    number_groups(&mut walked.dirs);
    let root_meta = std::mem::take(&mut walked.root);
    let unreadable: HashSet<Vec<u8>> =
        walked.left_out.iter().filter(|left| left.unreadable).map(|left| left.path.clone()).collect();
    let seen: HashSet<&[u8]> = walked.dirs.iter().map(|dir| dir.path.as_slice()).collect();
    let gone = recorded.keys().filter(|dir| !seen.contains(dir.as_slice())).cloned().collect();
    drop(seen);
    let own_dirs: HashSet<Vec<u8>> = walked.own.drain(..).collect();

    // Children before parents: a directory sorts before everything below it.
    let mut dirs = std::mem::take(&mut walked.dirs);
    dirs.sort_unstable_by(|a, b| b.path.cmp(&a.path));
    let mut made = Made { trees: HashMap::new() };
    let mut own = Vec::new();
    let mut stamps = Vec::new();
    for dir in dirs {
        let before = if dir.own { None } else { recorded.get(&dir.path) };
        let (tree, changed) = match (&dir.listing, before) {
            (None, Some(before)) if !made.any_changed(&dir) => (before.tree, false),
            _ => {
                let old = before.map(|before| read_dir(trees, &before.tree)).transpose()?;
                let old = old.unwrap_or_default();
                let WalkedDir { path, listing, subdirs, .. } = dir;
                let packed = listing.as_ref().map(|listing| listing.stamps.clone());
                let mut entries = merge_listing(&path, listing, old, &unreadable);
                made.fill_in(&path, &subdirs, &mut entries, &unreadable, trees)?;
                let (taken, mut entries): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|entry| own_dirs.contains(&join(&path, &entry.name)));
                own.extend(taken.into_iter().map(|entry| (join(&path, &entry.name), entry)));
                entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                let tree = write_dir(trees, &entries)?;
                let changed = before.is_none_or(|before| before.tree != tree);
                let body = packed.or_else(|| before.map(Stamps::packed));
                if let (false, Some(body)) = (dir.own, body) {
                    stamps.push((path.clone(), tree, body));
                }
                made.trees.insert(path, (tree, changed));
                continue;
            }
        };
        made.trees.insert(dir.path, (tree, changed));
    }
    let tree = made.trees.get(&b""[..]).map(|(tree, _)| *tree);
    let tree = tree.map_or_else(|| write_dir(trees, &[]), Ok)?;
    let root = Entry { name: Vec::new(), meta: root_meta, group: 0, kind: Kind::Dir(tree) };
    Ok(Assembled { root: write_root(trees, &root)?, own, stamps, gone })
}

/// Trees made so far, by directory, and whether they are not the recorded ones.
struct Made {
    trees: HashMap<Vec<u8>, (Digest, bool)>,
}

impl Made {
    fn any_changed(&self, dir: &WalkedDir) -> bool {
        dir.subdirs.iter().any(|name| {
            // One that was not walked (it vanished, it cannot be read) needs a closer look.
            self.trees.get(&join(&dir.path, name)).is_none_or(|(_, changed)| *changed)
        })
    }

    /// Gives directory entries their trees. A directory that was not walked is dropped
    /// when it vanished, and keeps what was recorded when it cannot be read; a mount
    /// point shows as an empty directory.
    fn fill_in(
        &self,
        path: &[u8],
        subdirs: &[Vec<u8>],
        entries: &mut Vec<Entry>,
        unreadable: &HashSet<Vec<u8>>,
        trees: &dyn Trees,
    ) -> Result<()> {
        let walked: HashSet<&[u8]> = subdirs.iter().map(Vec::as_slice).collect();
        let empty = write_dir(trees, &[])?;
        entries.retain_mut(|entry| {
            let Kind::Dir(tree) = &mut entry.kind else { return true };
            if !walked.contains(entry.name.as_slice()) {
                *tree = empty;
                return true;
            }
            let inner = join(path, &entry.name);
            match self.trees.get(&inner) {
                Some((made, _)) => {
                    *tree = *made;
                    true
                }
                None => unreadable.contains(&inner) && *tree != super::walk::UNKNOWN,
            }
        });
        Ok(())
    }
}

/// The directory's entries: those read now, and the recorded ones that still hold.
fn merge_listing(
    path: &[u8],
    listing: Option<Listing>,
    old: Vec<Entry>,
    unreadable: &HashSet<Vec<u8>>,
) -> Vec<Entry> {
    let Some(listing) = listing else { return old };
    let kept: HashSet<&[u8]> = listing.kept.iter().map(Vec::as_slice).collect();
    let mut entries: HashMap<Vec<u8>, Entry> = old
        .into_iter()
        .filter(|entry| {
            // What cannot be read is left out, and left out is not deleted (rule 4).
            kept.contains(entry.name.as_slice()) || unreadable.contains(&join(path, &entry.name))
        })
        .map(|entry| (entry.name.clone(), entry))
        .collect();
    for Fresh { entry, .. } in listing.fresh {
        if unreadable.contains(&join(path, &entry.name)) && entries.contains_key(&entry.name) {
            continue;
        }
        entries.insert(entry.name.clone(), entry);
    }
    entries.into_values().collect()
}

/// Numbers the hard-link groups among the names that were read. Linking and unlinking
/// change the ctime of the inode, so all names of a changed group are among them.
fn number_groups(dirs: &mut [WalkedDir]) {
    let mut names: HashMap<u64, Vec<Vec<u8>>> = HashMap::new();
    for dir in dirs.iter() {
        for fresh in dir.listing.iter().flat_map(|listing| &listing.fresh).filter(|fresh| fresh.nlink > 1) {
            names.entry(fresh.ino).or_default().push(join(&dir.path, &fresh.entry.name));
        }
    }
    let numbers: HashMap<u64, u64> = names
        .iter()
        .filter(|(_, names)| names.len() > 1)
        .map(|(ino, names)| (*ino, group::number(names)))
        .collect();
    for listing in dirs.iter_mut().filter_map(|dir| dir.listing.as_mut()) {
        for fresh in listing.fresh.iter_mut().filter(|fresh| fresh.nlink > 1) {
            fresh.entry.group = numbers.get(&fresh.ino).copied().unwrap_or(0);
        }
    }
}

/// The `own` and mounted paths that are recorded as `follow`, so the base of the merge can
/// be freed of them: the class changed, and what the host does there is ignored now.
pub fn newly_own(own: &[Vec<u8>], recorded: &HashMap<Vec<u8>, Stamps>) -> Vec<Vec<u8>> {
    own.iter()
        .filter(|dir| {
            let (parent, name) = split(dir);
            recorded.get(parent).is_some_and(|stamps| stamps.iter().any(|(known, _)| known == name))
        })
        .cloned()
        .collect()
}
