//! The places of a view that are not the overlay's: `live`, `scratch`, `hide` and bound
//! directories. They are no part of any root: sync leaves them out, a session makes a
//! mount point where its head has none, take-in passes over them.
//!
//! Which paths the patterns mean is found by sync's walk of the host and recorded, so
//! that a start without one knows them. Patterns that are plain paths are looked at
//! anew at each start, because a walk enters neither an `own` nor a `live` directory.
//!
//! What the user cannot read has no place in a root either, and is mounted in the same way:
//! the host's own, read-only, so that it is there with its mode and its owner, and nobody
//! inside changes the host's by it.

pub mod stage;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::project::Project;
use super::sync::shown;
use super::sync::walk::{Mounted, Walked, may_be_mounted, split};
use crate::cas::Digest;
use crate::config::class::Class;
use crate::config::rules::{Plain, Rules};
use crate::error::{Context, Error, Result};
use crate::manifest::dir::{lookup, read_dir};

/// What sync's last walk found.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Tells whether the rules are still those it was found with.
    pub rules: String,
    pub found: Vec<Mounted>,
    /// What the user cannot read: it is shown as on the host.
    #[serde(default)]
    pub unreadable: Vec<Unreadable>,
    /// What is `tier1`, and what in it stays writable.
    #[serde(default)]
    pub tier1: Vec<Vec<u8>>,
    #[serde(default)]
    pub open: Vec<Vec<u8>>,
}

/// A path of the host that the user cannot read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unreadable {
    /// Relative.
    pub path: Vec<u8>,
    pub is_dir: bool,
}

/// How many unreadable paths are shown at most: each is a mount, about 20 µs of a start
/// and a descriptor while it is made.
const SHOWN: usize = 500;

/// The record's key in the manifest.
const KEY: &str = "mounts";

/// One mount of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Relative.
    pub path: Vec<u8>,
    pub what: What,
    pub is_dir: bool,
    /// It lies in another mount, of the host's: its place is the host's too.
    pub on_host: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Live,
    Scratch,
    Hide,
    /// A directory with a mount point for each of these snapshots.
    Snapshots(Vec<String>),
    Bind {
        source: PathBuf,
        read_only: bool,
    },
    /// The host's own, read-only: it cannot be read, so it is not in the workspace.
    AsOnHost,
}

impl Recorded {
    pub fn read(project: &Project) -> Result<Self> {
        let Some(text) = project.manifest.meta(KEY)? else {
            return Ok(Self { rules: Rules::default().fingerprint(), ..Self::default() });
        };
        serde_json::from_slice(&text).map_err(|_| Error::corrupt("the manifest's list of mounts is broken"))
    }

    /// Inside a transaction.
    pub fn write(&self, project: &Project) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::from).context("write", "mounts")?;
        project.manifest.set_meta(KEY, &text)
    }

    /// What is found now: by the walk, and by earlier ones in `own` directories, which
    /// are walked once only.
    pub fn after(&self, project: &Project, walked: &Walked) -> Self {
        let rules = &project.config.rules;
        let in_own = |path: &[u8]| walked.own.iter().any(|dir| is_below(path, dir));
        let holds = |known: &&Mounted| {
            let path = Path::new(OsStr::from_bytes(&known.path));
            in_own(&known.path)
                && rules.of_path(path, known.is_dir).is_some_and(|ruled| ruled.class == known.class)
                && kind_of(&project.root.join(path)).is_some()
        };
        let mut found: Vec<Mounted> =
            self.found.iter().filter(holds).chain(&walked.mounted).cloned().collect();
        found.sort_unstable();
        found.dedup();
        let denied = |known: &&Unreadable| in_own(&known.path) && known.is_denied(&project.root);
        let mut unreadable: Vec<Unreadable> = self.unreadable.iter().filter(denied).cloned().collect();
        let left_out = walked.left_out.iter().filter(|left| left.unreadable);
        unreadable.extend(left_out.map(|left| Unreadable { path: left.path.clone(), is_dir: left.is_dir }));
        unreadable.sort_unstable();
        unreadable.dedup();
        let sorted = |list: &[Vec<u8>]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        let (tier1, open) = (sorted(&walked.tier1), sorted(&walked.open));
        Self { rules: rules.fingerprint(), found, unreadable, tier1, open }
    }

    /// What is to be said where more cannot be read than is shown.
    pub fn not_shown(&self) -> Option<String> {
        let more = self.unreadable.len().checked_sub(SHOWN).filter(|more| *more > 0)?;
        Some(format!("{more} more paths cannot be read, and are not shown"))
    }

    /// Mounts at plain paths that no walk came to.
    pub fn unwalked(&self, project: &Project) -> Result<Vec<Mount>> {
        let plain = project.config.rules.plain();
        plain.filter_map(|plain| of_plain(project, &plain, &self.found).transpose()).collect()
    }
}

