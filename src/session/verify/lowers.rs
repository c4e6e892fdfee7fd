//! Lower trees and layers against the roots they show.
//!
//! A tree's lock is held shared while it is looked at; one that is being changed just now
//! is passed over and named: whoever changes it leaves it sound, or recorded as unfinished.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cas::finding::{Finding, Subject, What};
use crate::error::{self, Kind, Result, plain};
use crate::manifest::base::Base;
use crate::manifest::diff::diff;
use crate::manifest::stack::Layer;
use crate::os::dir::Dir;
use crate::os::lock::{Hold, Lock};
use crate::overlay::projection::{HARDLINK, STUB, TIER1};
use crate::overlay::verify::{self, Difference, Files, How};
use crate::session::project::Project;
use crate::session::stack::is_marked;

/// How attributes begin that are ours on the top of a tree.
const MARKS: &str = "user.vrift.";
/// Differences told of one tree.
const MOST: usize = 20;

/// What was found, and what can wait.
#[derive(Default, Serialize, Deserialize)]
pub struct Looked {
    pub found: Vec<Finding>,
    pub notes: Vec<String>,
    /// Lower trees and layers looked at.
    pub trees: usize,
}

/// Looks at all of a project's. Run as the owner of all.
pub fn look(project: &Project, deep: bool) -> Result<Looked> {
    let (bases, layers) = project.manifest.lowers()?;
    // Whoever makes one takes its lock at once or not at all: those that nobody is shown by
    // yet, or any more, are left alone.
    let (going_bases, going_layers) = (project.manifest.unused_bases()?, project.manifest.unused_layers()?);
    let mut looked = Looked::default();
    for base in bases.into_iter().filter(|base| !going_bases.contains(base)) {
        let place = format!("base/{}", base.id);
        if base.root.is_none() {
            looked.notes.push(unfinished(&place));
            continue;
        }
        let Some(_lock) = held(&project.base_lock(base.id), &place, &mut looked)? else { continue };
        if let Some(base) = project.manifest.base(base.id)? {
            look_at_base(project, &base, (&place, deep), &mut looked)?;
        }
    }
    for layer in layers.into_iter().filter(|layer| !going_layers.contains(layer)) {
        let place = format!("layers/{}", layer.id);
        let Some(_lock) = held(&project.layer_lock(layer.id), &place, &mut looked)? else { continue };
        if let Some(layer) = project.manifest.layer(layer.id)? {
            look_at_layer(project, &layer, &place, deep, &mut looked)?;
        }
    }
    Ok(looked)
}

/// The lock, shared; one that is no lock has been told of already.
fn held(path: &Path, place: &str, looked: &mut Looked) -> Result<Option<Lock>> {
    let lock = error::looked(Lock::attempt(path, Hold::Shared))?.ok().flatten();
    if lock.is_none() {
        looked.notes.push(format!("{place} is being changed just now"));
    }
    Ok(lock)
}

fn unfinished(place: &str) -> String {
    format!("{place} is not finished: the next command goes on with it")
}

fn look_at_base(
    project: &Project,
    base: &Base,
    (place, deep): (&str, bool),
    looked: &mut Looked,
) -> Result<()> {
    let subject = Subject::Base(base.id);
    let Some(root) = base.root.filter(|_| base.target.is_none()) else {
        looked.notes.push(unfinished(place));
        return Ok(());
    };
    looked.trees += 1;
    let path = project.base_path(base.id);
    if !is_marked(&path, &root) {
        error::looked(Dir::open(&path))?.ok(); // where none can be opened nothing is known
        let detail = match path.symlink_metadata() {
            Ok(_) => "it does not keep its mark: were its attributes lost in a copy?",
            Err(_) => "it is not there",
        };
        looked.found.push(Finding::new(What::LowerMissing, subject, place, detail));
        return Ok(());
    }
    let files = match base.projection.as_str() {
        STUB => Files::Stubs,
        HARDLINK => Files::Links,
        TIER1 => Files::Shared,
        _ => Files::Copies,
    };
    let differences = verify::base(
        &project.manifest,
        &root,
        &path,
        &How { files, deep: deep && files != Files::Stubs, ..how(project, deep) },
    );
    told(looked, What::LowerDiffers, &subject, place, differences)
}

fn look_at_layer(
    project: &Project,
    layer: &Layer,
    place: &str,
    deep: bool,
    looked: &mut Looked,
) -> Result<()> {
    let subject = Subject::Layer(layer.id);
    let path = project.layer_path(layer.id);
    looked.trees += 1;
    if !is_marked(&path, &layer.root) {
        error::looked(Dir::open(&path))?.ok(); // where none can be opened nothing is known
        let detail = match path.symlink_metadata() {
            Ok(_) => "it does not keep its mark",
            Err(_) => "it is not there",
        };
        if is_coming(project, layer.id)? {
            looked.notes.push(unfinished(place));
        } else {
            looked.found.push(Finding::new(What::LayerMissing, subject, place, detail));
        }
        return Ok(());
    }
    let mut changed = Vec::new();
    let read = diff(&project.manifest, Some(&layer.under), Some(&layer.root), &mut |change| {
        changed.push((change.path, change.after));
        Ok(())
    });
    let how = how(project, deep);
    let differences =
        read.and_then(|()| verify::layer(&project.manifest, &layer.root, &changed, &path, &how));
    told(looked, What::LayerDiffers, &subject, place, differences)
}

/// A take-in that has committed is to make it.
fn is_coming(project: &Project, layer: i64) -> Result<bool> {
    for workspace in project.manifest.workspaces()? {
        if project.manifest.pending(workspace.id)?.iter().any(|row| row.layer == Some(layer)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn how<'a>(project: &'a Project, deep: bool) -> How<'a> {
    How { scratch: &project.dir, mark: MARKS, files: Files::Copies, deep, most: MOST }
}

/// A tree that cannot be compared is a finding, too: others are looked at all the same.
fn told(
    looked: &mut Looked,
    what: What,
    subject: &Subject,
    place: &str,
    differences: Result<Vec<Difference>>,
) -> Result<()> {
    match error::looked(differences)? {
        Ok(differences) => looked.found.extend(differences.into_iter().map(|(path, detail)| {
            let path = plain(std::os::unix::ffi::OsStrExt::from_bytes(path.as_slice()));
            Finding::new(what, subject.clone(), format!("{place}/{path}"), detail)
        })),
        // a tree is missing or broken, which is told of itself
        Err(error) if error.kind() == Kind::Corrupt => {
            looked.notes.push(format!("{place} cannot be compared: {error}"));
        }
        Err(error) => {
            looked.found.push(Finding::new(
                what,
                subject.clone(),
                place,
                format!("it cannot be read: {error}"),
            ));
        }
    }
    Ok(())
}
