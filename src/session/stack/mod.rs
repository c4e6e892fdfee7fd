//! What a workspace is shown by, and bringing it to the head (rules 10 to 14).
//!
//! ```text
//! base/<n>          what a projection makes; shown by one workspace alone it is folded in place
//! layers/<n>        over a base that several share: nobody changes that one
//! ```
//! | the workspace | its stack comes to its head by |
//! |---|---|
//! | has its base alone | folding the base; layers it had are dropped |
//! | shares its base | one more layer: the closed upper, or the difference rendered |
//! | has too much in layers, or would get too much | a base of its own, rendered aside |
//!
//! Only who holds a workspace's session lock changes its stack. What is made is recorded
//! before it is begun or is not recorded at all until it is whole; so whoever comes after
//! a kill finishes it, or sweeps it away.

mod base;
mod choice;
mod layer;
mod sweep;

use std::path::Path;

pub use base::{finish_target, render_snapshot, render_tier1};
pub use choice::{Choose, choose, choose_tier1};
pub use layer::adopt;
pub use sweep::{keep_for_layers, settle, settle_all, sweep};

use crate::cas::Digest;
use crate::error::{Context, Error, Result};
use crate::manifest::Manifest;
use crate::manifest::diff::{Change, diff};
use crate::manifest::stack::Layer;
use crate::manifest::workspace::Workspace;
use crate::os::dir::Dir;
use crate::os::lock::{Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::os::xattr;
use crate::overlay::projection::{Rung, STUB};
use crate::session::project::Project;

/// A stack that shows its workspace's head, and will as long as the locks are held.
pub struct Ready {
    pub base: i64,
    /// The base's.
    pub projection: &'static str,
    /// Topmost first.
    pub layers: Vec<i64>,
    pub root: Digest,
    /// The base's, then the layers' from the bottom up.
    pub locks: Vec<Lock>,
}

/// Lower trees, topmost first, below the project's directory in the store.
pub fn lowers(base: i64, layers: &[i64]) -> Vec<String> {
    let layers = layers.iter().map(|layer| format!("layers/{layer}"));
    layers.chain([format!("base/{base}")]).collect()
}

/// Locks what shows the workspace shared, having brought it to the head. The caller holds
/// the workspace's session lock.
pub fn ready(mut project: Project, workspace: &str) -> Result<(Project, Ready)> {
    let mut distrusted = false;
    loop {
        // From reading the head until all is locked nothing may be swept (rule 15).
        let token = project.store.publishing()?;
        let now = project.manifest.known_workspace(workspace)?;
        let head = now.head.ok_or_else(|| {
            Error::failure(format!("workspace `{workspace}` has no state yet"))
                .with_hint("run without --no-sync once, so that the directory is taken in")
        })?;
        if let Some(ready) = hold(&project, &now, head, &mut distrusted)? {
            return Ok((project, ready));
        }
        drop(token);
        // as the owner of everything in the trees (rule 4)
        let place = project.close();
        as_root_of_own_files("bring the lower tree up to date", || {
            bring_to_head(&place.again()?.open()?, now.id)
        })?;
        project = place.open()?;
    }
}

/// The locks, if the stack is whole, shows the head, and is as it is to be.
fn hold(project: &Project, now: &Workspace, head: Digest, distrusted: &mut bool) -> Result<Option<Ready>> {
    let manifest = &project.manifest;
    let Some(id) = now.base else { return Ok(None) };
    let layers = manifest.layers(now.layer)?;
    let mut locks = vec![Lock::wait(&project.base_lock(id), Hold::Shared)?];
    for layer in layers.iter().rev() {
        locks.push(Lock::wait(&project.layer_lock(layer.id), Hold::Shared)?);
    }
    // read after the lock: who held it may have changed it
    let Some(base) = manifest.base(id)? else { return Ok(None) };
    let (Some(base_root), None) = (base.root, base.target) else { return Ok(None) };
    let shown = layers.first().map_or(base_root, |layer| layer.root);
    let projection = choose(project, Some(&base.projection))?;
    if projection != base.projection || shown != head || (!layers.is_empty() && manifest.sharers(id)? == 1) {
        return Ok(None);
    }
    if !is_marked(&project.base_path(id), &base_root) {
        if std::mem::replace(distrusted, true) {
            return Err(unmarked(&now.name));
        }
        manifest.distrust_base(id)?;
        return Ok(None);
    }
    for layer in layers.iter().rev() {
        if !is_marked(&project.layer_path(layer.id), &layer.root) {
            manifest.set_stack(now.id, Some(id), layer.below)?;
            return Ok(None);
        }
    }
    Ok(Some(Ready {
        base: id,
        projection,
        layers: layers.iter().map(|layer| layer.id).collect(),
        root: head,
        locks,
    }))
}

/// Brings the stack of a workspace to its head. The caller holds the workspace's session
/// lock, no lock of the stack, and may write all of the caller's files.
pub fn bring_to_head(project: &Project, workspace: i64) -> Result<()> {
    loop {
        let now = project.manifest.workspace_by_id(workspace)?;
        match next(project, &now)? {
            Step::Nothing => return Ok(()),
            Step::Fold(base) => base::fold(project, workspace, base)?,
            Step::Layer { base, changes, roots } => layer::render(project, &now, base, changes, roots)?,
            Step::Merge(layers) => layer::merge(project, &now, &layers)?,
            Step::Own(head) => base::render_own(project, &now, head)?,
        }
    }
}

/// What is to be done next.
enum Step {
    Nothing,
    Fold(i64),
    Layer {
        base: i64,
        changes: Vec<Change>,
        roots: (Digest, Digest),
    },
    /// Make one of these.
    Merge(Vec<Layer>),
    Own(Digest),
}

fn next(project: &Project, now: &Workspace) -> Result<Step> {
    let manifest = &project.manifest;
    let Some(head) = now.head.filter(|_| now.deleted.is_none()) else { return Ok(Step::Nothing) };
    let Some(id) = now.base else {
        let projection = choose(project, None)?;
        let made = manifest.transaction(|manifest| manifest.create_base(now.id, projection))?;
        return Ok(Step::Fold(made));
    };
    let base = manifest.base(id)?.ok_or_else(|| missing(id))?;
    if choose(project, Some(&base.projection))? != base.projection {
        return Ok(Step::Own(head));
    }
    let layers = manifest.layers(now.layer)?;
    let (Some(base_root), None) = (base.root, base.target) else { return Ok(Step::Fold(id)) };
    let shown = layers.first().map_or(base_root, |layer| layer.root);
    if manifest.sharers(id)? == 1 {
        let is_done = shown == head && layers.is_empty();
        return Ok(if is_done { Step::Nothing } else { Step::Fold(id) });
    }
    let names = base_names(manifest, &base)?;
    let held = layers.iter().fold((0i64, 0i64), |(names, bytes), layer| {
        (names.saturating_add(layer.names), bytes.saturating_add(layer.bytes))
    });
    if shown == head {
        if layer::is_too_much(held, names) {
            return Ok(Step::Own(head));
        }
        return Ok(match layer::to_merge(&layers) {
            0 | 1 => Step::Nothing,
            count => Step::Merge(layers[..count].to_vec()),
        });
    }
    let (changes, bytes) = changes(manifest, &shown, &head)?;
    let count = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    if bytes > layer::COPIED
        || layer::is_too_much((held.0.saturating_add(count), held.1.saturating_add(bytes)), names)
    {
        return Ok(Step::Own(head));
    }
    Ok(Step::Layer { base: id, changes, roots: (shown, head) })
}

fn unmarked(workspace: &str) -> Error {
    Error::corrupt(format!("the lower tree of workspace `{workspace}` does not keep its mark"))
        .with_hint("does the store's filesystem keep user xattrs? vrift doctor says")
}

fn missing(base: i64) -> Error {
    Error::corrupt(format!("base {base} is missing from the manifest"))
}

/// How many names a base shows; counted where that is not recorded.
fn base_names(manifest: &Manifest, base: &crate::manifest::base::Base) -> Result<i64> {
    if let Some(names) = base.names {
        return Ok(names);
    }
    let mut names = 0;
    diff(manifest, None, base.root.as_ref(), &mut |_| {
        names += 1;
        Ok(())
    })?;
    manifest.set_base_names(base.id, names)?;
    Ok(names)
}

/// What turns a root into another, and how many bytes of files are in it.
fn changes(manifest: &Manifest, from: &Digest, to: &Digest) -> Result<(Vec<Change>, i64)> {
    let (mut changes, mut bytes) = (Vec::new(), 0i64);
    diff(manifest, Some(from), Some(to), &mut |change| {
        let size = change.after.as_ref().and_then(|entry| Some(entry.content()?.size)).unwrap_or(0);
        bytes = bytes.saturating_add(i64::try_from(size).unwrap_or(i64::MAX));
        changes.push(change);
        Ok(())
    })?;
    Ok((changes, bytes))
}

/// The root that a lower shows, on its directory. A copy or a backup that lost the
/// xattrs of the stubs, which then read as zeros, has lost this one too (rule 20).
const MARK: &std::ffi::CStr = c"user.vrift.root";

/// What the real files of a base are made by, on its directory.
const FILES: &std::ffi::CStr = c"user.vrift.files";

fn mark_files(dest: &Path, rung: Rung) -> Result<()> {
    xattr::set(Dir::open(dest)?, FILES, rung.name().as_bytes()).context("mark", dest)
}

/// What the files of a base are: stubs, or made by a reflink, a link or a copy.
pub fn files(project: &Project, base: i64, projection: &str) -> String {
    if projection == STUB {
        return STUB.into();
    }
    let mark = Dir::open(&project.base_path(base)).ok().and_then(|dir| xattr::get(dir, FILES).ok().flatten());
    // without one no file has any content
    mark.map_or_else(|| "copy".into(), |mark| String::from_utf8_lossy(&mark).into_owned())
}

fn mark(dest: &Path, root: &Digest) -> Result<()> {
    xattr::set(Dir::open(dest)?, MARK, root.hex().as_bytes()).context("mark", dest)
}

/// Whether a lower tree shows what it is said to.
pub fn is_marked(dest: &Path, root: &Digest) -> bool {
    let mark = Dir::open(dest).ok().and_then(|dir| xattr::get(dir, MARK).ok().flatten());
    mark.is_some_and(|mark| mark == root.hex().as_bytes())
}
