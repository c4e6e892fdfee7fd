//! Taking away layers and bases that no workspace is shown by any more.
//!
//! Nothing new can come to refer to them: a workspace's stack is taken from another
//! workspace's, or is new. A live session may still be shown by one: it holds the lock,
//! and the next sweep finds it. An object that shares its inode with a file of a layer
//! that goes becomes an object as all others are (rule 11). The row goes last.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};

use crate::cas::publish::Keep;
use crate::cas::{Digest, Store};
use crate::error::{Context, Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::diff::diff;
use crate::manifest::node::Content;
use crate::manifest::stack::Layer;
use crate::os::dir::{Dir, Stat, stat_fd};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::remove;
use crate::overlay::projection::{HARDLINK, TIER1};
use crate::overlay::upper;
use crate::session::project::Project;
use crate::session::tables;

/// Removes what nobody needs. The caller may write all of the caller's files.
pub fn sweep(project: &Project) -> Result<()> {
    let manifest = &project.manifest;
    for layer in manifest.unused_layers()? {
        let path = project.layer_lock(layer.id);
        let Some(lock) = Lock::attempt(&path, Hold::Exclusive)? else { continue };
        // one over it may live on
        if !manifest.unused_layers()?.contains(&layer) || manifest.has_layer_over(layer.id)? {
            continue;
        }
        let tree = (project.layer_path(layer.id), Some(layer.under), layer.root);
        settle(&project.store, manifest, &[tree], keep_for_layers(manifest)?)?;
        failpoint::at("sweep.settled").context("remove", &path)?;
        remove::remove_tree(&project.layer_path(layer.id))?;
        failpoint::at("sweep.removed").context("remove", &path)?;
        manifest.remove_layer(layer.id)?;
        lock.retire(&path)?;
    }
    for base in manifest.unused_bases()? {
        let path = project.base_lock(base.id);
        let Some(lock) = Lock::attempt(&path, Hold::Exclusive)? else { continue };
        if !manifest.unused_bases()?.contains(&base) {
            continue;
        }
        if let Some(root) = base.root.filter(|_| [HARDLINK, TIER1].contains(&base.projection.as_str())) {
            // one that keeps a path's mode does no harm, and trees of its root may be gone
            let tree = (project.base_path(base.id), None, root);
            let _ = settle(&project.store, manifest, &[tree], Keep::Nothing);
        }
        remove::remove_tree(&project.base_path(base.id))?;
        tables::drop_others(&project.dir.join(tables::DIR), base.id, None)?;
        remove::remove_tree(&project.base_links(base.id))?;
        failpoint::at("sweep.base").context("remove", &path)?;
        manifest.remove_base(base.id)?;
        lock.retire(&path)?;
    }
    Ok(())
}

/// A lower tree: where it is, what lies below it, and what it shows.
pub type Tree = (PathBuf, Option<Digest>, Digest);

/// Settles the objects that only the layers and bases of a project, which goes, share.
pub fn settle_all(store: &Store, project: &Path) -> Result<()> {
    let manifest = Manifest::open(project)?;
    let (bases, layers) = manifest.lowers()?;
    let at =
        |layer: Layer| (project.join("layers").join(layer.id.to_string()), Some(layer.under), layer.root);
    let links = bases.into_iter().filter(|base| base.projection == HARDLINK);
    let linked = links.filter_map(|base| {
        let path = project.join("base").join(base.id.to_string());
        Some((path, None, base.root.or(base.target)?))
    });
    let trees: Vec<Tree> = layers.into_iter().map(at).chain(linked).collect();
    settle(store, &manifest, &trees, Keep::Nothing)
}

/// What is kept of an object that a layer shared.
pub fn keep_for_layers(manifest: &Manifest) -> Result<Keep> {
    Ok(if manifest.has_projection(HARDLINK)? { Keep::Mode } else { Keep::Nothing })
}

/// Settles the objects whose only other names are in trees that are about to go: layers
/// between two roots, or a base.
pub fn settle(store: &Store, manifest: &Manifest, trees: &[Tree], keep: Keep) -> Result<()> {
    let mut shared = Shared::new();
    for (dest, under, root) in trees.iter().filter(|(dest, ..)| dest.symlink_metadata().is_ok()) {
        match known(manifest, dest, (under.as_ref(), root)) {
            Ok(known) => known.into_iter().for_each(|one| count(&mut shared, one)),
            // what it was to show is lost; what it holds is there
            Err(error) if error.kind() == Kind::Corrupt => {
                read(store, dest)?.into_iter().for_each(|one| count(&mut shared, one));
            }
            Err(error) => return Err(error),
        }
    }
    for (ino, (here, links, digest)) in shared {
        if links == here + 1 && store.is_object(&digest, ino)? {
            store.settle(&digest, links.into(), keep)?;
        }
    }
    Ok(())
}

/// Inodes that have other names, with how many names are in the trees, and how many in all.
type Shared = HashMap<u64, (u32, u32, Digest)>;

fn count(shared: &mut Shared, (ino, links, digest): (u64, u32, Digest)) {
    shared.entry(ino).or_insert((0, links, digest)).0 += 1;
}

/// The files of a tree that have other names, with their digests as they are recorded.
fn known(
    manifest: &Manifest,
    dest: &Path,
    (under, root): (Option<&Digest>, &Digest),
) -> Result<Vec<(u64, u32, Digest)>> {
    let mut known = Vec::new();
    diff(manifest, under, Some(root), &mut |change| {
        if let Some(content) = change.after.as_ref().and_then(|entry| entry.content())
            && let Some((ino, links)) = inode(dest, &change.path)?
        {
            known.push((ino, links, content.digest));
        }
        Ok(())
    })?;
    Ok(known)
}

/// The same, by what is there.
fn read(store: &Store, dest: &Path) -> Result<Vec<(u64, u32, Digest)>> {
    let found = Mutex::new(Vec::new());
    let take = |dir: &Dir, name: &CStr, stat: &Stat| -> Result<Content> {
        let mut digest = Digest::of(b"");
        if stat.size > 0 && stat.nlink > 1 {
            let file = dir.open_file(name)?;
            digest = store.hash_staged(file.as_fd(), (stat.size, stat.blocks), &dir.join(name))?.digest;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.push((stat.ino, stat.nlink, digest));
        }
        Ok(Content { digest, size: stat.size, sparse: false })
    };
    upper::read(dest, &take)?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Inode and links of a regular file of a layer.
fn inode(dest: &Path, path: &[u8]) -> Result<Option<(u64, u32)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let Ok(fd) = openat2(Dir::open(dest)?, path, flags, Mode::empty(), resolve) else { return Ok(None) };
    let stat = stat_fd(&fd).context("stat in", dest)?;
    Ok((stat.kind == FileType::RegularFile && stat.nlink > 1).then_some((stat.ino, stat.nlink)))
}
