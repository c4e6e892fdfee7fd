//! Taking away layers and bases that no workspace is shown by any more.
//!
//! Nothing new can come to refer to them: a workspace's stack is taken from another
//! workspace's, or is new. A live session may still be shown by one: it holds the lock,
//! and the next sweep finds it. An object that shares its inode with a file of a layer
//! that goes becomes an object as all others are (rule 11). The row goes last.

use std::collections::HashMap;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};

use crate::cas::Digest;
use crate::cas::publish::Keep;
use crate::error::{Context, Result};
use crate::manifest::diff::diff;
use crate::os::dir::{Dir, stat_fd};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::remove;
use crate::overlay::projection::HARDLINK;
use crate::session::project::Project;
use crate::session::tables;

/// Removes what nobody needs. The caller may write all of the caller's files.
pub fn sweep(project: &Project) -> Result<()> {
    let manifest = &project.manifest;
    for layer in manifest.unused_layers()? {
        let path = project.layer_lock(layer.id);
        let Some(_lock) = Lock::attempt(&path, Hold::Exclusive)? else { continue };
        // one over it may live on
        if !manifest.unused_layers()?.contains(&layer) || manifest.has_layer_over(layer.id)? {
            continue;
        }
        let hardlinks = manifest.has_projection(HARDLINK)?;
        let keep = if hardlinks { Keep::Mode } else { Keep::Nothing };
        settle(project, &project.layer_path(layer.id), (Some(&layer.under), &layer.root), keep)?;
        failpoint::at("sweep.settled").context("remove", &path)?;
        remove::remove_tree(&project.layer_path(layer.id))?;
        failpoint::at("sweep.removed").context("remove", &path)?;
        manifest.remove_layer(layer.id)?;
        remove::remove_tree(&path)?;
    }
    for base in manifest.unused_bases()? {
        let path = project.base_lock(base.id);
        let Some(_lock) = Lock::attempt(&path, Hold::Exclusive)? else { continue };
        if !manifest.unused_bases()?.contains(&base) {
            continue;
        }
        if let Some(root) = base.root.filter(|_| base.projection == HARDLINK) {
            // one that keeps a path's mode does no harm, and trees of its root may be gone
            let _ = settle(project, &project.base_path(base.id), (None, &root), Keep::Nothing);
        }
        remove::remove_tree(&project.base_path(base.id))?;
        tables::drop_others(&project.dir.join(tables::DIR), base.id, None)?;
        remove::remove_tree(&project.base_links(base.id))?;
        failpoint::at("sweep.base").context("remove", &path)?;
        manifest.remove_base(base.id)?;
        remove::remove_tree(&path)?;
    }
    Ok(())
}

/// Settles the objects whose only other names are in a tree that is about to go: a layer
/// between two roots, or a base.
fn settle(
    project: &Project,
    dest: &Path,
    (under, root): (Option<&Digest>, &Digest),
    keep: Keep,
) -> Result<()> {
    if dest.symlink_metadata().is_err() {
        return Ok(());
    }
    let mut names: HashMap<u64, (u32, u32, Digest)> = HashMap::new();
    diff(&project.manifest, under, Some(root), &mut |change| {
        let Some(content) = change.after.as_ref().and_then(|entry| entry.content()) else { return Ok(()) };
        let Some((ino, links)) = inode(dest, &change.path)? else { return Ok(()) };
        let seen = names.entry(ino).or_insert((0, links, content.digest));
        seen.0 += 1;
        Ok(())
    })?;
    for (ino, (here, links, digest)) in names {
        if links == here + 1 && project.store.is_object(&digest, ino)? {
            project.store.settle(&digest, links.into(), keep)?;
        }
    }
    Ok(())
}

/// Inode and links of a regular file of a layer.
fn inode(dest: &Path, path: &[u8]) -> Result<Option<(u64, u32)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let Ok(fd) = openat2(Dir::open(dest)?, path, flags, Mode::empty(), resolve) else { return Ok(None) };
    let stat = stat_fd(&fd).context("stat in", dest)?;
    Ok((stat.kind == FileType::RegularFile && stat.nlink > 1).then_some((stat.ino, stat.nlink)))
}
