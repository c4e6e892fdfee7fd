//! Layers: made of a closed upper, of a difference, or of other layers.
//!
//! A layer's row comes first and gives its number; its directory is marked with its root
//! when it is whole; only then a workspace is shown by it.

use std::path::{Path, PathBuf};

use super::{changes, is_marked, mark, sweep, unmarked};
use crate::cas::Digest;
use crate::error::{Context, Result};
use crate::manifest::base::Pending;
use crate::manifest::diff::Change;
use crate::manifest::dir::read_root;
use crate::manifest::stack::Layer;
use crate::manifest::workspace::Workspace;
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::remove;
use crate::overlay::escape;
use crate::overlay::projection::{Copy, Linked, Projection, dress, render_layer};
use crate::progress::Meter;
use crate::session::project::Project;

/// The most layers a stack has: each makes a cold lookup slower (rule 13).
const MOST: usize = 4;
/// Names in layers that are never too many, however small the base is.
const FEW: i64 = 1_000;
/// Bytes that layers may hold a second time.
const TWICE: i64 = 256 << 20;
/// Bytes that are copied into a layer at once.
pub const COPIED: i64 = 64 << 20;

/// Whether layers with so many names and bytes held twice are more than a base of
/// `base_names` should have over it (rule 13).
pub fn is_too_much((names, bytes): (i64, i64), base_names: i64) -> bool {
    names > FEW.max(base_names / 10) || bytes > TWICE
}

/// How many layers, from the top, are to become one, so that each is at least twice as
/// big as the one over it and there are no more than [`MOST`].
pub fn to_merge(layers: &[Layer]) -> usize {
    let mut size = layers.first().map_or(0, |layer| layer.names);
    let mut count = 1;
    for (at, below) in layers.iter().enumerate().skip(1) {
        let left = layers.len() - count + 1;
        if left <= MOST && size.saturating_mul(2) <= below.names {
            break;
        }
        size = size.saturating_add(below.names);
        count = at + 1;
    }
    count
}

/// Renders the difference between what the stack shows and the head as a layer.
pub fn render(
    project: &Project,
    now: &Workspace,
    base: i64,
    changes: Vec<Change>,
    (under, to): (Digest, Digest),
) -> Result<()> {
    let bytes = changes.iter().filter_map(|change| change.after.as_ref()?.content());
    let bytes = bytes.map(|content| i64::try_from(content.size).unwrap_or(i64::MAX));
    let bytes = bytes.fold(0, i64::saturating_add);
    let make = |dest: &Path| fill(project, dest, changes, &to, &copies(project, &Meter::default()));
    build(project, now, (base, now.layer), (under, to), bytes, make)
}

/// Makes one layer of the topmost ones; the lower ones stay for others that have them.
pub fn merge(project: &Project, now: &Workspace, layers: &[Layer]) -> Result<()> {
    let (Some(top), Some(bottom)) = (layers.first(), layers.last()) else { return Ok(()) };
    let (changes, _) = changes(&project.manifest, &bottom.under, &top.root)?;
    let sources: Vec<PathBuf> = layers.iter().map(|layer| project.layer_path(layer.id)).collect();
    let bytes = layers.iter().map(|layer| layer.bytes).fold(0, i64::saturating_add);
    let meter = Meter::default();
    let make = |dest: &Path| {
        let linked = Linked::new(copies(project, &meter), dest, &sources)?;
        fill(project, dest, changes, &top.root, &linked)
    };
    build(project, now, (top.base, bottom.below), (bottom.under, top.root), bytes, make)
}

fn copies<'a>(project: &'a Project, meter: &'a Meter) -> Copy<'a> {
    Copy { store: &project.store, meter, to: escape::To::Overlay }
}

