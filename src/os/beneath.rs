//! Reaching a directory of somebody else's tree by its path, and never anything else:
//! no symbolic link is followed, no other mount entered, nothing above the top reached.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat2};
use rustix::io::Errno;

use super::cursor::c_name;
use super::dir::Dir;
use crate::error::{Context, Result};

/// The kernel takes at most PATH_MAX bytes of path at once.
const AT_ONCE: usize = 4000;
/// A path that is renamed while it is resolved is resolved again (openat2(2), EAGAIN).
const TRIES: usize = 16;

/// Opens the directory at `path` below `top` (empty: `top` itself). EXDEV: something is
/// mounted on the way; ELOOP or ENOTDIR: something on it is no directory.
pub fn open_dir(top: &Dir, path: &[u8]) -> Result<Dir> {
    let mut here: Option<Dir> = None;
    let mut rest = path;
    while !rest.is_empty() {
        let (piece, left) = split_at_most(rest, AT_ONCE);
        let from = here.as_ref().unwrap_or(top);
        let shown = shown(from, piece);
        let fd = match resolve(from, piece) {
            // before Linux 5.6, or refused by a filter that does not know it
            Err(Errno::NOSYS | Errno::PERM) => return by_component(from.again()?, rest),
            other => other.context("open directory", &shown)?,
        };
        here = Some(Dir::from_fd(fd, shown));
        rest = left;
    }
    here.map_or_else(|| top.again(), Ok)
}

/// Opens directories one after another, and keeps the last one open: the next path mostly lies
/// in it as well. For one pass over a tree; what is moved meanwhile is gone on with where it is.
#[derive(Default)]
pub struct Latest(Option<(Vec<u8>, Arc<Dir>)>);

impl Latest {
    /// As [`open_dir`].
    pub fn dir(&mut self, top: &Dir, path: &[u8]) -> Result<Arc<Dir>> {
        if let Some((known, dir)) = &self.0
            && known == path
        {
            return Ok(Arc::clone(dir));
        }
        let dir = Arc::new(open_dir(top, path)?);
        self.0 = Some((path.to_vec(), Arc::clone(&dir)));
        Ok(dir)
    }
}

fn resolve(here: &Dir, path: &[u8]) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let mut tries = 0;
    loop {
        match openat2(here, path, flags, Mode::empty(), how) {
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            other => return other,
        }
    }
}

/// The same, a name at a time.
fn by_component(mut here: Dir, path: &[u8]) -> Result<Dir> {
    let mount = mount_of(&here)?;
    for name in path.split(|byte| *byte == b'/') {
        here = here.child(&c_name(name)?)?;
        if mount_of(&here)? != mount {
            return Err(Errno::XDEV).context("open directory", here.path());
        }
    }
    Ok(here)
}

fn mount_of(dir: &Dir) -> Result<(u64, u32, u32)> {
    let stat =
        rustix::fs::statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).context("stat", dir.path())?;
    Ok((stat.stx_mnt_id, stat.stx_dev_major, stat.stx_dev_minor))
}

fn shown(here: &Dir, piece: &[u8]) -> PathBuf {
    here.path().join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(piece))
}

/// As many whole components as fit, and the rest.
fn split_at_most(path: &[u8], most: usize) -> (&[u8], &[u8]) {
    if path.len() <= most {
        return (path, b"");
    }
    match path[..most].iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (path, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_not_followed_and_long_paths_are() {
        let dir = tempfile::tempdir().unwrap();
        let top = Dir::open(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("a", dir.path().join("to-a")).unwrap();
        symlink("/", dir.path().join("a/out")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        for open in [open_dir, |top: &Dir, path: &[u8]| by_component(top.again()?, path)] {
            let ino = |path: &str| open(&top, path.as_bytes()).unwrap().stat_self().unwrap().ino;
            assert_ne!(ino("a"), ino("a/b"));
            for (path, errnos) in [
                ("to-a", [libc::ELOOP, libc::ENOTDIR]),
                ("to-a/b", [libc::ELOOP, libc::ENOTDIR]),
                ("a/out/etc", [libc::ELOOP, libc::ENOTDIR]),
                ("file", [libc::ENOTDIR; 2]),
                ("none/x", [libc::ENOENT; 2]),
            ] {
                let error = open(&top, path.as_bytes()).err().unwrap();
                assert!(errnos.iter().any(|&errno| error.is(errno)), "{path}: {error}");
            }
        }
        assert_eq!(open_dir(&top, b"").unwrap().stat_self().unwrap().ino, top.stat_self().unwrap().ino);
        assert!(open_dir(&top, b"../x").is_err() && open_dir(&top, b"/etc").is_err());
        let name = "n".repeat(200);
        let mut here = top.again().unwrap();
        for _ in 0..60 {
            rustix::fs::mkdirat(&here, name.as_str(), Mode::RWXU).unwrap();
            here = open_dir(&here, name.as_bytes()).unwrap();
        }
        let deep = vec![name.as_str(); 60].join("/");
        let found = open_dir(&top, deep.as_bytes()).unwrap().stat_self().unwrap().ino;
        assert_eq!(found, here.stat_self().unwrap().ino);
        crate::os::remove::remove_tree(dir.path()).unwrap();
    }

    #[test]
    fn another_mount_is_not_entered() {
        let top = Dir::open(std::path::Path::new("/")).unwrap();
        assert!(open_dir(&top, b"proc").err().unwrap().is(libc::EXDEV));
        assert!(by_component(top, b"proc").err().unwrap().is(libc::EXDEV));
    }
}
