//! Removing a whole tree of our own, whatever is in it.
//!
//! Modes do not stop the owner (`work/work` of an overlay is mode 000): a directory
//! without rwx for him is given them first, and flags that keep a name are cleared where
//! that is permitted. Symbolic links are removed, never
//! followed. A tree may be deeper than PATH_MAX and the limit of descriptors (rule 5).
//! What is gone already is fine, so a removal that was killed can be repeated.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, unlinkat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::os::crew::{self, Jobs};
use crate::os::cursor::Cursor;
use crate::os::dir::{Dir, Name};
use crate::os::immutable;

/// How far down directories that lie side by side are looked for, and how many are worth threads.
const DEPTH: usize = 5;
const FEW: usize = 8;

/// Removes a file or a directory with all that is in it; not there is fine.
pub fn remove_tree(path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::failure("a path with a NUL cannot be removed"))?;
    remove(CWD, &name, path.to_path_buf())
}

/// The same for what may be large: directories that lie side by side are removed by several
/// threads.
pub fn remove_large_tree(path: &Path) -> Result<()> {
    let apart = Dir::open(path).map(side_by_side).unwrap_or_default();
    let work = |(dir, name): (Arc<Dir>, CString), _: &Jobs<_>| remove_at(&dir, &name);
    crew::run(&work, |lead| apart.into_iter().try_for_each(|job| lead.give(job)))?;
    remove_tree(path)
}

/// Directories of the first depth that has a few of them, each with the one that it is in; none
/// where all is small. What cannot be read is passed over.
fn side_by_side(top: Dir) -> Vec<(Arc<Dir>, CString)> {
    let mut level = vec![Arc::new(top)];
    for _ in 0..DEPTH {
        let mut found = Vec::new();
        for dir in &level {
            let names = dir.names().unwrap_or_default();
            let dirs = names.into_iter().filter(|name| name.kind == FileType::Directory);
            found.extend(dirs.map(|name| (Arc::clone(dir), name.name)));
        }
        if found.len() >= FEW {
            return found;
        }
        let below = found.iter().filter_map(|(dir, name)| dir.child(name).ok());
        level = below.map(Arc::new).collect();
    }
    Vec::new()
}

/// Removes what killed processes left in a directory: names of this beginning, an hour old
/// or more. Nobody is told of what cannot be removed: it hinders nothing.
pub fn remove_left(dir: &Path, beginning: &str) {
    const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let of_ours = entry.file_name().as_bytes().starts_with(beginning.as_bytes());
        let made = entry.metadata().and_then(|metadata| metadata.modified());
        if of_ours && made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > HOUR)) {
            let _ = remove_tree(&entry.path());
        }
    }
}

/// Removes a name of an open directory with all that is below it; not there is fine.
pub fn remove_at(dir: &Dir, name: &CStr) -> Result<()> {
    remove(dir.as_fd(), name, dir.join(name))
}

fn remove(parent: impl AsFd, name: &CStr, path: PathBuf) -> Result<()> {
    match unlink(&parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno).context("remove", path),
    }
    let Some(top) = open(&parent, name, path.clone())? else { return Ok(()) };
    empty(top)?;
    done(unlink(&parent, name, AtFlags::REMOVEDIR)).context("remove", path)
}

/// Once more without the flags that keep the name, or all names of its directory.
fn unlink(parent: impl AsFd, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
    immutable::lifted(&parent, name, || unlinkat(&parent, name, flags))
}

fn empty(top: Dir) -> Result<()> {
    let mut names = vec![top.names()?];
    let mut cursor = Cursor::new(top);
    while let Some(level) = names.last_mut() {
        match level.pop() {
            Some(name) => {
                if let Some(child) = remove_name(cursor.here(), &name)? {
                    names.push(child.names()?);
                    cursor.enter(Arc::new(child), &name.name);
                }
            }
            None => {
                names.pop();
                if let Some(name) = cursor.up()? {
                    let gone = unlink(cursor.here(), &name, AtFlags::REMOVEDIR);
                    done(gone).context("remove", cursor.here().join(&name))?;
                }
            }
        }
    }
    Ok(())
}

/// Removes what is no directory; opens what is one.
fn remove_name(dir: &Dir, Name { name, kind, .. }: &Name) -> Result<Option<Dir>> {
    if *kind != FileType::Directory {
        match unlink(dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            other => return done(other).context("remove", dir.join(name)).map(|()| None),
        }
    }
    open(dir, name, dir.join(name))
}

fn done(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Opens a directory so that its names can be read and removed.
fn open(parent: impl AsFd, name: &CStr, path: PathBuf) -> Result<Option<Dir>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::openat(&parent, name, flags, Mode::empty());
    let fd = match open(flags | OFlags::RDONLY) {
        Ok(fd) => {
            let mode = rustix::fs::fstat(&fd).context("stat", &path)?.st_mode;
            if mode & 0o700 != 0o700 {
                rustix::fs::fchmod(&fd, Mode::RWXU).context("change the mode of", &path)?;
            }
            fd
        }
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ACCESS) => {
            permit(open(flags | OFlags::PATH).context("open directory", &path)?)
                .context("change the mode of", &path)?;
            open(flags | OFlags::RDONLY).context("open directory", &path)?
        }
        Err(errno) => return Err(errno).context("open directory", &path),
    };
    Ok(Some(Dir::from_fd(fd, path)))
}

/// fchmod(2) refuses O_PATH descriptors (EBADF); their link in /proc is followed.
fn permit(fd: OwnedFd) -> Result<(), Errno> {
    rustix::fs::chmodat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), Mode::RWXU, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn modes_links_and_odd_names_do_not_stop_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        let odd = top.join(std::ffi::OsStr::from_bytes(b"a\n\xff"));
        fs::create_dir_all(odd.join("work/work")).unwrap();
        fs::write(odd.join("file"), "").unwrap();
        fs::write(dir.path().join("kept"), "").unwrap();
        symlink("../../kept", odd.join("link")).unwrap();
        symlink("..", top.join("up")).unwrap();
        for (path, mode) in [("work/work", 0), ("work", 0o444), ("", 0o555)] {
            fs::set_permissions(odd.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(&top, fs::Permissions::from_mode(0o0)).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists() && dir.path().join("kept").exists());
        remove_tree(&top).unwrap();
        remove_tree(&dir.path().join("kept")).unwrap();
        assert!(!dir.path().join("kept").exists());
    }

    #[test]
    fn a_large_tree_goes_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        for number in 0..200 {
            let inner = top.join(format!("upper/out/{}/{number}", number % 20));
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("file"), "").unwrap();
        }
        symlink("..", top.join("upper/out/up")).unwrap();
        fs::set_permissions(top.join("upper/out/7"), fs::Permissions::from_mode(0o0)).unwrap();
        remove_large_tree(&top).unwrap();
        assert!(!top.exists() && dir.path().exists());
        remove_large_tree(&top).unwrap();
    }
}
