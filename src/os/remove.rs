//! Removing a tree of ours, whatever lies in it: mode-000 directories (an overlay's
//! `work/work` is one), names that are no text, any depth.

use std::ffi::{CStr, CString};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::dir::Dir;
use crate::error::{Context, Error, Result};

/// Removes `path` and all below it; not there is fine. The directory that holds it is
/// opened by path, everything below by descriptor, no link followed.
pub fn remove_tree(path: &Path) -> Result<()> {
    let name = path.file_name().and_then(|name| CString::new(name.as_encoded_bytes()).ok());
    let (Some(parent), Some(name)) = (path.parent(), name) else {
        return Err(Error::failure(format!("`{}` cannot be removed", path.display())));
    };
    match Dir::open(parent) {
        Ok(parent) => remove_entry(&parent, &name),
        Err(error) if error.is(libc::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a name and all below it; not there is fine.
pub fn remove_entry(parent: &Dir, name: &CStr) -> Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno).context("remove", parent.join(name)),
    }
    // One descriptor at a time, however deep: the way back up is `..`.
    let mut dir = open(parent, name)?;
    let mut way: Vec<CString> = vec![name.to_owned()];
    loop {
        match empty(&dir)? {
            Some(deeper) => {
                dir = open(&dir, &deeper)?;
                way.push(deeper);
            }
            None => {
                let Some(done) = way.pop() else { return Ok(()) };
                if way.is_empty() {
                    return unlink(parent, &done, AtFlags::REMOVEDIR);
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let up = rustix::fs::openat(&dir, c"..", flags, Mode::empty())
                    .context("go back up from", dir.path())?;
                let path = dir.path().parent().unwrap_or(Path::new("..")).to_path_buf();
                dir = Dir::from_fd(up, path);
                unlink(&dir, &done, AtFlags::REMOVEDIR)?;
            }
        }
    }
}

/// Removes what can be removed at once; the first directory that is not empty is
/// returned.
fn empty(dir: &Dir) -> Result<Option<CString>> {
    for inner in dir.names()? {
        let is_dir = match inner.kind {
            FileType::Directory => true,
            FileType::Unknown => dir.stat(&inner.name)?.kind == FileType::Directory,
            _ => false,
        };
        if !is_dir {
            unlink(dir, &inner.name, AtFlags::empty())?;
        } else if unlink(dir, &inner.name, AtFlags::REMOVEDIR).is_err() {
            return Ok(Some(inner.name));
        }
    }
    Ok(None)
}

/// Opens a directory that is to be removed; one that its owner may not read is made
/// readable first (it is ours, and was just seen to be no link).
fn open(parent: &Dir, name: &CStr) -> Result<Dir> {
    match parent.child(name) {
        Err(error) if error.is(libc::EACCES) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())
                .context("chmod", parent.join(name))?;
            parent.child(name)
        }
        other => other,
    }
}

fn unlink(dir: &Dir, name: &CStr, flags: AtFlags) -> Result<()> {
    match rustix::fs::unlinkat(dir, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ACCESS) => {
            // A directory without write permission: ours, so it can be given.
            rustix::fs::fchmod(dir, Mode::RWXU).context("chmod", dir.path())?;
            rustix::fs::unlinkat(dir, name, flags).context("remove", dir.join(name))
        }
        Err(errno) => Err(errno).context("remove", dir.join(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn everything_goes_and_gone_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/b").join(std::ffi::OsStr::from_bytes(b"\xff\n")), "x").unwrap();
        std::fs::create_dir_all(tree.join("work/work/x")).unwrap();
        std::os::unix::fs::symlink("/", tree.join("root")).unwrap();
        for (name, mode) in [("a/b", 0o555), ("work/work", 0), ("a", 0o500)] {
            std::fs::set_permissions(tree.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
        remove_tree(&dir.path().join("none/none")).unwrap();
    }

    #[test]
    fn depth_is_no_limit() {
        let top = tempfile::tempdir().unwrap();
        let mut dir = Dir::open(top.path()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&dir, c"deep", Mode::RWXU).unwrap();
            let fd = rustix::fs::openat(&dir, c"deep", OFlags::DIRECTORY, Mode::empty()).unwrap();
            dir = Dir::from_fd(fd, "deep".into());
        }
        remove_tree(&top.path().join("deep")).unwrap();
    }
}
