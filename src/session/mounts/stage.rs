//! Mount points that a session's head does not have are made in its upper, with the
//! head's metadata on the directories above them; so nothing of them is recorded.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, Timespec, Timestamps};

use super::{Mount, What, is_below};
use crate::cas::Digest;
use crate::error::{Context, Error, Result};
use crate::manifest::dir::lookup;
use crate::manifest::node::{Entry, Meta};
use crate::ns::plan::{Bind, Held, c_path};
use crate::os::dir::Dir;
use crate::os::mkdir;
use crate::overlay::escape;
use crate::overlay::upper::{Found, Upper};
use crate::session::project::Project;
use crate::session::sync::shown;

/// Below a session's staging: what `scratch` directories are, and what hides.
const SCRATCH: &str = "scratch";
const SNAPSHOTS: &str = "snapshots";
const EMPTY: &str = "empty";
const NOTHING: &str = "nothing";

/// Makes what the mounts need: their sources, and their places where `head` has none.
/// Returns the names that were made in the upper and are in no root.
pub fn stage(project: &Project, staging: &Path, head: &Digest, mounts: &[Mount]) -> Result<Vec<Vec<u8>>> {
    sources(staging, mounts)?;
    let upper = staging.join("upper");
    let mut made = Vec::new();
    let mut above: Vec<(PathBuf, Meta)> = Vec::new();
    for mount in mounts.iter().filter(|mount| !mount.on_host) {
        // what cannot be read is here because the head has nothing of it
        if mount.what != What::AsOnHost
            && let Some(entry) = lookup(&project.manifest, head, &mount.path)?
        {
            fits(mount, &entry)?;
            continue;
        }
        let parts: Vec<usize> =
            mount.path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
        for end in parts {
            let path = &mount.path[..end];
            let place = upper.join(OsStr::from_bytes(path));
            if place.symlink_metadata().is_ok() {
                continue;
            }
            match lookup_dir(project, head, path)? {
                Some(meta) => above.push((place.clone(), meta)),
                None => made.push(path.to_vec()),
            }
            mkdir::private(&place)?;
            if made.last().is_some_and(|last| last == path) {
                chmod(&place, 0o755)?;
            }
        }
        let place = upper.join(OsStr::from_bytes(&mount.path));
        if mount.is_dir {
            mkdir::private(&place)?;
            chmod(&place, 0o755)?;
        } else {
            std::fs::write(&place, "").context("make", &place)?;
        }
        made.push(mount.path.clone());
    }
    // Inner ones last in, first done: making a name changes its directory's times.
    above.iter().rev().try_for_each(|(place, meta)| give(place, meta))?;
    Ok(made)
}

/// The empty directory, below `staging/`, that a snapshot is mounted on.
pub fn snapshot(session: &str, name: &str) -> String {
    format!("{session}/{SNAPSHOTS}/{name}")
}

/// The binds of a session's plan.
pub fn binds(root: &Path, staging: &Path, mounts: &[Mount]) -> Result<Vec<Bind>> {
    let mut binds = Vec::new();
    for (number, mount) in mounts.iter().enumerate() {
        let (source, read_only) = match &mount.what {
            What::Live | What::AsOnHost => continue,
            What::Scratch => (staging.join(SCRATCH).join(number.to_string()), false),
            What::Hide if mount.is_dir => (staging.join(EMPTY), true),
            What::Hide => (staging.join(NOTHING), true),
            What::Snapshots(_) => (staging.join(SNAPSHOTS), true),
            What::Bind { source, read_only } => (source.clone(), *read_only),
        };
        let whole = matches!(mount.what, What::Bind { .. });
        binds.push(Bind { source: c_path(&source)?, target: absolute(root, mount)?, read_only, whole });
    }
    Ok(binds)
}

/// What of the host is held while the overlay is mounted over it.
pub fn held(root: &Path, mounts: &[Mount]) -> Result<Vec<Held>> {
    let is_held = |mount: &&Mount| matches!(mount.what, What::Live | What::AsOnHost);
    let held =
        |mount: &Mount| Ok(Held { path: absolute(root, mount)?, as_it_is: mount.what == What::AsOnHost });
    mounts.iter().filter(is_held).map(held).collect()
}

