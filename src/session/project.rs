//! Which project a command is about, and its place in the store.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cas::{Digest, Store};
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Manifest;
use crate::manifest::workspace::MAIN;
use crate::os::mkdir;
use crate::paths;

/// A directory is refused as a project nobody named when it holds more than this.
const GUESS_FILES: u64 = 20_000;
const GUESS_BYTES: u64 = 2 << 30;

/// Where a registered host directory and its state are.
pub struct Place {
    /// The directory's real path: where the view is mounted.
    pub root: PathBuf,
    /// `STORE/projects/<id>`.
    pub dir: PathBuf,
    pub store: Store,
    /// Device and inode that `root` had when this command began.
    identity: (u64, u64),
}

/// A place with its manifest open.
pub struct Project {
    pub place: Place,
    pub manifest: Manifest,
    /// It was registered by this very command.
    pub registered_now: bool,
}

impl Deref for Project {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Project {
    /// The project that `start` lies in: the nearest registered ancestor, else the
    /// nearest one with `vrift.toml` or `.git`, else `start` itself, which is
    /// registered. `named`: the user said this directory.
    pub fn find_or_register(store: Store, start: &Path, named: bool) -> Result<Self> {
        let start = std::fs::canonicalize(start).context("go to", start)?;
        if !start.is_dir() {
            return Err(Error::failure(format!("`{}` is not a directory", start.display()))
                .with_hint("name the project's directory with -C DIR"));
        }
        if let Some(root) = registered_above(&store, &start) {
            return Self::open(store, root, false);
        }
        let marked = start.ancestors().find(|dir| is_marked(dir));
        let root = marked.unwrap_or(&start).to_path_buf();
        refuse_unsuitable(&store, &root)?;
        if marked.is_none() && !named {
            refuse_large_guess(&root)?;
        }
        Self::open(store, root, true)
    }

    /// The registered project that `start` lies in.
    pub fn find(store: Store, start: &Path) -> Result<Self> {
        let start = std::fs::canonicalize(start).context("go to", start)?;
        match registered_above(&store, &start) {
            Some(root) => Self::open(store, root, false),
            None => Err(Error::failure(format!("`{}` is in no project of this store", start.display()))
                .with_hint("start with: vrift exec COMMAND (in the project's directory)")),
        }
    }

    fn open(store: Store, root: PathBuf, register: bool) -> Result<Self> {
        let dir = store.projects_path().join(project_id(&root));
        if register {
            for name in ["base", "layers", "staging", "vdir"] {
                mkdir::private(&dir.join(name))?;
            }
        }
        let manifest = Manifest::open(&dir)?;
        let metadata = root.metadata().context("stat", &root)?;
        let place = Place { root, dir, store, identity: (metadata.dev(), metadata.ino()) };
        let project = Self { place, manifest, registered_now: register };
        project.check_identity()?;
        Ok(project)
    }

    /// Closes the manifest, so that a child process may open it (db.rs).
    pub fn close(self) -> Place {
        self.place
    }

    /// Registers the project, all of it or nothing: whoever finds a manifest without a
    /// path finishes what another process has just begun, or was killed in.
    fn register(&self) -> Result<()> {
        let (device, inode) = self.identity;
        self.manifest.transaction(|manifest| {
            manifest.set_meta("path", self.root.as_os_str().as_bytes())?;
            manifest.set_meta("inode", inode.to_string().as_bytes())?;
            manifest.set_meta("device", device.to_string().as_bytes())?;
            manifest.create_workspace(MAIN).map(drop)
        })
    }

    /// A project is its directory, not its path: one that was replaced is not taken
    /// for the old one.
    fn check_identity(&self) -> Result<()> {
        let Some(path) = self.manifest.meta("path")? else {
            return self.register();
        };
        let known = PathBuf::from(std::ffi::OsString::from_vec(path));
        if known != self.root {
            let message = format!("two paths have one name in the store: `{}`", known.display());
            return Err(Error::new(Kind::Corrupt, message));
        }
        let same = |key: &str, number: u64| -> Result<bool> {
            Ok(self.manifest.meta(key)?.is_none_or(|value| value == number.to_string().as_bytes()))
        };
        // The device's number may change at boot; the directory's inode does not.
        if !same("inode", self.identity.1)? {
            return Err(self.replaced());
        }
        Ok(())
    }

