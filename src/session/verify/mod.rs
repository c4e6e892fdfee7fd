//! Looking at a whole store: objects, manifests, trees, lower trees, layers, sessions, locks.
//!
//! Everything is looked at and all that is wrong is told, in one pass that holds no lock of
//! the store: runs and collections go on beside it. What was found is looked for once
//! more while nobody may sweep (rule 15), and only what is found again counts: the
//! first look may have been at something that was just being made, or taken away.
//!
//! | looked at | by |
//! |---|---|
//! | the manifest's file, its rows, every tree body | `manifest/verify` |
//! | objects | `cas/verify.rs` |
//! | lower trees and layers against their roots | `lowers.rs`, `overlay/verify.rs` |
//! | sessions, locks, strays, the preload library | `places.rs` |

mod copies;
mod lowers;
mod places;
mod repair;

use std::collections::HashSet;
use std::path::Path;

use self::lowers::Looked;
pub use self::repair::Repaired;
use super::project::{Project, identity, was_used};
use crate::cas::finding::{Finding, Subject, What};
use crate::cas::verify::{How, Needed, Wanted};
use crate::cas::{Digest, Store, quarantine};
use crate::error::{Error, Result, looked, plain};
use crate::manifest::run::Output;
use crate::manifest::verify::{BROKEN, Forest};
use crate::manifest::{Manifest, db};
use crate::os::userns::as_root_of_own_files;
use crate::progress::Meter;

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    pub found: Vec<Finding>,
    /// What is in order, and may want attention.
    pub notes: Vec<String>,
    /// Objects that some state needs.
    pub objects: usize,
    pub trees: usize,
    /// Lower trees and layers.
    pub lowers: usize,
    pub projects: usize,
    /// Some lower tree links objects.
    pub linked: bool,
}

/// Looks at everything. `deep`: every content is hashed, too.
pub fn verify(store: &Store, deep: bool, meter: &Meter) -> Result<Report> {
    let mut report = pass(store, deep, meter)?;
    if !report.found.is_empty() {
        let _nobody_sweeps = store.publishing()?;
        let again = pass(store, false, &Meter::default())?;
        let is_there = |finding: &Finding| store.root().join(&finding.place).symlink_metadata().is_ok();
        report.found.retain(|finding| {
            let hashed =
                deep && is_hashed(finding) && (finding.what != What::ObjectDigest || is_there(finding));
            hashed || again.found.iter().any(|other| other.is_again(finding))
        });
    }
    tell_who_needs(store, &mut report);
    Ok(report)
}

/// Looks at everything, puts right what can be, and looks again: what the report has then
/// is lost, or could not be put right.
pub fn verify_and_repair(store: &Store, deep: bool, meter: &Meter) -> Result<(Report, Repaired)> {
    let report = verify(store, deep, meter)?;
    if report.found.is_empty() {
        return Ok((report, Repaired::default()));
    }
    let repaired = repair::repair(store, &report.found)?;
    let mut report = verify(store, deep, meter)?;
    for finding in report.found.iter_mut().filter(|finding| is_of_content(finding.what)) {
        finding.remedy = LOST.into();
    }
    Ok((report, repaired))
}

/// What is left where a content is nowhere any more.
const LOST: &str = "lost, unless a backup has it; where no state needs it any more gc removes the rest";

/// Only a deep look finds it.
fn is_hashed(finding: &Finding) -> bool {
    finding.what == What::ObjectDigest || finding.detail.contains("another digest")
}

fn pass(store: &Store, deep: bool, meter: &Meter) -> Result<Report> {
    let mut report = Report { found: places::look_at_store(store.root())?, ..Report::default() };
    if let count @ 1.. = store.set_aside_count() {
        let place = store.root().join(quarantine::NAME);
        report.notes.push(format!("{} has {count} of what was set aside", plain(place.as_os_str())));
    }
    let mut wanted = Wanted::new();
    for dir in places::projects(store.root())? {
        let id = dir.file_name().map(plain).unwrap_or_default();
        let from = report.found.len();
        if let Err(error) = looked(project(store, &dir, &id, deep, &mut wanted, &mut report))? {
            let finding = Finding::new(What::ManifestBroken, Subject::Manifest, db::NAME, error.to_string());
            report.found.push(finding.with_remedy(error.hint().unwrap_or(BROKEN)));
        }
        for finding in &mut report.found[from..] {
            finding.project.clone_from(&id);
            if !finding.place.starts_with("projects/") {
                finding.place = format!("projects/{id}/{}", finding.place);
            }
        }
    }
    report.objects = wanted.len();
    let bytes = if deep { wanted.values().map(|needed| needed.size).sum() } else { 0 };
    meter.expect(wanted.len() as u64, bytes);
    report.found.extend(store.verify_objects(&wanted, How { deep, linked: report.linked }, meter)?);
    Ok(report)
}

