//! The plan of a session: what init does to its namespaces, from the base, the staging,
//! and what is mounted on top.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::git;
use super::inside::{self, Inside};
use super::mounts::{self, Mount};
use super::project::{Place, Project};
use super::snapshots::{self, Shown};
use crate::error::{Context, Error, Result};
use crate::ns::plan::{Cover, Held, Plan, Step, c_path};
use crate::overlay::mount::{Layers, OverlaySpec};
use crate::psfs::{self, library, page};

/// The mounts of a session that is opened now.
pub fn mounts_of(project: &Project) -> Result<Vec<Mount>> {
    let root = project.root.as_os_str().as_bytes();
    let points = submounts(&project.root)?;
    let relative = |point: &CString| point.to_bytes().get(root.len() + 1..).map(<[u8]>::to_vec);
    mounts::of_session(project, &points.iter().filter_map(relative).collect::<Vec<_>>())
}

/// The repositories that `.git` files of the project name outside of it; none where the
/// user shares them.
pub fn repositories_of(project: &Project) -> Result<Vec<PathBuf>> {
    match project.config.git_shared {
        true => Ok(Vec::new()),
        false => Ok(git::outside(&project.root, &git::recorded(project)?)),
    }
}

/// What init does, in order. `lowers`: topmost first, below the project's directory in
/// the store.
///
/// `repositories`: those of the host outside of the project that are shown read-only.
pub fn plan(
    place: &Place,
    workspace: &str,
    session: &str,
    lowers: &[String],
    mounts: &[Mount],
    repositories: &[PathBuf],
    shown: &[Shown],
) -> Result<Plan> {
    let target = c_path(&place.root)?;
    let below_store = |path: String| CString::new(path).map_err(|_| Error::failure("a name with a NUL"));
    let id = place.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let layers = Layers {
        lowers: lowers
            .iter()
            .map(|lower| below_store(format!("projects/{id}/{lower}")))
            .collect::<Result<_>>()?,
        data: Some(c"objects".to_owned()),
        upper: Some(below_store(format!("projects/{id}/staging/{session}/upper"))?),
        work: Some(below_store(format!("projects/{id}/staging/{session}/work"))?),
    };
    let spec = OverlaySpec::new(c_path(place.store.root())?, layers, target.clone());
    let held = held(place, mounts)?;
    let mut binds = mounts::stage::binds(&place.root, &place.staging().join(session), mounts)?;
    binds.extend(git::binds(repositories)?);
    let inside = Inside { workspace: workspace.into(), session: session.into(), root: place.root.clone() };
    let mut files = super::shell::files();
    files.push((inside::INSIDE.into(), inside.text().into_bytes()));
    let store = place.store.root();
    let mut cover = match library::place(store) {
        Some(library) => {
            files.push((page::NAME.into(), page::encode(page::RENAME_DOOR).to_vec()));
            Cover::new(store, files)?.bind(&library, psfs::environment::SHOWN)?.with_door()
        }
        None => Cover::new(store, files)?,
    };
    cover = cover.with_requests(inside::REQUESTS);
    if let Some(repository) = git::of_host(place) {
        cover = cover.bind(&repository, git::HOST)?;
    }
    let mut steps = vec![Step::SlaveMounts];
    let holds = !held.is_empty();
    if holds {
        steps.push(Step::HoldSubmounts(held));
    }
    steps.push(Step::Overlay(spec));
    if holds {
        steps.push(Step::RestoreSubmounts);
    }
    if !binds.is_empty() {
        steps.push(Step::Bind(binds));
    }
    for Shown { name, base } in shown {
        let lowers = vec![below_store(format!("projects/{id}/base/{base}"))?];
        let layers = Layers { lowers, data: Some(c"objects".to_owned()), ..Layers::default() };
        let at = c_path(&place.root.join(snapshots::DIR).join(name))?;
        steps.push(Step::Overlay(OverlaySpec::new(c_path(place.store.root())?, layers, at)));
    }
    steps.push(Step::Watch(target));
    steps.push(Step::Cover(cover));
    steps.push(Step::FreshProc);
    Ok(Plan::new(steps))
}

/// What of the host stays where the overlay is mounted over it: `live` directories, and
/// mount points that no other mount of the session covers.
fn held(place: &Place, mounts: &[Mount]) -> Result<Vec<Held>> {
    let mut held = mounts::stage::held(&place.root, mounts)?;
    for point in submounts(&place.root)? {
        let covered = mounts.iter().any(|mount| {
            let at = place.root.join(OsStr::from_bytes(&mount.path));
            let at = at.as_os_str().as_bytes();
            point.to_bytes() == at || mounts::is_below(point.to_bytes(), at)
        });
        if !covered {
            held.push(Held { path: point, as_it_is: false });
        }
    }
    held.sort_unstable();
    Ok(held)
}

/// Mount points of the host below the project, outermost first: only those that no
/// other of them contains (each is moved with what is below it).
fn submounts(root: &Path) -> Result<Vec<CString>> {
    let path = Path::new("/proc/self/mountinfo");
    let text = std::fs::read(path).context("read", path)?;
    let mut inside = root.as_os_str().as_bytes().to_vec();
    inside.push(b'/');
    let mut found: Vec<Vec<u8>> = text
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(unescape)
        .filter(|point| point.starts_with(&inside))
        .collect();
    found.sort_unstable();
    found.dedup();
    let mut outermost: Vec<Vec<u8>> = Vec::new();
    for point in found {
        let below = outermost.iter().any(|outer| mounts::is_below(&point, outer));
        if !below {
            outermost.push(point);
        }
    }
    outermost
        .into_iter()
        .map(|point| CString::new(point).map_err(|_| Error::corrupt("a mount point with a NUL")))
        .collect()
}

/// mountinfo writes space, tab, newline and backslash as `\ooo` (proc_pid_mountinfo(5)).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u8, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
                _ => None,
            })
        });
        match digits {
            Some(value) => {
                out.push(value);
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(b"/a\\040b\\011c\\134d"), b"/a b\tc\\d");
        assert_eq!(unescape(b"/a\\9x\\"), b"/a\\9x\\");
        assert_eq!(unescape(b"/\\777"), b"/\\777");
    }
}
