//! Which directory a command is about.
//!
//! The nearest registered ancestor; else the nearest ancestor with `vrift.toml` or a
//! `.git` directory; else the directory itself, unless it is large. What can be no
//! project is refused, and so is an ancestor of a registered one that nobody named.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::registry;
use crate::cas::{Digest, Store};
use crate::config;
use crate::error::{Error, Result, quoted, shell_word};
use crate::paths;

/// A directory is refused as a project nobody named when it holds more than this.
const GUESS_FILES: u64 = 20_000;
const GUESS_BYTES: u64 = 2 << 30;

/// A project's root, and whether it is registered.
pub struct Choice {
    pub root: PathBuf,
    pub registered: bool,
    /// Nothing but where the user is speaks for it.
    guessed: bool,
}

/// The project that `start` (a real path) lies in.
pub fn choose(store: Option<&Store>, start: &Path) -> Choice {
    if let Some(root) = store.and_then(|store| registered_above(store, start)) {
        return Choice { root, registered: true, guessed: false };
    }
    let marked = start.ancestors().find(|dir| is_marked(dir));
    Choice { root: marked.unwrap_or(start).to_path_buf(), registered: false, guessed: marked.is_none() }
}

impl Choice {
    /// Refuses what must not be registered. `named`: the user said the directory `start`;
    /// `store` is the store at `place`, if there is one already.
    pub fn check(&self, place: &Path, store: Option<&Store>, start: &Path, named: bool) -> Result<()> {
        refuse_unsuitable(place, &self.root)?;
        let this_named = named && self.root == start;
        if let Some(store) = store.filter(|_| !this_named) {
            refuse_ancestor(store, &self.root)?;
        }
        if self.guessed && !this_named { refuse_large_guess(&self.root) } else { Ok(()) }
    }
}

/// The name of a project's directory below `projects/`: 22 characters made from its
/// real path, so that finding a project needs no list of them.
pub fn project_id(root: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    Digest::of(root.as_os_str().as_bytes()).object_path().replace('/', "")
}

pub fn registered_above(store: &Store, start: &Path) -> Option<PathBuf> {
    let projects = store.projects_path();
    let registered = |dir: &&Path| projects.join(project_id(dir)).join(crate::manifest::db::NAME).exists();
    start.ancestors().find(registered).map(Path::to_path_buf)
}

/// A `.git` file (a worktree, a submodule) is no project root by itself.
fn is_marked(dir: &Path) -> bool {
    dir.join(config::NAME).is_file() || dir.join(".git").is_dir()
}

/// `place` is the store's directory, there or not.
pub fn refuse_unsuitable(place: &Path, root: &Path) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::failure(format!("{} cannot be a project: {why}", quoted(root.as_os_str())))
            .with_hint("go to a project's directory, or name one with -C DIR"))
    };
    let home = paths::home().and_then(|home| std::fs::canonicalize(home).ok());
    let stored = paths::resolve_existing(place)?;
    if root == Path::new("/") {
        return refused("it is the root directory");
    }
    if home.as_deref() == Some(root) {
        return refused("it is your home directory");
    }
    if stored.starts_with(root) {
        return refused("the store lies in it");
    }
    if root.starts_with(&stored) {
        return refused("it lies in the store");
    }
    if root.as_os_str() == OsStr::new("/proc") || root.starts_with("/proc") || root.starts_with("/sys") {
        return refused("it is not a directory of files");
    }
    Ok(())
}

/// Its view would contain the other project's directory, with a state of its own.
fn refuse_ancestor(store: &Store, root: &Path) -> Result<()> {
    let below = registry::list(store)?
        .into_iter()
        .filter_map(|known| known.root)
        .find(|known| known != root && known.starts_with(root));
    let Some(below) = below else { return Ok(()) };
    let (shown, inner) = (quoted(root.as_os_str()), quoted(below.as_os_str()));
    Err(Error::failure(format!("{shown} contains {inner}, which is a project already"))
        .with_hint(format!("go to {inner}, or name the outer one: vrift -C {} …", shell_word(root))))
}

/// Nothing marks the directory as a project: it must at least be small.
fn refuse_large_guess(root: &Path) -> Result<()> {
    let (mut files, mut bytes) = (0u64, 0u64);
    for entry in walkdir::WalkDir::new(root).same_file_system(true).into_iter().flatten() {
        files += 1;
        if entry.file_type().is_file() {
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
        if files > GUESS_FILES || bytes > GUESS_BYTES {
            let shown = quoted(root.as_os_str());
            return Err(Error::failure(format!("{shown} is large and nothing marks it as a project"))
                .with_hint(format!(
                    "if it is one, say so: vrift -C {} … (or put an empty vrift.toml there)",
                    shell_word(root)
                )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_id_is_a_plain_file_name() {
        let id = project_id(Path::new("/home/me/project"));
        assert_eq!(id.len(), 22);
        assert_ne!(id, project_id(Path::new("/home/me/project2")));
    }
}
