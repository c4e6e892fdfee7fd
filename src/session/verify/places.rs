//! What lies in a project's directory in the store: sessions, locks, and what does not
//! belong there.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::lowers::Looked;
use crate::cas::finding::{Finding, Subject, What};
use crate::error::{self, Context, Result, plain};
use crate::manifest::base::is_session_name;
use crate::manifest::db;
use crate::os::lock;
use crate::psfs::{library, table};
use crate::session::apply::journal;
use crate::session::output;
use crate::session::plain;
use crate::session::project::{OWN, Project};
use crate::session::record::Record;
use crate::session::recover::orphans;
use crate::session::tables;
use crate::session::tier1::NOTHING;

/// Directories of a project.
const DIRS: [&str; 8] = ["base", "layers", "staging", "vdir", NOTHING, plain::DIR, output::DIR, OWN];
/// Files of a project, but for locks.
const FILES: [&str; 4] = ["manifest.db", "manifest.db-wal", "manifest.db-shm", "manifest.db-journal"];

/// Looks at the directory of a project.
pub fn look(project: &Project, looked: &mut Looked) -> Result<()> {
    let store = project.store.root();
    let mut see = See { store, found: Vec::new() };
    // names first, rows then: whoever makes something records it before
    let [bases, layers, staging] = ["base", "layers", "staging"].map(|dir| names(&project.dir.join(dir)));
    let (bases, layers, staging) = (bases?, layers?, staging?);
    let top = names(&project.dir)?;
    let (known_bases, known_layers) = project.manifest.lowers()?;
    for name in top {
        let path = project.dir.join(&name);
        match name.to_str() {
            Some(dir) if DIRS.contains(&dir) => see.directory(&path)?,
            Some(file) if FILES.contains(&file) => see.owner(&path)?,
            Some(lock) if lock.ends_with(".lock") => see.lock(&path)?,
            Some(holders) if is_holders(holders) => see.directory(&path)?,
            // what a killed apply left, for the next command to finish
            Some(file) if file.starts_with(journal::NAME) => see.owner(&path)?,
            _ => see.stray(&path, "it does not belong in a project's directory"),
        }
    }
    let ids: HashSet<i64> = known_bases.iter().map(|base| base.id).collect();
    see.numbered(&project.dir.join("base"), bases, &ids)?;
    tables_of(project, &ids, &mut see)?;
    let ids: HashSet<i64> = known_layers.iter().map(|layer| layer.id).collect();
    see.numbered(&project.dir.join("layers"), layers, &ids)?;
    sessions(project, staging, &mut see)?;
    // a lock that is none has been told of
    for orphan in error::looked(orphans(project))?.unwrap_or_default() {
        looked.notes.push(format!(
            "session {} of workspace {} left what it wrote: vrift recover {} --keep or --drop",
            orphan.session, orphan.workspace_name, orphan.session
        ));
    }
    looked.found.append(&mut see.found);
    Ok(())
}

/// Tables are made anew where they are missed.
fn tables_of(project: &Project, bases: &HashSet<i64>, see: &mut See<'_>) -> Result<()> {
    let dir = project.dir.join(tables::DIR);
    for name in names(&dir)? {
        let path = dir.join(&name);
        let base = name.to_str().and_then(tables::base_of);
        if base.is_none_or(|base| !bases.contains(&base)) {
            see.stray(&path, "it is no table of a lower tree that there is");
        } else if let Err(error) = error::looked(table::check(&path))? {
            see.stray(&path, &error.to_string());
        }
    }
    Ok(())
}

fn sessions(project: &Project, staging: Vec<std::ffi::OsString>, see: &mut See<'_>) -> Result<()> {
    for name in staging {
        let path = project.staging().join(&name);
        let text = name.to_str().unwrap_or_default();
        let Some((stem, ending)) = text.split_once('.') else {
            if !is_session_name(text) || !path.is_dir() {
                see.stray(&path, "it is no session");
            } else {
                session(project, text, &path, see)?;
            }
            continue;
        };
        let is_number = !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
        match ending {
            "lock" if is_number => see.lock(&path)?,
            "lock.holders" if is_number && lock::by_files() => see.directory(&path)?,
            "spare" | "used" | "begun" if is_number => see.directory(&path)?,
            _ => see.stray(&path, "it is no session"),
        }
    }
    Ok(())
}

fn session(project: &Project, name: &str, path: &Path, see: &mut See<'_>) -> Result<()> {
    see.directory(path)?;
    if let Ok(upper) = path.join("upper").symlink_metadata()
        && upper.uid() != rustix::process::geteuid().as_raw()
    {
        see.owner(&path.join("upper"))?;
    }
    let record = match error::looked(Record::read(path))? {
        Ok(Some(record)) => record,
        // being opened, or its opening was cut short: the next command puts it away
        Ok(None) => return Ok(()),
        Err(error) => {
            if path.symlink_metadata().is_ok() {
                let detail = format!("what it says of itself cannot be read: {error}");
                see.say(What::SessionBroken, path, detail);
            }
            return Ok(());
        }
    };
    if record.session != name || record.start_root().is_err() {
        see.say(What::SessionBroken, path, "what it says of itself is of another session");
    } else if error::looked(project.manifest.workspace_by_id(record.workspace))?.is_err() {
        let detail =
            format!("its workspace {} is not in the manifest", plain(record.workspace_name.as_ref()));
        see.say(What::SessionForeign, path, detail);
    }
    Ok(())
}