    fn replaced(&self) -> Error {
        Error::failure(format!(
            "`{}` is not the directory that was registered: it was replaced by another one",
            self.root.display()
        ))
        .with_hint(format!(
            "to start anew, move its state away: mv {dir} {dir}.old",
            dir = self.dir.display()
        ))
    }
}

impl Place {
    /// The same place with descriptors of its own, for a child process.
    pub fn again(&self) -> Result<Self> {
        let root = self.store.root();
        let store = Store::open(root)?
            .ok_or_else(|| Error::failure(format!("the store `{}` is gone", root.display())))?;
        Ok(Self { root: self.root.clone(), dir: self.dir.clone(), store, identity: self.identity })
    }

    /// False when the directory was renamed, replaced or removed since this command
    /// began: the view is at its old path, and outside of it nothing is (rule 21).
    pub fn is_where_it_was(&self) -> bool {
        self.root.metadata().is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity)
    }

    /// Opens the manifest again.
    pub fn open(self) -> Result<Project> {
        let manifest = Manifest::open(&self.dir)?;
        Ok(Project { place: self, manifest, registered_now: false })
    }

    pub fn host_lock(&self) -> PathBuf {
        self.dir.join("host.lock")
    }

    /// Held exclusively from the walk of the host directory to the commit of what it saw.
    pub fn sync_lock(&self) -> PathBuf {
        self.dir.join("sync.lock")
    }

    pub fn base_path(&self, base: i64) -> PathBuf {
        self.dir.join("base").join(base.to_string())
    }

    pub fn base_lock(&self, base: i64) -> PathBuf {
        self.dir.join("base").join(format!("{base}.lock"))
    }

    pub fn staging(&self) -> PathBuf {
        self.dir.join("staging")
    }

    /// Held exclusively for the life of a workspace's session; its content names the
    /// session. One file per workspace, so that opening and joining cannot race.
    pub fn session_lock(&self, workspace: i64) -> PathBuf {
        self.staging().join(format!("{workspace}.lock"))
    }
}

/// The name of a project's directory below `projects/`: 22 characters made from its
/// real path, so that finding a project needs no list of them.
fn project_id(root: &Path) -> String {
    Digest::of(root.as_os_str().as_bytes()).object_path().replace('/', "")
}

fn registered_above(store: &Store, start: &Path) -> Option<PathBuf> {
    let projects = store.projects_path();
    let registered = |dir: &&Path| projects.join(project_id(dir)).join(crate::manifest::db::NAME).exists();
    start.ancestors().find(registered).map(Path::to_path_buf)
}

/// A `.git` file (a worktree, a submodule) is no project root by itself.
fn is_marked(dir: &Path) -> bool {
    dir.join("vrift.toml").is_file() || dir.join(".git").is_dir()
}

fn refuse_unsuitable(store: &Store, root: &Path) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::failure(format!("`{}` cannot be a project: {why}", root.display()))
            .with_hint("go to a project's directory, or name one with -C DIR"))
    };
    let home = paths::home().and_then(|home| std::fs::canonicalize(home).ok());
    let stored = std::fs::canonicalize(store.root()).context("resolve", store.root())?;
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

/// Nothing marks the directory as a project: it must at least be small.
fn refuse_large_guess(root: &Path) -> Result<()> {
    let (mut files, mut bytes) = (0u64, 0u64);
    for entry in walkdir::WalkDir::new(root).same_file_system(true).into_iter().flatten() {
        files += 1;
        if entry.file_type().is_file() {
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
        if files > GUESS_FILES || bytes > GUESS_BYTES {
            return Err(Error::failure(format!(
                "`{}` is large and nothing marks it as a project",
                root.display()
            ))
            .with_hint(format!(
                "if it is one, say so: vrift -C {} … (or put an empty vrift.toml there)",
                root.display()
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
