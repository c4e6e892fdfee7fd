//! Directories that are declared not to change (`[tier1]`): the host's, read-only inside.
//!
//! One in the project is part of the workspace's root as any other, follows the host, and is made
//! read-only over the view. One outside is a root of its own, shown by a lower tree of its own at
//! the same path; it is kept as long as it is declared. Both are looked at at each start, by the
//! stat of their directories only: a file that is changed in place is seen by `vrift sync`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::mountinfo::{self, Mounted};
use super::mounts::{Recorded, is_below};
use super::project::Project;
use super::snapshots::hold;
use super::stack;
use super::sync::outside;
use crate::cas::Digest;
use crate::error::{Error, Result, quoted};
use crate::manifest::dir::lookup;
use crate::ns::plan::{ReadOnly, c_path};
use crate::os::lock::Lock;
use crate::os::mkdir;
use crate::os::userns::as_root_of_own_files;
use crate::progress::Meter;

/// One outside of the project, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    pub path: PathBuf,
    pub base: i64,
    /// It is made of stubs.
    pub stubs: bool,
}

/// A directory in the project's, empty: the second layer of a read-only overlay.
pub const NOTHING: &str = "nothing";

/// Those in the project that a root has, with what of each stays writable.
pub fn inside(project: &Project, root: &Digest, unlock: &[String]) -> Result<Vec<ReadOnly>> {
    let recorded = Recorded::read(project)?;
    let is_dir = |path: &[u8]| -> Result<bool> {
        Ok(lookup(&project.manifest, root, path)?.is_some_and(|entry| entry.is_dir()))
    };
    let absolute = |path: &[u8]| c_path(&project.root.join(OsStr::from_bytes(path)));
    let mut found = Vec::new();
    for path in &recorded.tier1 {
        if is_unlocked(unlock, &project.root, &project.root.join(OsStr::from_bytes(path))) || !is_dir(path)? {
            continue;
        }
        let mut but = Vec::new();
        for open in recorded.open.iter().filter(|open| is_below(open, path)) {
            if is_dir(open)? {
                but.push(absolute(open)?);
            }
        }
        found.push(ReadOnly { path: absolute(path)?, but });
    }
    Ok(found)
}

/// What the user unlocked may be the directory itself, or something in it.
fn is_unlocked(unlock: &[String], root: &Path, path: &Path) -> bool {
    unlock.iter().map(|one| root.join(crate::paths::expand_home(one))).any(|one| one.starts_with(path))
}

/// Those outside, each with a lower tree that shows it, and the locks that keep those. `look`:
/// what has changed is taken in first.
pub fn ready(
    mut project: Project,
    (look, unlock): (bool, &[String]),
    mounted: &[Mounted],
    meter: &Meter,
) -> Result<(Project, Vec<Outside>, Vec<Lock>)> {
    let (mut shown, mut locks) = (Vec::new(), Vec::new());
    if look {
        let withheld = crate::config::tier1::outside(&project.config.withheld);
        let declared = [&project.config.tier1_outside[..], &withheld].concat();
        outside::forget_others(&project, &declared)?;
    }
    for path in project.config.tier1_outside.clone() {
        if is_unlocked(unlock, &project.root, &path) {
            continue;
        }
        check(&project, &path, mounted)?;
        let root = match outside::recorded(&project, &path)? {
            Some(root) if !look => root,
            _ => outside::take_in(&project, &path, meter)?,
        };
        loop {
            if let Some((base, stubs, lock)) = hold(&project, &root, true)? {
                shown.push(Outside { path, base, stubs });
                locks.push(lock);
                break;
            }
            let place = project.close();
            as_root_of_own_files("render what is declared not to change", || {
                let project = place.again()?.open()?;
                let _token = project.store.publishing()?; // nothing of it is swept (rule 15)
                stack::render_tier1(&project, &root)
            })?;
            project = place.open()?;
        }
    }
    if !shown.is_empty() {
        mkdir::private(&project.dir.join(NOTHING))?;
    }
    Ok((project, shown, locks))
}

fn check(project: &Project, path: &Path, mounted: &[Mounted]) -> Result<()> {
    let (store, root) = (project.store.root(), &project.root);
    let both = |other: &Path| other.starts_with(path) || path.starts_with(other);
    let why = if both(store) {
        "the store lies there"
    } else if root.starts_with(path) {
        "the project lies in it"
    } else if path.starts_with(root) {
        "it lies in the project: name it by its relative path"
    } else if !mountinfo::below(mounted, path)?.is_empty() {
        "something is mounted below it"
    } else {
        return Ok(());
    };
    Err(Error::failure(format!("{} cannot be in `tier1.paths`: {why}", quoted(path.as_os_str())))
        .with_hint("take it out of [tier1] in vrift.toml, or leave it for one run: --unlock PATH"))
}
