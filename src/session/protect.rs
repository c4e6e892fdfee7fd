//! Protecting stored contents: those of what is declared not to change before a session that
//! shows it, when they are others than the last time; all others by a collection, on request.
//!
//! Nobody's start fails because of it, or waits for the disk unasked: what is not protected yet is
//! read-only all the same.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::project::Project;
use super::tier1::Outside;
use crate::cas::protect::Means;
use crate::cas::{Digest, Store};
use crate::config::protect::{Protect, Which};
use crate::error::Result;
use crate::manifest::dir::{lookup, read_dir, read_root};
use crate::manifest::store::Trees;
use crate::ns::plan::ReadOnly;

/// Names handed over at once.
const BATCH: usize = 4096;

/// Protects the contents of what a session shows that is declared not to change. `head`: the
/// root that has those in the project.
pub fn tier1(project: &Project, head: &Digest, inside: &[ReadOnly], outside: &[Outside]) -> Result<()> {
    let wanted = Protect::of(&project.config)?;
    if wanted.which == Which::None
        || !Means::may_work(&wanted.by)
        || (inside.is_empty() && outside.is_empty())
    {
        return Ok(());
    }
    let mut trees: Vec<(Vec<u8>, Digest)> = Vec::new();
    for ReadOnly { path, .. } in inside {
        let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
        let Ok(below) = path.strip_prefix(&project.root) else { continue };
        let below = below.as_os_str().as_bytes();
        let tree = lookup(&project.manifest, head, below)?.and_then(|entry| entry.tree());
        trees.extend(tree.map(|tree| (below.to_vec(), tree)));
    }
    for one in outside {
        let root = project.manifest.base(one.base)?.and_then(|base| base.root);
        let tree = root.map(|root| read_root(&project.manifest, &root)).transpose()?;
        // the base, for another one may link them anew
        let key = [one.path.as_os_str().as_bytes(), format!("@{}", one.base).as_bytes()].concat();
        trees.extend(tree.and_then(|entry| entry.tree()).map(|tree| (key, tree)));
    }
    let key = |path: &[u8]| format!("protected:{}", blake3::hash(path).to_hex());
    let mut changed = Vec::new();
    for (path, tree) in trees {
        if project.manifest.meta(&key(&path))?.as_deref() != Some(tree.as_bytes()) {
            changed.push((path, tree));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let (Some(means), _) = Means::find(&project.store.objects_path(), &wanted.by) else { return Ok(()) };
    for (path, tree) in changed {
        let mut waits = false;
        below(&project.manifest, &tree, &mut |names| {
            // setting the flag makes an inode young again: what has it is passed over quickly
            waits = !wanted.asked && project.store.has_young(names);
            if !waits {
                project.store.protect(&means, names)?;
            }
            Ok(!waits)
        })?;
        if !waits {
            project.manifest.set_meta(&key(&path), tree.as_bytes())?;
        }
    }
    Ok(())
}

/// Hands the names of all contents below a tree on, as long as more are wanted.
fn below(trees: &dyn Trees, tree: &Digest, take: &mut dyn FnMut(&[String]) -> Result<bool>) -> Result<()> {
    let (mut ahead, mut names) = (vec![*tree], Vec::new());
    while let Some(tree) = ahead.pop() {
        for entry in read_dir(trees, &tree)? {
            ahead.extend(entry.tree());
            let content = entry.content().filter(|content| content.size > 0);
            names.extend(content.map(|content| content.digest.object_path()));
        }
        if names.len() >= BATCH {
            if !take(&names)? {
                return Ok(());
            }
            names.clear();
        }
    }
    if names.is_empty() { Ok(()) } else { take(&names).map(drop) }
}

/// Protects every content that may be, where the user wants all of them; how many, and by what.
pub fn all(store: &Store) -> Result<Option<(u64, &'static str)>> {
    let wanted = Protect::of_user()?;
    if wanted.which != Which::All {
        return Ok(None);
    }
    let (Some(means), _) = Means::find(&store.objects_path(), &wanted.by) else { return Ok(None) };
    let mut count = 0;
    for shard in store.shards()? {
        count += store.protect(&means, &store.names(&shard)?)?;
    }
    Ok(Some((count, means.name())))
}