/// Takes out of an upper what the session's own mount points put there.
pub fn forget_mounts(upper: &mut Upper, mounts: &[Vec<u8>], made: &[Vec<u8>]) {
    if mounts.is_empty() {
        return;
    }
    let at_mount = |path: &[u8]| mounts.iter().any(|mount| path == mount || is_below(path, mount));
    upper.found.retain(|(path, _)| !at_mount(path));
    upper.skipped.retain(|(path, _)| !at_mount(path));
    // A directory made on the way to a mount point counts once something else is in it.
    for end in (0..upper.found.len()).rev() {
        let (path, found) = &upper.found[end];
        let empty = !upper.found[end + 1..].iter().any(|(inner, _)| is_below(inner, path));
        if empty && made.contains(path) && matches!(found, Found::Dir { .. }) {
            upper.found.remove(end);
        }
    }
}

fn absolute(root: &Path, mount: &Mount) -> Result<CString> {
    c_path(&root.join(OsStr::from_bytes(&mount.path)))
}

fn sources(staging: &Path, mounts: &[Mount]) -> Result<()> {
    if mounts.iter().any(|mount| mount.what == What::Hide) {
        let (empty, nothing) = (staging.join(EMPTY), staging.join(NOTHING));
        mkdir::private(&empty)?;
        chmod(&empty, 0o555)?;
        std::fs::write(&nothing, "").context("write", &nothing)?;
        chmod(&nothing, 0o444)?;
    }
    for (number, mount) in mounts.iter().enumerate() {
        if let What::Snapshots(names) = &mount.what {
            let dir = staging.join(SNAPSHOTS);
            names.iter().try_for_each(|name| mkdir::private(&dir.join(name)))?;
            mkdir::private(&dir)?;
            chmod(&dir, 0o755)?;
        }
        if mount.what == What::Scratch {
            let dir = staging.join(SCRATCH).join(number.to_string());
            mkdir::private(&dir)?;
            chmod(&dir, 0o755)?;
        }
    }
    Ok(())
}

/// The head may have another kind of thing there than is to be mounted.
fn fits(mount: &Mount, entry: &Entry) -> Result<()> {
    if mount.is_dir == entry.is_dir() {
        return Ok(());
    }
    let is = |dir: bool| if dir { "a directory" } else { "no directory" };
    Err(Error::failure(format!(
        "{} cannot be mounted over: it is {} in the workspace and {} on the host",
        shown(&mount.path),
        is(entry.is_dir()),
        is(mount.is_dir)
    ))
    .with_hint("remove it in the workspace, or run once without --no-sync"))
}

/// The metadata of a directory of the head; `None` where nothing is.
fn lookup_dir(project: &Project, head: &Digest, path: &[u8]) -> Result<Option<Meta>> {
    match lookup(&project.manifest, head, path)? {
        Some(entry) if !entry.is_dir() => {
            Err(Error::failure(format!("{} is not a directory in the workspace", shown(path)))
                .with_hint("a mount point is to lie in it: remove it, or change `[paths]`"))
        }
        entry => Ok(entry.map(|entry| entry.meta)),
    }
}

fn give(place: &Path, Meta { mode, mtime, xattrs }: &Meta) -> Result<()> {
    let dir = Dir::open(place)?;
    escape::write_xattrs(&dir, xattrs, escape::To::Overlay).context("set xattrs of", place)?;
    let time = Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(&dir, &times).context("set times of", place)?;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode((*mode).into())).context("chmod", place)
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context("open", path)?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).context("chmod", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str) -> (Vec<u8>, Found) {
        (path.into(), Found::Dir { meta: Meta::default(), opaque: false })
    }

    #[test]
    fn mount_points_leave_no_trace_and_what_lies_beside_them_stays() {
        let mut upper = Upper::default();
        for path in ["", "a", "a/b", "a/b/tmp", "a/b/tmp/x", "c", "c/tmp", "c/kept", "head", "head/tmp"] {
            upper.found.push(dir(path));
        }
        let own = |list: &[&str]| list.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>();
        let mounts = own(&["a/b/tmp", "c/tmp", "head/tmp"]);
        let made = own(&["a", "a/b", "a/b/tmp", "c", "c/tmp", "head/tmp"]);
        forget_mounts(&mut upper, &mounts, &made);
        let left: Vec<_> =
            upper.found.iter().map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect();
        assert_eq!(left, ["", "c", "c/kept", "head"]);
    }
}