fn project(
    store: &Store,
    dir: &Path,
    id: &str,
    deep: bool,
    wanted: &mut Wanted,
    report: &mut Report,
) -> Result<()> {
    if !places::is_project(dir) {
        return Ok(()); // being registered, or that was cut short
    }
    report.projects += 1;
    if !has_manifest(dir) {
        return Err(Error::corrupt("the manifest is gone or empty, and the project was used before"));
    }
    let manifest = Manifest::open_in(store, dir)?;
    // emptied, and made anew by whoever opened it then
    if identity::path_of(&manifest)?.is_none() && was_used(dir)? {
        return Err(Error::corrupt("the manifest knows nothing, and the project was used before"));
    }
    report.linked |= manifest.has_linked()?;
    report.found.extend(manifest.verify_file()?);
    let forest = Forest::read(&manifest)?;
    report.trees += forest.len();
    forest.wanted(wanted);
    for (_, Output { digest, size }) in manifest.outputs()? {
        wanted.insert(digest.object_name(), Needed { digest, size, sparse: false });
    }
    report.found.extend(forest.found);
    drop(manifest); // a child opens its own
    let again = Store::open_to_read(store.root())?;
    let seen = as_root_of_own_files("look at lower trees", || {
        let mut seen = Looked::default();
        if let Some(project) = again.map(|store| Project::of_store(&store, id)).transpose()?.flatten() {
            seen = lowers::look(&project, deep)?;
            places::look(&project, &mut seen)?;
        }
        Ok(seen)
    })?;
    report.found.extend(seen.found);
    report.notes.extend(seen.notes);
    report.lowers += seen.trees;
    Ok(())
}

/// There is one that an open would not make anew.
fn has_manifest(dir: &Path) -> bool {
    dir.join(db::NAME).metadata().is_ok_and(|file| file.len() > 0)
}

/// Adds to each object and tree which states and paths need it.
fn tell_who_needs(store: &Store, report: &mut Report) {
    let lost: HashSet<String> = report
        .found
        .iter()
        .filter(|finding| is_of_content(finding.what))
        .filter_map(|finding| match &finding.subject {
            Subject::Object(digest) | Subject::Tree(digest) => Some(digest.clone()),
            _ => None,
        })
        .collect();
    if lost.is_empty() {
        return;
    }
    let digests: HashSet<Digest> = lost.iter().filter_map(|hex| Digest::from_hex(hex)).collect();
    for dir in places::projects(store.root()).unwrap_or_default() {
        let Ok(manifest) = Manifest::open_in(store, &dir) else { continue };
        for (run, output) in manifest.outputs().unwrap_or_default() {
            let hex = output.digest.hex();
            for finding in &mut report.found {
                if matches!(&finding.subject, Subject::Object(it) if *it == hex) {
                    finding.needed_by.push(("what runs printed".into(), format!("@{run}")));
                }
            }
        }
        let Ok(forest) = Forest::read(&manifest) else { continue };
        for hit in forest.hits(&manifest, &digests) {
            let hex = hit.lost.hex();
            let path = plain(std::os::unix::ffi::OsStrExt::from_bytes(hit.path.as_slice()));
            for finding in &mut report.found {
                let is_it = matches!(&finding.subject, Subject::Object(it) | Subject::Tree(it) if *it == hex);
                if is_it {
                    finding.needed_by.push((hit.label.clone(), path.clone()));
                }
            }
        }
    }
}

fn is_of_content(what: What) -> bool {
    use What::{ObjectDigest, ObjectMissing, ObjectSize, TreeBroken, TreeDigest, TreeMissing};
    matches!(what, ObjectMissing | ObjectSize | ObjectDigest | TreeMissing | TreeDigest | TreeBroken)
}
