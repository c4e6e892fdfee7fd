//! The tables of a session: what the preload library may answer for, and from which files.
//!
//! A table is made once for a base and generation, and for what is declared in it, by whoever opens
//! a session that needs it: the base's lock is held, so the base stays as the table says (rule 28).
//! A directory is left out where the view may show something else than the base: a layer or a mount
//! is in the way; and, for a root caller, whose commands may become other users, where one
//! of those could be kept from getting there.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mountinfo;
use super::mounts::is_below;
use super::plan::Scene;
use super::project::Project;
use super::stack::Ready;
use crate::error::{Context, Result};
use crate::ns::plan::{ReadOnly, c_path};
use crate::os::dir::Dir;
use crate::os::{mkdir, xattr};
use crate::overlay::projection::{HARDLINK, STUB, TIER1};
use crate::psfs::page::{ROOTS, TABLES};
use crate::psfs::sight::Seen;
use crate::psfs::table::{Wanted, publish};

/// The directory of tables in a project's.
pub const DIR: &str = "vdir";

/// Tables, and the directories that they are of.
#[derive(Debug, Default)]
pub struct Tables {
    pub files: Vec<PathBuf>,
    pub roots: Vec<Seen>,
}

/// A directory that is declared not to change, and what of it is shown otherwise.
struct Declared {
    path: PathBuf,
    /// Relative to its base.
    below: Vec<u8>,
    except: Vec<Vec<u8>>,
}

/// The tables for what a session shows, which are made where they are not there yet.
pub fn ready(project: &Project, ready: &Ready, scene: &Scene) -> Result<Tables> {
    let mut tables = Tables::default();
    let points = mountinfo::below(&scene.mounted, &project.root)?;
    let submounts: Vec<Vec<u8>> =
        points.iter().filter_map(|point| mountinfo::relative_to(point, &project.root)).collect();
    let declared = scene.tier1.iter().filter_map(|root| declared_inside(project, root));
    let is_plain = |root: &Declared| {
        let in_the_way = |at: &[u8]| {
            let overlaps = at == root.below || is_below(at, &root.below) || is_below(&root.below, at);
            overlaps && !root.except.iter().any(|except| at == except || is_below(at, except))
        };
        !scene.mounts.iter().any(|mount| in_the_way(&mount.path))
            && !submounts.iter().any(|at| in_the_way(at))
            && ready.layers.iter().all(|layer| is_untouched(&project.layer_path(*layer), &root.below))
            && everybody_gets_to(&root.path)
    };
    let declared: Vec<Declared> = declared.filter(is_plain).take(ROOTS).collect();
    add(project, &mut tables, ready.base, declared)?;
    for outside in &scene.outside {
        if everybody_gets_to(&outside.path) {
            let root = Declared { path: outside.path.clone(), below: Vec::new(), except: Vec::new() };
            add(project, &mut tables, outside.base, vec![root])?;
        }
    }
    Ok(tables)
}

fn declared_inside(project: &Project, root: &ReadOnly) -> Option<Declared> {
    let relative = |path: &std::ffi::CStr| {
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        Some(path.strip_prefix(&project.root).ok()?.as_os_str().as_bytes().to_vec())
    };
    Some(Declared {
        path: OsStr::from_bytes(root.path.to_bytes()).into(),
        below: relative(&root.path)?,
        except: root.but.iter().filter_map(|path| relative(path)).collect(),
    })
}

/// Adds directories of one base, by the table of it.
fn add(project: &Project, tables: &mut Tables, base: i64, declared: Vec<Declared>) -> Result<()> {
    let full = tables.files.len() == TABLES.len() || tables.roots.len() + declared.len() > ROOTS;
    let Some(known) = project.manifest.base(base)?.filter(|_| !full && !declared.is_empty()) else {
        return Ok(());
    };
    let dir = project.dir.join(DIR);
    mkdir::private(&dir)?;
    let objects = Dir::open(&project.store.root().join("objects"))?;
    let roots: Vec<Vec<u8>> = declared.iter().map(|root| root.below.clone()).collect();
    let except: Vec<Vec<u8>> = declared.iter().flat_map(|root| root.except.clone()).collect();
    let at = project.base_path(base);
    let wanted = Wanted {
        base: &at,
        version: (base, known.generation),
        roots: &roots,
        except: &except,
        objects: (known.projection == STUB).then(|| objects.as_fd()),
        coarse: [HARDLINK, TIER1].contains(&known.projection.as_str()),
    };
    // by what it is made of too: another session may be about to show the one of another configuration
    let version = format!("{base}-{}-", known.generation);
    let path = dir.join(format!("{version}{:.8}.vdir", wanted.digest().hex()));
    publish(&path, &wanted)?;
    drop_others(&dir, base, Some(&version))?;
    let table = u32::try_from(tables.files.len()).unwrap_or(u32::MAX);
    tables.files.push(path);
    for (number, root) in (0..).zip(declared) {
        tables.roots.push(Seen { path: c_path(&root.path)?, table, number });
    }
    Ok(())
}

/// Removes the tables of a base, but for those of one generation. Who is shown one keeps it.
pub fn drop_others(dir: &Path, base: i64, but: Option<&str>) -> Result<()> {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if base_of(&name) != Some(base) || but.is_some_and(|but| name.starts_with(but)) {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.context("remove", entry.path())?,
        }
    }
    Ok(())
}

/// The base whose table has this name.
pub fn base_of(name: &str) -> Option<i64> {
    let mut parts = name.strip_suffix(".vdir")?.split('-');
    let base = parts.next()?.parse().ok()?;
    let rest: Vec<&str> = parts.collect();
    let is_version =
        matches!(rest[..], [generation, digest] if generation.parse::<i64>().is_ok() && digest.len() == 8);
    is_version.then_some(base)
}

/// Whether a layer has nothing at a path, and nothing that hides what is below it.
fn is_untouched(layer: &Path, path: &[u8]) -> bool {
    let mut at = layer.to_path_buf();
    for name in path.split(|byte| *byte == b'/') {
        at.push(OsStr::from_bytes(name));
        match at.symlink_metadata() {
            Err(error) => return error.kind() == ErrorKind::NotFound,
            Ok(meta) if !meta.is_dir() => return false,
            Ok(_) => {}
        }
        let opaque = Dir::open(&at).map(|dir| xattr::get(dir, c"user.overlay.opaque"));
        if !matches!(opaque, Ok(Ok(None))) {
            return false;
        }
    }
    false
}

/// Whether whoever a command may become gets to a directory: an ordinary user's is nobody else.
fn everybody_gets_to(path: &Path) -> bool {
    let is_open = |dir: &Path| dir.metadata().is_ok_and(|meta| meta.mode() & 0o111 == 0o111);
    !rustix::process::geteuid().is_root() || path.ancestors().skip(1).all(is_open)
}
