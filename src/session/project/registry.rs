//! The projects of a store: list, forget, move.
//!
//! A project is forgotten by renaming its directory to `.forgotten-…` first, so that it
//! is whole or not there; whoever forgets next removes what was left of it. It is moved
//! by renaming its directory to the new path's id; the recorded path follows, and a move
//! cut short in between is finished by the same command.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::choice::{project_id, refuse_unsuitable, registered_above};
use super::{identity, lost, was_used};
use crate::cas::Store;
use crate::error::{Context, Error, Kind, Result, quoted, shell_word};
use crate::manifest::{Manifest, db};
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::remove;
use crate::os::userns::as_root_of_own_files;
use crate::session::record::{self, Record};
use crate::session::stack::settle_all;

const FORGOTTEN: &str = ".forgotten-";

/// A project as its directory in the store says.
pub struct Known {
    pub id: String,
    /// `None` when its manifest cannot be read.
    pub root: Option<PathBuf>,
    /// Why it cannot be read.
    pub broken: Option<Error>,
    /// A session of it lives.
    pub live: bool,
}

/// All projects, by path.
pub fn list(store: &Store) -> Result<Vec<Known>> {
    let projects = store.projects_path();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&projects).context("read", &projects)? {
        let entry = entry.context("read", &projects)?;
        let Ok(id) = entry.file_name().into_string() else { continue };
        if id.starts_with('.') || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let dir = entry.path();
        if !dir.join(db::NAME).exists() {
            continue; // being registered, or forgotten
        }
        let read = Manifest::open_in(store, &dir).and_then(|manifest| identity::path_of(&manifest));
        let (root, broken) = match read {
            Ok(root) => (root, None),
            Err(error) => (None, Some(error)),
        };
        let live = locks(&dir)?.is_none();
        found.push(Known { id, root, broken, live });
    }
    found.sort_by(|a, b| a.root.cmp(&b.root).then(a.id.cmp(&b.id)));
    Ok(found)
}

/// The names of all projects' directories, those among them that are just being registered.
pub fn directories(store: &Store) -> Result<Vec<OsString>> {
    let projects = store.projects_path();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&projects).context("read", &projects)? {
        let entry = entry.context("read", &projects)?;
        let name = entry.file_name();
        let is_project = !name.as_encoded_bytes().starts_with(b".");
        names.extend((is_project && entry.file_type().is_ok_and(|kind| kind.is_dir())).then_some(name));
    }
    names.sort_unstable();
    Ok(names)
}

/// The manifest in a project's directory; `None` for one that is just being registered.
///
/// # Errors
/// Where it cannot be read, and where it is gone or empty and the project was used before.
pub fn manifest_of(dir: &Path) -> Result<Option<Manifest>> {
    let is_there = dir.join(db::NAME).metadata().is_ok_and(|file| file.len() > 0);
    let manifest = is_there.then(|| Manifest::open(dir)).transpose()?;
    let path = manifest.as_ref().map(identity::path_of).transpose()?.flatten();
    if path.is_none() && was_used(dir)? {
        return Err(lost(dir));
    }
    Ok(manifest)
}

/// Every manifest that can be opened, with its project's directory.
pub fn manifests(store: &Store) -> Result<Vec<(PathBuf, Manifest)>> {
    let dirs = directories(store)?.into_iter().map(|id| store.projects_path().join(id));
    Ok(dirs.filter_map(|dir| Some((dir.clone(), manifest_of(&dir).ok()??))).collect())
}

/// What is left of projects that were forgotten.
pub fn forgotten(store: &Store) -> Result<Vec<PathBuf>> {
    let projects = store.projects_path();
    let mut left = Vec::new();
    for entry in std::fs::read_dir(&projects).context("read", &projects)? {
        let entry = entry.context("read", &projects)?;
        let is_left = entry.file_name().as_encoded_bytes().starts_with(FORGOTTEN.as_bytes());
        left.extend(is_left.then(|| entry.path()));
    }
    Ok(left)
}

/// The id of the project that the user named by its id, its path, or a path in it.
fn named(store: &Store, name: &Path) -> Result<String> {
    let by_id = name.to_str().filter(|name| name.len() == 22 && !name.contains('/'));
    if let Some(id) = by_id.filter(|id| store.projects_path().join(id).is_dir()) {
        return Ok(id.to_string());
    }
    let path = std::path::absolute(name).context("resolve", name)?;
    let path = crate::paths::resolve_existing(&path)?;
    registered_above(store, &path).filter(|root| *root == path).map(|root| project_id(&root)).ok_or_else(
        || {
            Error::failure(format!("{} is no project of this store", quoted(name.as_os_str())))
                .with_hint("vrift project list names them")
        },
    )
}