struct See<'a> {
    store: &'a Path,
    found: Vec<Finding>,
}

impl See<'_> {
    fn say(&mut self, what: What, path: &Path, detail: impl Into<String>) {
        let inner = path.strip_prefix(self.store).unwrap_or(path);
        let subject = Subject::File(inner.as_os_str().as_bytes().to_vec());
        self.found.push(Finding::new(what, subject, plain(inner.as_os_str()), detail));
    }

    fn stray(&mut self, path: &Path, detail: &str) {
        if path.symlink_metadata().is_ok() {
            self.say(What::Stray, path, detail);
        }
    }

    fn owner(&mut self, path: &Path) -> Result<()> {
        let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            let detail = format!("it belongs to user {}", metadata.uid());
            self.say(What::WrongOwner, path, detail);
            if let Some(last) = self.found.last_mut() {
                last.remedy = "give it back: chown".into();
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path) -> Result<()> {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => self.owner(path),
            Ok(_) => {
                self.stray(path, "it is no directory");
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// A file of our own that can be opened, whoever holds it.
    fn lock(&mut self, path: &Path) -> Result<()> {
        let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
        if !metadata.is_file() {
            self.say(What::LockBroken, path, "it is no file, so it cannot be locked");
            return Ok(());
        }
        if metadata.mode() & 0o600 != 0o600 {
            let detail = format!("it has mode {:04o} instead of 0600", metadata.mode() & 0o7777);
            self.say(What::LockBroken, path, detail);
        }
        self.owner(path)
    }

    /// A directory of numbered trees and their locks.
    fn numbered(&mut self, dir: &Path, names: Vec<std::ffi::OsString>, known: &HashSet<i64>) -> Result<()> {
        for name in names {
            let path = dir.join(&name);
            let text = name.to_str().unwrap_or_default();
            let text = if is_holders(text) { text.trim_end_matches(lock::HOLDERS) } else { text };
            let stem = [".lock", ".links", ".links-new"].iter().find_map(|ending| text.strip_suffix(ending));
            let number = stem.unwrap_or(text).parse::<i64>();
            match number {
                Ok(_) if is_holders(name.to_str().unwrap_or_default()) => self.directory(&path)?,
                Ok(_) if text.ends_with(".lock") => self.lock(&path)?,
                Ok(_) if stem.is_some() => self.owner(&path)?,
                Ok(number) if known.contains(&number) => self.directory(&path)?,
                Ok(_) => self.stray(&path, "the manifest does not know it"),
                Err(_) => self.stray(&path, "it is no lower tree"),
            }
        }
        Ok(())
    }
}

/// A directory beside a lock; only a store that was made so has them.
fn is_holders(name: &str) -> bool {
    lock::by_files() && name.ends_with(".lock.holders")
}

/// The store's own directory.
pub fn look_at_store(store: &Path) -> Result<Vec<Finding>> {
    let mut see = See { store, found: Vec::new() };
    for name in names(store)? {
        if name.to_str().is_some_and(|name| name == "lock" || name.ends_with(".lock")) {
            see.lock(&store.join(&name))?;
        }
    }
    for name in ["objects", "projects", "psfs"] {
        see.directory(&store.join(name))?;
    }
    if let Some((path, detail)) = library::fault(store)? {
        let inner = path.strip_prefix(store).unwrap_or(&path);
        // all of it goes: the next run writes it anew
        let whole: PathBuf = inner.iter().take(2).collect();
        let subject = Subject::File(whole.as_os_str().as_bytes().to_vec());
        see.found.push(Finding::new(What::PreloadBroken, subject, plain(inner.as_os_str()), detail));
    }
    Ok(see.found)
}

/// Whether a project that cannot be opened is one at all: being registered, it is not yet.
pub fn is_project(dir: &Path) -> bool {
    dir.join(db::NAME).exists() || crate::session::project::was_used(dir).unwrap_or(true)
}

fn names(dir: &Path) -> Result<Vec<std::ffi::OsString>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("read", dir)?,
    };
    let names = entries.map(|entry| Ok(entry.context("read", dir)?.file_name()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// All projects' directories.
pub fn projects(store: &Path) -> Result<Vec<PathBuf>> {
    let projects = store.join("projects");
    let dirs = names(&projects)?.into_iter().map(|name| projects.join(name));
    Ok(dirs.filter(|dir| !is_hidden(dir) && dir.is_dir()).collect())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_bytes().starts_with(b"."))
}
