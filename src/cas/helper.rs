//! `vrift-immutable`: a program beside this one that does nothing but set and clear the
//! flag of objects. Installed with `setcap cap_linux_immutable=ep`, it lets an ordinary user have
//! objects that he cannot change by accident; whoever may run it may do the same on purpose.
//!
//! ```text
//! vrift-immutable set STORE      names of objects on standard input, each ended by a NUL
//! vrift-immutable clear STORE
//! vrift-immutable try DIR        on a file without a name
//! ```
//!
//! It is not trusted with anything else: a name has the form of an object's and is opened
//! below `STORE/objects` without following a link or entering a mount, and only a regular file of
//! the caller's own is touched. What somebody else protected has not such a name, and cannot get one:
//! an immutable file is neither renamed nor linked. In a user namespace the capability
//! is not the one the kernel asks for, so a command of a run gets nothing by it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::digest::{NAME_CHARS, SHARD_CHARS};
use super::{format, protect};
use crate::error::{Context, Error, Result};
use crate::os::immutable;

pub const NAME: &str = "vrift-immutable";
pub const SET: &str = "set";
pub const CLEAR: &str = "clear";
const TRY: &str = "try";

/// The program, if it is there and was given a capability.
pub fn find() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(NAME);
    let mut value = [0u8; 64];
    let given = rustix::fs::getxattr(&path, c"security.capability", &mut value[..]);
    given.is_ok_and(|length| length > 0).then_some(path)
}

/// Whether it can do it in a directory.
pub fn attempt(program: &Path, dir: &Path) -> Result<()> {
    run(program, TRY, dir, &[]).map(drop)
}

/// Has it work on objects; returns how many it changed.
pub fn run(program: &Path, verb: &str, store: &Path, names: &[String]) -> Result<u64> {
    let mut child = Command::new(program)
        .arg(verb)
        .arg(store)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start", program)?;
    let text: Vec<u8> = names.iter().flat_map(|name| name.bytes().chain([0])).collect();
    // it reads all before it writes anything; one that ended early says why
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&text));
    let output = child.wait_with_output().context("wait for", program)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(Error::failure(format!("{NAME} failed")).with_cause(said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0))
}

/// Takes the flag from one object, by its path; false where that is not possible.
pub(super) fn clear(path: &Path) -> bool {
    let Some(program) = find() else { return false };
    let (Some(store), Some(name)) = (path.ancestors().nth(3), name_of(path)) else { return false };
    run(&program, CLEAR, store, &[name]).is_ok_and(|count| count == 1)
}

fn name_of(path: &Path) -> Option<String> {
    Some(format!("{}/{}", path.parent()?.file_name()?.to_str()?, path.file_name()?.to_str()?))
}

/// What the program does; what it changed.
pub fn serve(verb: &str, place: &Path) -> Result<u64> {
    if verb == TRY {
        return protect::flag(place).context("make a file immutable in", place).map(|()| 0);
    }
    let to_set = match verb {
        SET => true,
        CLEAR => false,
        _ => return Err(Error::usage(format!("{NAME} set|clear STORE, or try DIR"))),
    };
    let path = place.join(format::NAME);
    if !std::fs::read(&path).is_ok_and(|text| format::is_one(&text)) {
        return Err(Error::failure("that is no store").with_cause(path.display().to_string()));
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("read", "standard input")?;
    let mut count = 0;
    for name in text.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Some(file) = open(place, name)? else { continue };
        count += u64::from(match to_set {
            true => protect::make_immutable(&file, true).context("protect an object of", place)?,
            false => immutable::clear(&file),
        });
    }
    Ok(count)
}

/// Whether it has the form of an object's, with its slash.
pub(super) fn is_name(name: impl AsRef<[u8]>) -> bool {
    let is_text = |part: &[u8]| part.iter().all(|b| b.is_ascii_alphanumeric() || [b'-', b'_'].contains(b));
    match name.as_ref().split_at_checked(SHARD_CHARS) {
        Some((shard, [b'/', rest @ ..])) => {
            rest.len() == NAME_CHARS - SHARD_CHARS && is_text(shard) && is_text(rest)
        }
        _ => false,
    }
}

/// An object that is the caller's own; what is none, or is gone, is passed over.
fn open(store: &Path, name: &[u8]) -> Result<Option<OwnedFd>> {
    if !is_name(name) {
        return Err(Error::usage("what was named is no object"));
    }
    let objects = store.join("objects");
    let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat2(CWD, &objects, dir, Mode::empty(), ResolveFlags::empty()).context("open", &objects)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let file = match openat2(&dir, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT) => return Ok(None),
        file => file.context("open an object of", store)?,
    };
    let stat = fstat(&file).context("stat an object of", store)?;
    let is_own = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == rustix::process::getuid().as_raw();
    Ok(is_own.then_some(file))
}