/// Drops all state of a project; returns its directory, where that is known.
pub fn forget(store: &Store, name: &Path) -> Result<Option<PathBuf>> {
    let id = named(store, name)?;
    let projects = store.projects_path();
    let dir = projects.join(&id);
    let root = Manifest::open(&dir).and_then(|manifest| identity::path_of(&manifest)).unwrap_or(None);
    let held = locks(&dir)?.ok_or_else(|| busy(name))?;
    let gone = projects.join(format!("{FORGOTTEN}{id}-{}", std::process::id()));
    failpoint::at("forget.begun").context("forget", &dir)?;
    std::fs::rename(&dir, &gone).context("forget", &dir)?;
    failpoint::at("forget.renamed").context("forget", &dir)?;
    drop(held);
    store.let_go();
    as_root_of_own_files("remove a project's state", || {
        forgotten(store)?.iter().try_for_each(|left| remove_forgotten(store, left))
    })?;
    Ok(root)
}

/// Removes what is left of one. An object that shares its inode with a layer's file becomes
/// one as all others are (rule 11); of a manifest that cannot be read nothing is known.
pub fn remove_forgotten(store: &Store, left: &Path) -> Result<()> {
    let _ = settle_all(store, left);
    remove::remove_tree(left)?;
    failpoint::at("forget.removed").context("forget", left)
}

/// Lets a project be at another path. Returns the old path and the new.
pub fn relocate(store: &Store, from: &Path, to: &Path) -> Result<(PathBuf, PathBuf)> {
    let new = std::fs::canonicalize(to).context("move the project to", to)?;
    if !new.is_dir() {
        return Err(Error::failure(format!("{} is not a directory", quoted(to.as_os_str()))));
    }
    refuse_unsuitable(store.root(), &new)?;
    let projects = store.projects_path();
    let target = projects.join(project_id(&new));
    let old = crate::paths::resolve_existing(&std::path::absolute(from).context("resolve", from)?)?;
    if target.join(db::NAME).exists() {
        let manifest = Manifest::open(&target)?;
        let known = identity::path_of(&manifest)?;
        if known.as_ref() != Some(&old) {
            return Err(Error::failure(format!("{} is another project already", quoted(new.as_os_str())))
                .with_hint(format!("to drop that one first: vrift project forget {}", shell_word(&new))));
        }
        // A move that was cut short, or the same path again.
        let _held = locks(&target)?.ok_or_else(|| busy(from))?;
        refuse_other(&manifest, &new)?;
        identity::record(&manifest, &new, |_| Ok(()))?;
        return Ok((old, new));
    }
    let dir = projects.join(named(store, from)?);
    let manifest = Manifest::open(&dir)?;
    let known = identity::path_of(&manifest)?.unwrap_or(old);
    refuse_other(&manifest, &new)?;
    drop(manifest);
    let _held = locks(&dir)?.ok_or_else(|| busy(from))?;
    std::fs::rename(&dir, &target).context("move the project's state to", &target)?;
    failpoint::at("project.moved").context("move the project's state to", &target)?;
    identity::record(&Manifest::open(&target)?, &new, |_| Ok(()))?;
    Ok((known, new))
}

fn refuse_other(manifest: &Manifest, new: &Path) -> Result<()> {
    if identity::fits(manifest, new)? {
        return Ok(());
    }
    Err(Error::failure(format!(
        "{} is not the project's directory: neither its inode nor its first commit is the recorded one",
        quoted(new.as_os_str())
    ))
    .with_hint("to start anew there, just run a command in it; vrift project forget drops the old state"))
}

fn busy(name: &Path) -> Error {
    Error::new(Kind::Busy, format!("the project {} has a live run", quoted(name.as_os_str())))
        .with_hint("wait for it to end, or end it: vrift runs shows it, vrift stop ends it")
}

/// The session locks of all workspaces of a project; `None` when a session lives. Read
/// from the directory: the manifest may be broken.
fn locks(dir: &Path) -> Result<Option<Vec<Lock>>> {
    let staging = dir.join("staging");
    let (mut held, mut ended) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(&staging) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some(held)),
        entries => entries.context("read", &staging)?,
    };
    for entry in entries {
        let path = entry.context("read", &staging)?.path();
        if path.extension().is_some_and(|ending| ending == "lock") {
            match Lock::attempt(&path, Hold::Exclusive)? {
                Some(lock) => held.push(lock),
                None => return Ok(None),
            }
        } else if let Ok(Some(record)) = Record::read(&path) {
            ended.push(record);
        }
    }
    // only now is it known that none of them lives
    ended.iter().try_for_each(record::end_remains)?;
    Ok(Some(held))
}
