//! Directories that are not held, and those that cannot be opened.

use std::sync::Mutex;

use super::{Gathered, LeftOut, lock, split};
use crate::error::{Error, Result};
use crate::os::beneath;
use crate::os::cursor::c_name;
use crate::os::dir::Dir;
use crate::session::sync::read::has_moved;

/// Opens a directory from the top, by path.
pub(super) fn open_again(top: &Dir, path: &[u8]) -> Result<Dir> {
    match beneath::open_dir(top, path) {
        // something is mounted on the way, of the same filesystem
        Err(error) if error.is(libc::EXDEV) => {
            let names = path.split(|byte| *byte == b'/');
            names.map(c_name).try_fold(top.again()?, |dir, name| dir.child(&name?))
        }
        opened => opened,
    }
}

/// A directory that was seen and cannot be opened.
pub(super) fn not_opened(gathered: &Mutex<Gathered>, path: Vec<u8>, error: Error) -> Result<()> {
    // It vanished, or turned into something else: the next walk sees it.
    if has_moved(&error) {
        let (dir, name) = split(&path);
        lock(gathered).gone.insert((dir.to_vec(), name.to_vec()));
        return Ok(());
    }
    if error.is(libc::EACCES) || error.is(libc::EPERM) {
        lock(gathered).walked.left_out.push(LeftOut::unreadable(path, &error, true));
        return Ok(());
    }
    Err(error)
}
