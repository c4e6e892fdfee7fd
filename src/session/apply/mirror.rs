//! A directory that is the workspace's own, as a mirror on the host: for an editor or a language
//! server there that needs `node_modules/` or `target/` to be seen.
//!
//! Apply takes a path of both sides and compares them; a mirror is the workspace's alone. It is
//! written aside and takes the directory's place in one exchange of names, so who looks sees the old
//! one or the new one, whole. A file that the old one has with the same size, mode and mtime (as rsync
//! takes files for equal) is linked, others are reflinks or copies. A directory that is not a mirror is
//! replaced only when that is asked for. Nothing is recorded: the path is the workspace's own, sync
//! passes it over, and the mirror may be removed at any time.
//!
//! ```text
//! DIR: old   .vrift-mirror-DIR: what a killed one left    is removed
//! DIR: old   .vrift-mirror-DIR: new                       exchange
//! DIR: new   .vrift-mirror-DIR: old                       is removed
//! ```

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, futimens};

use super::names::{aside, exchange, rename_new};
use super::select::Select;
use super::{exclusively, open_top};
use crate::cas::Digest;
use crate::error::{Context, Error, Result, quoted};
use crate::manifest::dir::{lookup, write_root};
use crate::manifest::node::Entry;
use crate::os::cursor::{c_name, split};
use crate::os::dir::Dir;
use crate::os::failpoint;
use crate::os::lock::{Hold, Lock};
use crate::os::remove::remove_at;
use crate::overlay::escape;
use crate::overlay::projection::{self, Copy, Linked, Rendered, times};
use crate::progress::Meter;
use crate::session::project::Project;
use crate::session::sync::shown;

/// In each mirror, and never taken in (rule 5).
const MARK: &CStr = c".vrift-mirror";
const SAYS: &[u8] = b"This directory is a mirror of a vrift workspace's own one. It may be removed;\n\
    the next `vrift apply --materialize` replaces it whole.\n";

/// Writes a directory that is the workspace's own to the host, as it is in `root`, a state of the
/// workspace. `replace`: whatever has its place there.
///
/// # Errors
/// When the path is not the workspace's own, is no directory in that state, or has something else
/// than a mirror in its place. Nothing is changed then.
pub fn mirror(
    project: &Project,
    root: &Digest,
    path: &[u8],
    replace: bool,
    meter: &Meter,
) -> Result<Rendered> {
    let select = Select::new(project, *root, &[], &[])?;
    let entry = lookup(&project.manifest, root, path)?.filter(Entry::is_dir).ok_or_else(|| {
        Error::failure(format!("the workspace has no directory {}", shown(path)))
            .with_hint("vrift exec makes it inside")
    })?;
    if !select.is_own(path, true)? {
        return Err(Error::failure(format!("{} is not the workspace's own", shown(path)))
            .with_hint(format!("vrift apply {} writes it; vrift status --paths", shown(path))));
    }
    let Some((above, name)) = split(path) else {
        return Err(Error::failure("the project's directory cannot be a mirror"));
    };
    let name = c_name(name)?;
    let temporary = temporary(&name)?;
    // one at a time: they would take the same temporary name
    let _alone = Lock::wait(&project.dir.join("mirror.lock"), Hold::Exclusive)?;
    let token = project.store.publishing()?; // nothing of it is swept meanwhile (rule 15)
    let dir = descend(open_top(project)?, above)?;
    aside(&dir, &temporary, &name)?;
    if !replace {
        refuse_foreign(&dir, &name, path)?;
    }
    remove_at(&dir, &temporary)?;
    let made = write(project, &entry, (&dir, &temporary, &name), meter);
    if made.is_err() {
        let _ = remove_at(&dir, &temporary); // the first error is what counts
    }
    let made = made?;
    drop(token);
    failpoint::at("mirror.made").context("write", dir.join(&name))?;
    {
        // no sync reads between two names, no apply writes between them
        let _host = exclusively(project)?;
        let swapped = match dir.stat_if_there(&name)? {
            Some(_) if !replace => {
                refuse_foreign(&dir, &name, path).map(|()| exchange(&dir, &temporary, &name))
            }
            Some(_) => Ok(exchange(&dir, &temporary, &name)),
            None => Ok(rename_new(&dir, &temporary, &name)),
        };
        let swapped = swapped.and_then(|done| done.context("write", dir.join(&name)));
        if swapped.is_err() {
            let _ = remove_at(&dir, &temporary);
        }
        swapped?;
    }
    failpoint::at("mirror.exchanged").context("remove", dir.join(&temporary))?;
    remove_at(&dir, &temporary)?;
    Ok(made)
}

/// The new one, aside.
fn write(
    project: &Project,
    entry: &Entry,
    (dir, temporary, name): (&Dir, &CStr, &CStr),
    meter: &Meter,
) -> Result<Rendered> {
    let top = Entry { name: Vec::new(), ..entry.clone() };
    let root = project.manifest.transaction(|manifest| write_root(manifest, &top))?;
    let (dest, old) = (dir.join(temporary), dir.join(name));
    let is_dir = |path: &Path| path.symlink_metadata().is_ok_and(|now| now.is_dir());
    let sources: Vec<_> = Some(old).filter(|old| is_dir(old)).into_iter().collect();
    let copies = Copy { store: &project.store, meter, to: escape::To::Host };
    let files = Linked::new(copies, &dest, &sources)?;
    let made = projection::render(&project.manifest, &root, &dest, &files)?;
    let inner = dir.child(temporary)?;
    let marked = || -> Result<(), rustix::io::Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // a directory that nobody may write to gets it all the same
        rustix::fs::fchmod(&inner, Mode::RWXU)?;
        let file =
            rustix::fs::openat(&inner, MARK, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)?;
        rustix::io::write(&file, SAYS)?;
        rustix::fs::fchmod(&inner, Mode::from_raw_mode(entry.meta.mode.into()))?;
        futimens(&inner, &times(entry.meta.mtime))
    };
    marked().context("write", inner.join(MARK))?;
    Ok(made)
}

/// Only a mirror, or an empty directory, is replaced unasked.
fn refuse_foreign(dir: &Dir, name: &CStr, path: &[u8]) -> Result<()> {
    let Some(stat) = dir.stat_if_there(name)? else { return Ok(()) };
    if stat.kind == FileType::Directory {
        let there = dir.child(name)?;
        if there.names()?.is_empty() || there.stat_if_there(MARK)?.is_some() {
            return Ok(());
        }
    }
    Err(Error::failure(format!("the directory has a {} of its own; nothing was written", shown(path))).with_hint(
        "move it away, or have it replaced with all that is in it: vrift apply --materialize --on-conflict overwrite",
    ))
}

/// A directory of the host below its root, through no link.
fn descend(top: Dir, path: &[u8]) -> Result<Dir> {
    let mut dir = top;
    for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        dir = dir.child(&c_name(part)?).map_err(|error| {
            error.with_hint("the directory that it lies in is to be there: vrift apply writes it")
        })?;
    }
    Ok(dir)
}

/// The same for the same directory, so that what a killed one left is found.
fn temporary(name: &CStr) -> Result<CString> {
    let digest = blake3::hash(name.to_bytes()).to_hex();
    let text = format!(".vrift-mirror-{}", &digest[..16]);
    CString::new(text).map_err(|_| {
        Error::failure(format!("{} is no name", quoted(std::ffi::OsStr::from_bytes(name.to_bytes()))))
    })
}
