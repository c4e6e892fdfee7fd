//! Removing a store with all that is in it, and nothing else.
//!
//! `format.json` says first that the store is going, so that nobody begins anything in it;
//! it is the last name to go. Killed in between, a store is not usable any more and is
//! removed by the same command. Only names that are vrift's are removed, no symbolic
//! link is followed, and no mount entered.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::mountinfo;
use super::record::{self, Record};
use crate::cas::{format, protect, quarantine};
use crate::error::{Context, Error, Kind, Result, quoted, shell_word};
use crate::os::lock::{self, Hold, Lock};
use crate::os::userns::as_root_of_own_files;
use crate::os::{failpoint, remove};

/// Directories of a store; sockets, locks and notes are files.
const DIRS: [&str; 4] = ["projects", "objects", "psfs", quarantine::NAME];

/// A store that may be destroyed.
pub struct Doomed {
    root: PathBuf,
    /// How many projects it has.
    pub projects: usize,
    /// It holds nothing but its directory: the end of one that was cut short.
    is_empty: bool,
}

/// Looks whether this is a store, and one that nobody uses.
pub fn look(root: &Path) -> Result<Doomed> {
    let shown = quoted(root.as_os_str());
    if !root.is_dir() {
        return Err(Error::failure(format!("there is no store at {shown}")));
    }
    let path = root.join(format::NAME);
    let names = std::fs::read_dir(root).context("read", root)?.count();
    let text = match std::fs::symlink_metadata(&path) {
        Ok(file) if file.is_file() => std::fs::read(&path).context("read", &path)?,
        _ => Vec::new(),
    };
    if names > 0 && !format::is_one(&text) {
        return Err(Error::failure(format!("{shown} is not a store: it has no `{}` of one", format::NAME))
            .with_hint(format!(
                "if it was one, and is not wanted: chmod -R u+rwx {0}; rm -r {0}",
                shell_word(root)
            )));
    }
    if let Ok(here) = std::env::current_dir()
        && here.starts_with(root)
    {
        return Err(Error::failure(format!("the current directory is in the store {shown}"))
            .with_hint("cd somewhere else first"));
    }
    if let Some(mount) = mountinfo::below(&mountinfo::read()?, root)?.first() {
        let mount = quoted(std::os::unix::ffi::OsStrExt::from_bytes(mount.to_bytes()));
        return Err(Error::new(Kind::Busy, format!("something is mounted in the store, at {mount}"))
            .with_hint("unmount it first"));
    }
    if format::has_lock_files(&text) {
        lock::use_files();
    }
    let projects = projects(root)?;
    drop(locks(&projects)?);
    Ok(Doomed { root: root.to_path_buf(), projects: projects.len(), is_empty: names == 0 })
}

/// Removes it. Returns what is in the directory that is not vrift's, and was left.
pub fn destroy(doomed: &Doomed) -> Result<Vec<PathBuf>> {
    let root = &doomed.root;
    let format = root.join(format::NAME);
    if !doomed.is_empty {
        let before = std::fs::read(&format).context("read", &format)?;
        replace(&format, format::destroyed(&before).as_bytes())?;
        failpoint::at("destroy.marked").context("destroy", root)?;
        // who was before the mark has the store's lock, or a session's, or is done
        let lock = Lock::wait(&root.join("lock"), Hold::Exclusive)?;
        let held = projects(root).and_then(|projects| locks(&projects));
        let _held = held.or_else(|error| replace(&format, &before).and(Err(error)))?;
        drop(lock);
    }
    protect::lift_all(root)?;
    let left = as_root_of_own_files("destroy the store", || {
        for name in DIRS {
            remove::remove_tree(&root.join(name))?;
            failpoint::at("destroy.part").context("destroy", root)?;
        }
        let mut left = Vec::new();
        for entry in std::fs::read_dir(root).context("read", root)? {
            let path = entry.context("read", root)?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(format::NAME) => {}
                Some(name) if is_ours(name) => remove::remove_tree(&path)?,
                _ => left.push(path.into_os_string().into_encoded_bytes()),
            }
        }
        remove::remove_tree(&format)?;
        failpoint::at("destroy.unnamed").context("destroy", root)?;
        Ok(left)
    })?;
    if left.is_empty() {
        std::fs::remove_dir(root).context("remove", root)?;
    }
    Ok(left
        .into_iter()
        .map(|path| <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(path).into())
        .collect())
}

/// Files of a store's own directory, and what killed commands left of them.
fn is_ours(name: &str) -> bool {
    ["lock", "written", "reserve", "durable"].contains(&name)
        || [".lock", lock::HOLDERS].iter().any(|end| name.ends_with(end))
        || [format::NAME, "durable.", "probe", ".vrift-"].iter().any(|begin| name.starts_with(begin))
}

fn projects(root: &Path) -> Result<Vec<PathBuf>> {
    let dir = root.join("projects");
    match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let paths = entries.context("read", &dir)?.map(|entry| Ok(entry.context("read", &dir)?.path()));
            let paths: Vec<PathBuf> = paths.collect::<Result<_>>()?;
            let is_dir = |path: &PathBuf| path.symlink_metadata().is_ok_and(|file| file.is_dir());
            Ok(paths.into_iter().filter(is_dir).collect())
        }
    }
}

/// The locks of all sessions of all projects. What is no file nobody holds.
fn locks(projects: &[PathBuf]) -> Result<Vec<Lock>> {
    let mut held = Vec::new();
    for dir in projects {
        let staging = dir.join("staging");
        for path in [dir, &staging] {
            open_up(path, 0o700)?;
        }
        let entries = match std::fs::read_dir(&staging) {
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => continue,
            entries => entries.context("read", &staging)?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let entry = entry.context("read", &staging)?;
            let (path, kind) = (entry.path(), entry.file_type().context("stat", entry.path())?);
            if kind.is_file() && path.extension().is_some_and(|ending| ending == "lock") {
                open_up(&path, 0o600)?;
                held.push(Lock::attempt(&path, Hold::Exclusive)?.ok_or_else(|| {
                    Error::new(Kind::Busy, "a run of a project in the store lives").with_hint(
                        "vrift project list names it; wait for the run to end, or end it: vrift stop",
                    )
                })?);
            } else if kind.is_dir()
                && let Ok(Some(record)) = Record::read(&path)
            {
                records.push(record);
            }
        }
        // only now is it known that none of them lives
        records.iter().try_for_each(record::end_remains)?;
    }
    Ok(held)
}

/// Gives the owner the rights that he needs to look.
fn open_up(path: &Path, mode: u32) -> Result<()> {
    match path.symlink_metadata() {
        Ok(file) if !file.is_symlink() && file.mode() & mode != mode => {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).context("chmod", path)
        }
        _ => Ok(()),
    }
}

fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let half = path.with_extension(format!("json.{}", std::process::id()));
    std::fs::write(&half, text).context("write", &half)?;
    std::fs::rename(&half, path).context("write", path)
}