/// The paths that mounts cover, as last recorded and as configured: what lies at or below
/// them is no change of the workspace's.
pub fn covered(project: &Project) -> Result<Vec<Vec<u8>>> {
    let recorded = Recorded::read(project)?;
    let unwalked = recorded.unwalked(project).unwrap_or_default(); // a run will say what is wrong
    let binds = project.config.binds.iter().map(|bind| bind.target.clone().into_bytes());
    let found = recorded.found.into_iter().map(|found| found.path);
    Ok(found.chain(unwalked.into_iter().map(|mount| mount.path)).chain(binds).collect())
}

/// The mounts of a session of this project, in the order in which they are made.
/// `submounts`: mount points of the host below the project, relative.
pub fn of_session(project: &Project, submounts: &[Vec<u8>]) -> Result<Vec<Mount>> {
    let recorded = Recorded::read(project)?;
    let rules = &project.config.rules;
    let main = project.manifest.workspace(crate::manifest::workspace::MAIN)?;
    let seen = main.is_some_and(|main| main.head.is_some());
    if seen && recorded.rules != rules.fingerprint() {
        return Err(Error::failure("the rules for paths have changed since the host was last looked at")
            .with_hint("run once without --no-sync, or: vrift sync"));
    }
    let mut mounts: Vec<Mount> = recorded.found.iter().map(Mount::of_found).collect();
    mounts.extend(recorded.unwalked(project)?);
    for bind in &project.config.binds {
        let (path, source) = (bind.target.clone().into_bytes(), bind.source.clone());
        let is_dir = source.metadata().context("bind", &source)?.is_dir();
        if !is_dir {
            return Err(Error::failure(format!("`{}` is a file and cannot be bound", source.display()))
                .with_hint("bind the directory it is in"));
        }
        let real = std::fs::canonicalize(&source).context("bind", &source)?;
        if project.store.root().starts_with(&real) || real.starts_with(project.store.root()) {
            return Err(Error::failure(format!(
                "`{}` has the store in it, which nobody inside may reach",
                source.display()
            ))
            .with_hint("bind a directory beside the store"));
        }
        if real.starts_with(&project.root) {
            return Err(Error::failure(format!("`{}` lies in the project", source.display()))
                .with_hint("`paths.live` shows a directory of the project as it is on the host"));
        }
        let what = What::Bind { source, read_only: bind.read_only };
        mounts.push(Mount { path, what, is_dir, on_host: false });
    }
    for unreadable in recorded.unreadable.into_iter().take(SHOWN) {
        let Unreadable { path, is_dir } = unreadable;
        mounts.push(Mount { path, what: What::AsOnHost, is_dir, on_host: false });
    }
    arrange(project, mounts, submounts)
}

/// The names of one directory.
type Names = HashSet<Vec<u8>>;

/// Drops what cannot be read on the host where a root has something of its own: what was
/// left out is not deleted (rule 4), and has a place only where its directory is.
pub fn drop_known(project: &Project, root: &Digest, mounts: &mut Vec<Mount>) -> Result<()> {
    let mut wanted = Vec::with_capacity(mounts.len());
    // neighbours share their directory: its names, if it is one
    let mut last: Option<(Vec<u8>, Option<Names>)> = None;
    for mount in mounts.drain(..) {
        if mount.what != What::AsOnHost {
            wanted.push(mount);
            continue;
        }
        let (dir, name) = split(&mount.path);
        if last.as_ref().is_none_or(|(known, _)| known != dir) {
            last = Some((dir.to_vec(), names_in(project, root, dir)?));
        }
        let names = last.as_ref().and_then(|(_, names)| names.as_ref());
        if names.is_some_and(|names| !names.contains(name)) {
            wanted.push(mount);
        }
    }
    *mounts = wanted;
    Ok(())
}

/// The names in a root's directory; `None`: it has none at that path.
fn names_in(project: &Project, root: &Digest, dir: &[u8]) -> Result<Option<Names>> {
    let tree = lookup(&project.manifest, root, dir)?.and_then(|entry| entry.tree());
    let entries = tree.map(|tree| read_dir(&project.manifest, &tree)).transpose()?;
    Ok(entries.map(|entries| entries.into_iter().map(|entry| entry.name).collect()))
}

