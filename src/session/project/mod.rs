//! Which project a command is about, and its place in the store.

pub mod choice;
pub mod identity;
pub mod registry;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::choice::{choose, project_id, registered_above};
use crate::cas::Store;
use crate::config::class::Class;
use crate::config::{Config, Setting};
use crate::error::{Context, Error, Result, quoted, shell_word};
use crate::manifest::workspace::MAIN;
use crate::manifest::{Manifest, db};
use crate::os::failpoint;
use crate::os::mkdir;
use crate::session::sync::explain::explain;
use crate::session::sync::shown;

/// What workspaces have to themselves beside their states, by their numbers, in a project's directory.
pub const OWN: &str = "own";

/// The digest of the `vrift.toml` that was allowed.
const ALLOWED: &str = "allowed";

/// Where a registered host directory and its state are.
pub struct Place {
    /// The directory's real path: where the view is mounted.
    pub root: PathBuf,
    /// `STORE/projects/<id>`.
    pub dir: PathBuf,
    pub store: Store,
    /// What is set for the project; nothing unless it was asked for.
    pub config: Arc<Config>,
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
        let start = directory(start)?;
        let choice = choose(Some(&store), &start);
        if !choice.registered {
            choice.check(store.root(), Some(&store), &start, named)?;
        }
        Self::open(store, choice.root, !choice.registered)
    }

    /// The same without registering anything: a project that is not known yet is as it
    /// would begin, and nothing of it is kept.
    pub fn find_or_imagine(store: Store, start: &Path, named: bool) -> Result<Self> {
        let start = directory(start)?;
        let choice = choose(Some(&store), &start);
        if choice.registered {
            return Self::open(store, choice.root, false);
        }
        choice.check(store.root(), Some(&store), &start, named)?;
        let dir = store.projects_path().join(project_id(&choice.root));
        let manifest = Manifest::of_nothing(&dir)?;
        manifest.create_workspace(MAIN)?;
        let identity = identity::of(&choice.root)?;
        let place = Place { root: choice.root, dir, store, config: Arc::default(), identity };
        Ok(Self { place, manifest, registered_now: false })
    }

    /// Whether `start` lies in a project that is registered.
    pub fn is_known(store: &Store, start: &Path) -> Result<bool> {
        Ok(choose(Some(store), &directory(start)?).registered)
    }

    /// Refuses a first project that cannot be one before a store is made for it at `place`.
    pub fn may_begin(place: &Path, start: &Path, named: bool) -> Result<()> {
        let start = directory(start)?;
        choose(None, &start).check(place, None, &start, named)
    }

    /// The root of the project that `start` lies in, and the digest of the configuration
    /// that was allowed; nothing is registered.
    pub fn look(store: Option<Store>, start: &Path) -> Result<(PathBuf, Option<Vec<u8>>)> {
        let choice = choose(store.as_ref(), &directory(start)?);
        let allowed = match store.filter(|_| choice.registered) {
            Some(store) => Self::open(store, choice.root.clone(), false)?.manifest.meta(ALLOWED)?,
            None => None,
        };
        Ok((choice.root, allowed))
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

    /// A project by its directory's name in the store, as its manifest has it, whether the
    /// directory on the host is still there or not. `None`: nothing is recorded of it.
    pub fn of_store(store: &Store, id: &str) -> Result<Option<Self>> {
        let dir = store.projects_path().join(id);
        let manifest = Manifest::open_in(store, &dir)?;
        let Some(root) = identity::path_of(&manifest)? else { return Ok(None) };
        let again = Store::open_to_read(store.root())?.ok_or_else(|| gone(store.root()))?;
        let identity = identity::of(&root).unwrap_or_default();
        let place = Place { root, dir, store: again, config: Arc::default(), identity };
        Ok(Some(Self { place, manifest, registered_now: false }))
    }

    fn open(store: Store, root: PathBuf, register: bool) -> Result<Self> {
        let dir = store.projects_path().join(project_id(&root));
        if register {
            for name in ["base", "layers", "staging", "vdir"] {
                mkdir::private(&dir.join(name))?;
            }
        }
        if register {
            failpoint::at("project.begun").context("register", &dir)?;
        }
        // the order of these two: whoever makes a base has made the manifest before
        if register && was_used(&dir)? && !dir.join(db::NAME).exists() {
            return Err(lost(&dir));
        }
        let manifest = Manifest::open_in(&store, &dir)?;
        let identity = identity::of(&root)?;
        let place = Place { root, dir, store, config: Arc::default(), identity };
        let project = Self { place, manifest, registered_now: register };
        // All of it or nothing: whoever finds a manifest without a path finishes what
        // another process has just begun, or was killed in.
        match identity::path_of(&project.manifest)? {
            None => identity::record(&project.manifest, &project.root, |manifest| {
                if identity::path_of(manifest)?.is_none() && was_used(&project.dir)? {
                    return Err(lost(&project.dir));
                }
                manifest.create_workspace(MAIN).map(drop)
            })?,
            Some(known) => identity::check(&project.manifest, &project.root, &known)?,
        }
        Ok(project)
    }

    /// Reads what is set for the project; `flags` are `KEY=VALUE`.
    pub fn configure(&mut self, flags: &[String]) -> Result<()> {
        let allowed = self.manifest.meta(ALLOWED)?;
        self.place.config = Arc::new(Config::load(&self.place.root, flags, allowed.as_deref())?);
        Ok(())
    }

    /// Lets runs write to the repositories that `.git` files of the project name.
    pub fn share_git(&mut self) {
        if let Some(config) = Arc::get_mut(&mut self.place.config) {
            config.git_shared = true;
        }
    }

    /// Adds what this command's options say about a run, and lets a profile count.
    pub fn choose(&mut self, profile: Option<&str>, options: Vec<Setting>) -> Result<()> {
        match Arc::get_mut(&mut self.place.config) {
            Some(config) => config.choose(profile, options),
            None => Ok(()),
        }
    }

    /// Lets `own` directories (relative) start empty. Returns those that have begun already.
    pub fn start_cold(&mut self, dirs: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        let Some(config) = Arc::get_mut(&mut self.place.config) else { return Ok(Vec::new()) };
        for dir in &dirs {
            let found = explain(&self.place.root, config, dir, true);
            if found.class != Class::Own || found.path != *dir {
                let (path, class) = (shown(dir), found.class.name());
                let message =
                    format!("{path} is no `own` directory by itself: it is `{class}` by {}", found.rule);
                return Err(Error::failure(message)
                    .with_hint("list it: [paths] own = […] in vrift.toml, or --config paths.own=DIR"));
            }
        }
        let main = self.manifest.known_workspace(MAIN)?;
        config.cold.clone_from(&dirs);
        Ok(if main.head.is_some() { dirs } else { Vec::new() })
    }

    /// Lets `vrift.toml` as it is now reach beyond the project.
    pub fn allow(&self) -> Result<()> {
        self.manifest.set_meta(ALLOWED, self.config.file.as_deref().unwrap_or_default().as_bytes())
    }

    /// Closes the manifest, so that a child process may open it (db.rs).
    pub fn close(self) -> Place {
        self.place
    }
}

