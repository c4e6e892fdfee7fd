//! Exchanging names, where the filesystem can do so at once and where it cannot.

use std::ffi::{CStr, CString};

use rustix::fs::{AtFlags, FileType, RenameFlags, linkat, renameat, renameat_with};
use rustix::io::Errno;

use crate::error::{Context, Result};
use crate::os::dir::Dir;
use crate::os::failpoint;

/// Two names exchange what they name. Where the filesystem cannot, the old version is kept
/// under a third name on the way; and where a file cannot have a second name either, or is a
/// directory, it is away for a moment.
///
/// ```text
/// name: old   temporary: new                      taken up by `aside`
/// name: old   temporary: new   .old: old          .old goes
/// name: new                    .old: old          .old becomes the temporary name
/// name: new   temporary: old
/// name: -     temporary: new   .old: old          .old becomes the name
/// ```
pub fn exchange(dir: &Dir, new: &CStr, name: &CStr) -> Result<(), Errno> {
    let exchanged = failpoint::at("apply.exchange")
        .and_then(|()| renameat_with(dir, new, dir, name, RenameFlags::EXCHANGE));
    match exchanged {
        Err(Errno::INVAL | Errno::NOSYS) => {}
        other => return other,
    }
    let old = third(new);
    let is_dir = dir.stat(new).is_ok_and(|stat| stat.kind == FileType::Directory);
    let linked = match is_dir {
        true => Err(Errno::NOTDIR), // it does not take a file's place
        false => failpoint::at("apply.link").and_then(|()| linkat(dir, name, dir, &*old, AtFlags::empty())),
    };
    if linked.is_err() {
        renameat(dir, name, dir, &*old)?;
        failpoint::at("apply.away")?;
    }
    renameat(dir, new, dir, name)?;
    failpoint::at("apply.replaced")?;
    renameat(dir, &*old, dir, new)
}

/// Where the old version is while names are exchanged in three steps.
fn third(temporary: &CStr) -> CString {
    let name = [temporary.to_bytes(), b".old"].concat();
    CString::new(name).unwrap_or_else(|_| temporary.to_owned()) // the parts had no NUL
}

/// Takes up an exchange that was cut short.
pub fn aside(dir: &Dir, temporary: &CStr, name: &CStr) -> Result<()> {
    let old = third(temporary);
    if dir.stat_if_there(&old)?.is_none() {
        return Ok(());
    }
    let there = |name: &CStr| dir.stat_if_there(name).map(|stat| stat.is_some());
    let done = match (there(name)?, there(temporary)?) {
        (false, _) => renameat(dir, &*old, dir, name),
        (true, false) => renameat(dir, &*old, dir, temporary),
        (true, true) => rustix::fs::unlinkat(dir, &*old, AtFlags::empty()),
    };
    done.context("put back", dir.join(name))
}

/// A name that is free gets what another one names.
pub fn rename_new(dir: &Dir, from: &CStr, to: &CStr) -> Result<(), Errno> {
    match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) if dir.stat_if_there(to).is_ok_and(|stat| stat.is_none()) => {
            renameat(dir, from, dir, to)
        }
        other => other,
    }
}