impl Unreadable {
    /// Whether it is there and still cannot be read.
    fn is_denied(&self, root: &Path) -> bool {
        let wanted = if self.is_dir { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
        let path = root.join(OsStr::from_bytes(&self.path));
        rustix::fs::accessat(CWD, path, wanted, AtFlags::EACCESS) == Err(Errno::ACCESS)
    }
}

impl Mount {
    fn of_found(found: &Mounted) -> Self {
        let what = match found.class {
            Class::Live => What::Live,
            Class::Scratch => What::Scratch,
            _ => What::Hide,
        };
        Self { path: found.path.clone(), what, is_dir: found.is_dir, on_host: false }
    }
}

/// A plain path that the walk did not find: it is not on the host, or was not walked to.
fn of_plain(project: &Project, plain: &Plain<'_>, found: &[Mounted]) -> Result<Option<Mount>> {
    let path = plain.path.as_bytes();
    let known = |found: &&Mounted| {
        let tail = || found.path.ends_with(&[b"/", path].concat());
        found.class == plain.class && (found.path == path || (!plain.anchored && tail()))
    };
    if found.iter().any(|found| known(&found)) {
        return Ok(None);
    }
    let kind = kind_of(&project.root.join(plain.path));
    let is_dir = kind.is_none_or(|kind| kind == FileType::Directory);
    let rules = &project.config.rules;
    let ruled = rules.of_path(Path::new(plain.path), is_dir).map(|ruled| ruled.class);
    let git = plain.path.split('/').any(|part| part == ".git");
    if ruled != Some(plain.class) || (git && plain.class != Class::Hide) {
        return Ok(None); // a stronger list says otherwise
    }
    match kind {
        Some(kind) if !may_be_mounted(plain.class, path, kind)? => return Ok(None),
        Some(_) => {}
        None if plain.class == Class::Scratch => {}
        None if plain.class == Class::Live => {
            return Err(Error::failure(format!("the `live` directory {} is not on the host", shown(path)))
                .with_hint("make it, or take it out of `paths.live`"));
        }
        None => {
            // Only what the workspace itself has can be there.
            let Some(entry) = head_entry(project, path)? else { return Ok(None) };
            let mounted = Mounted { path: path.to_vec(), class: plain.class, is_dir: entry };
            return Ok(Some(Mount::of_found(&mounted)));
        }
    }
    Ok(Some(Mount::of_found(&Mounted { path: path.to_vec(), class: plain.class, is_dir })))
}

/// Whether the head of `main` has a directory at a path; `None`: it has nothing there.
fn head_entry(project: &Project, path: &[u8]) -> Result<Option<bool>> {
    let main = project.manifest.workspace(crate::manifest::workspace::MAIN)?;
    let Some(head) = main.and_then(|main| main.head) else { return Ok(None) };
    let entry = lookup(&project.manifest, &head, path)?;
    Ok(entry.map(|entry| entry.is_dir()))
}

/// Outer mounts first; what lies in an empty one is not there at all.
fn arrange(project: &Project, mut mounts: Vec<Mount>, submounts: &[Vec<u8>]) -> Result<Vec<Mount>> {
    mounts.sort_by(|a, b| a.path.cmp(&b.path));
    mounts.dedup_by(|b, a| a.path == b.path);
    let mut arranged: Vec<Mount> = Vec::new();
    for mut mount in mounts {
        let outer: Vec<&Mount> = arranged.iter().filter(|outer| is_below(&mount.path, &outer.path)).collect();
        if outer.iter().any(|outer| matches!(outer.what, What::Scratch | What::Hide)) {
            continue;
        }
        let in_other = !outer.is_empty() || submounts.iter().any(|point| is_below(&mount.path, point));
        if in_other && mount.what == What::AsOnHost {
            continue; // part of the outer one
        }
        mount.on_host = in_other;
        if mount.on_host {
            match (&mount.what, kind_of(&project.root.join(OsStr::from_bytes(&mount.path)))) {
                (What::Live, _) if !outer.is_empty() => continue, // part of the outer one
                (_, Some(kind)) => mount.is_dir = kind == FileType::Directory,
                (What::Hide, None) => continue,
                (_, None) => {
                    return Err(Error::failure(format!(
                        "{} has no place in the mount that it lies in",
                        shown(&mount.path)
                    ))
                    .with_hint("make the directory on the host"));
                }
            }
        }
        arranged.push(mount);
    }
    Ok(arranged)
}

/// True when `path` lies in `dir`.
pub fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with(b"/"))
}

fn kind_of(path: &Path) -> Option<FileType> {
    let stat = rustix::fs::lstat(path).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}
