//! Lower trees that changed since the last durable point are made anew.
//!
//! What a tree shows is marked on its directory, last of all; so its ctime is that of the
//! last change. A change that was begun is recorded as the base's target.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Context, Result};
use crate::manifest::base::Base;
use crate::manifest::stack::Layer;
use crate::session::project::Project;
use crate::session::stack::{is_marked, keep_for_layers, settle};
use crate::session::staging;

/// Removes lower trees and layers that may not be what their row says, or have no row.
pub fn remove_doubtful(project: Project, since: (i64, u32)) -> Result<()> {
    let manifest = &project.manifest;
    let (bases, layers) = manifest.lowers()?;
    let is_old = |path: &Path| {
        path.symlink_metadata()
            .is_ok_and(|is| (is.ctime(), u32::try_from(is.ctime_nsec()).unwrap_or(0)) < since)
    };
    let is_sure = |base: &Base| {
        let path = project.base_path(base.id);
        base.target.is_none() && base.root.is_some_and(|root| is_marked(&path, &root)) && is_old(&path)
    };
    let (kept, gone): (Vec<Base>, Vec<Base>) = bases.into_iter().partition(is_sure);
    let mut doubtful: HashSet<i64> = HashSet::new();
    let kept_bases: HashSet<i64> = kept.iter().map(|base| base.id).collect();
    let (mut kept_layers, mut gone_layers): (HashSet<i64>, Vec<Layer>) = (HashSet::new(), Vec::new());
    // ascending: a layer's number is above those of all that it lies on
    for layer in layers {
        let path = project.layer_path(layer.id);
        let is_sure = kept_bases.contains(&layer.base)
            && layer.below.is_none_or(|below| !doubtful.contains(&below))
            && is_marked(&path, &layer.root)
            && is_old(&path);
        if is_sure {
            kept_layers.insert(layer.id);
        } else {
            doubtful.insert(layer.id);
            gone_layers.push(layer);
        }
    }
    if !gone.is_empty() || !gone_layers.is_empty() {
        let at = |layer: &Layer| (project.layer_path(layer.id), Some(layer.under), layer.root);
        let trees: Vec<_> = gone_layers.iter().map(at).collect();
        settle(&project.store, manifest, &trees, keep_for_layers(manifest)?)?;
        manifest.durable(|manifest| manifest.replace_lowers(&gone, &gone_layers))?;
    }
    let links: Vec<_> = gone.iter().map(|base| project.base_links(base.id)).collect();
    let place = project.close();
    links.iter().try_for_each(|path| staging::remove(path))?;
    for (dir, known) in [("base", kept_bases), ("layers", kept_layers)] {
        let dir = place.dir.join(dir);
        if !dir.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&dir).context("read", &dir)? {
            let path = entry.context("read", &dir)?.path();
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if path.is_dir() && number.is_some_and(|number: i64| !known.contains(&number)) {
                staging::remove(&path)?;
            }
        }
    }
    Ok(())
}