impl Place {
    /// The state of the project at `root`, for who looks after that alone: the directory may
    /// be gone.
    pub fn of_state(store: &Store, dir: &Path, root: PathBuf) -> Result<Self> {
        let identity = identity::of(&root).unwrap_or_default();
        let place = Self {
            root,
            dir: dir.to_path_buf(),
            store: Store::open(store.root())?.ok_or_else(|| gone(store.root()))?,
            config: Arc::default(),
            identity,
        };
        Ok(place)
    }

    /// The same place with descriptors of its own, for a child process.
    pub fn again(&self) -> Result<Self> {
        let root = self.store.root();
        let store = Store::open(root)?.ok_or_else(|| gone(root))?;
        Ok(Self {
            root: self.root.clone(),
            dir: self.dir.clone(),
            store,
            config: self.config.clone(),
            identity: self.identity,
        })
    }

    /// False when the directory was renamed, replaced or removed since this command
    /// began: the view is at its old path, and outside of it nothing is (rule 21).
    pub fn is_where_it_was(&self) -> bool {
        identity::of(&self.root).is_ok_and(|now| now == self.identity)
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

    /// What a base has linked, where its files are links to objects.
    pub fn base_links(&self, base: i64) -> PathBuf {
        self.dir.join("base").join(format!("{base}.links"))
    }

    pub fn layer_path(&self, layer: i64) -> PathBuf {
        self.dir.join("layers").join(layer.to_string())
    }

    pub fn layer_lock(&self, layer: i64) -> PathBuf {
        self.dir.join("layers").join(format!("{layer}.lock"))
    }

    pub fn staging(&self) -> PathBuf {
        self.dir.join("staging")
    }

    /// What a workspace has to itself beside its states.
    pub fn own(&self, workspace: i64) -> PathBuf {
        self.dir.join(OWN).join(workspace.to_string())
    }

    /// Held exclusively for the life of a workspace's session; its content names the
    /// session. One file per workspace, so that opening and joining cannot race.
    pub fn session_lock(&self, workspace: i64) -> PathBuf {
        self.staging().join(format!("{workspace}.lock"))
    }
}

fn gone(store: &Path) -> Error {
    Error::failure(format!("the store `{}` is gone", store.display()))
}

/// A project's directory in the store has lower trees.
pub fn was_used(dir: &Path) -> Result<bool> {
    match std::fs::read_dir(dir.join("base")) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read directory", dir.join("base"), &error)),
    }
}

/// A manifest that knows nothing, where lower trees are, was deleted or emptied: what they
/// show must not be taken for nothing.
fn lost(dir: &Path) -> Error {
    let manifest = quoted(dir.join(db::NAME).as_os_str());
    let message = format!("the manifest {manifest} is gone or empty, but the project was used before");
    Error::corrupt(message).with_hint(format!(
        "bring it back from a backup (and remove {}-wal), or start anew: mv {} somewhere-else",
        db::NAME,
        shell_word(dir)
    ))
}

/// The real path of a directory that a command starts from.
fn directory(start: &Path) -> Result<PathBuf> {
    let real = std::fs::canonicalize(start).context("go to", start)?;
    if real.is_dir() {
        return Ok(real);
    }
    Err(Error::failure(format!("{} is not a directory", quoted(start.as_os_str())))
        .with_hint("name the project's directory with -C DIR"))
}