/// Makes a layer, and shows the workspace by it. Nothing refers to it until it is whole;
/// cut short, it is swept away.
fn build(
    project: &Project,
    now: &Workspace,
    (base, below): (i64, Option<i64>),
    (under, root): (Digest, Digest),
    bytes: i64,
    make: impl FnOnce(&Path) -> Result<i64>,
) -> Result<()> {
    let manifest = &project.manifest;
    let id = manifest.add_layer((base, below), &under, &root)?;
    let Some(_lock) = Lock::attempt(&project.layer_lock(id), Hold::Exclusive)? else { return Ok(()) };
    if manifest.layer(id)?.is_none() {
        return Ok(()); // a sweeper that came in between took it for one cut short
    }
    let dest = project.layer_path(id);
    let names = make(&dest)?;
    failpoint::at("layer.made").context("make", &dest)?;
    if !is_marked(&dest, &root) {
        return Err(unmarked(&now.name));
    }
    manifest.transaction(|manifest| {
        manifest.set_layer_size(id, names, bytes)?;
        manifest.set_stack(now.id, Some(base), Some(id))
    })?;
    sweep(project)
}

fn fill(
    project: &Project,
    dest: &Path,
    changes: Vec<Change>,
    root: &Digest,
    projection: &dyn Projection,
) -> Result<i64> {
    let names = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    render_layer(changes, dest, projection)?;
    if names == 0 {
        // layers that took each other back: the top is as the root has it, and there is no change that says so
        dress(dest, &read_root(&project.manifest, root)?.meta)?;
    }
    failpoint::at("layer.rendered").context("make", dest)?;
    mark(dest, root)?;
    Ok(names)
}

/// Makes the upper of a take-in that has committed the layer that was recorded for it,
/// and shows the workspace by it. `as_it_stands`: all that is in the upper was taken in,
/// so it is renamed; else its files are linked. May be repeated.
pub fn adopt(project: &Project, workspace: i64, row: &Pending, as_it_stands: bool) -> Result<()> {
    let manifest = &project.manifest;
    let Some(layer) = row.layer.map(|id| manifest.layer(id)).transpose()?.flatten() else { return Ok(()) };
    let _lock = Lock::wait(&project.layer_lock(layer.id), Hold::Exclusive)?;
    let (dest, upper) = (project.layer_path(layer.id), project.staging().join(&row.staging).join("upper"));
    if !is_marked(&dest, &layer.root) {
        remove::remove_tree(&dest)?; // cut short
        if as_it_stands {
            mark(&upper, &layer.root)?;
            failpoint::at("upper.marked").context("make", &dest)?;
            std::fs::rename(&upper, &dest).context("make a layer of", &upper)?;
        } else {
            let (changes, _) = changes(manifest, &row.from, &row.to)?;
            let meter = Meter::default();
            let linked = Linked::new(copies(project, &meter), &dest, &[upper])?;
            fill(project, &dest, changes, &layer.root, &linked)?;
        }
    }
    failpoint::at("upper.layered").context("make", &dest)?;
    manifest.transaction(|manifest| {
        let now = manifest.workspace_by_id(workspace)?;
        if now.base == Some(layer.base) && now.layer == layer.below {
            manifest.set_stack(workspace, now.base, Some(layer.id))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &[i64]) -> Vec<Layer> {
        let layer = |(at, &names): (usize, &i64)| Layer {
            id: 100 - at as i64,
            base: 1,
            below: None,
            under: Digest::of(b"under"),
            root: Digest::of(b"root"),
            names,
            bytes: 0,
        };
        names.iter().enumerate().map(layer).collect()
    }

    #[test]
    fn layers_stay_few_and_each_is_twice_the_one_over_it() {
        for (names, count) in [
            (&[][..], 1),
            (&[5], 1),
            (&[5, 10], 1),
            (&[5, 9], 2),
            (&[5, 9, 28], 2),
            (&[5, 9, 27], 3),
            (&[1, 2, 4, 8], 1),
            (&[1, 2, 4, 8, 16], 5),
            (&[1, 2, 10, 40, 200], 2),
            (&[1, 1, 2, 4, 8], 5),
        ] {
            assert_eq!(to_merge(&stack(names)), count, "{names:?}");
        }
    }

    #[test]
    fn what_a_base_may_have_over_it_grows_with_it() {
        assert!(!is_too_much((FEW, 0), 10));
        assert!(is_too_much((FEW + 1, 0), 10));
        assert!(!is_too_much((5_000, 0), 50_000));
        assert!(is_too_much((5_001, 0), 50_000));
        assert!(is_too_much((1, TWICE + 1), 50_000));
    }
}
