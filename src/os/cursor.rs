//! A place in a tree of our own, moved from path to path by `openat`.
//!
//! Paths may be longer than PATH_MAX and deeper than the limit of descriptors: only
//! the nearest directories above are held open, those further up are reached by `..`.
//! That is sound only in a tree that nobody else moves directories in: one in the
//! store, held by an exclusive lock. In a foreign tree they are reached from the top again,
//! and no other mount is entered.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::error::{Context, Error, Result, quoted};
use crate::os::beneath;
use crate::os::dir::Dir;

/// Directories above the current one that stay open.
const HELD: usize = 64;

pub struct Cursor {
    here: Arc<Dir>,
    /// From the top: a directory, while it is held, and the name followed from it.
    above: Vec<(Option<Arc<Dir>>, CString)>,
    /// The top of a tree that others change as well.
    foreign: Option<Arc<Dir>>,
}

impl Cursor {
    pub fn new(top: Dir) -> Self {
        Self { here: Arc::new(top), above: Vec::new(), foreign: None }
    }

    /// In a tree that others change as well.
    pub fn of_foreign(top: Dir) -> Self {
        let top = Arc::new(top);
        Self { here: Arc::clone(&top), above: Vec::new(), foreign: Some(top) }
    }

    /// The directory it is at.
    pub fn here(&self) -> &Arc<Dir> {
        &self.here
    }

    /// How many directories it is below its top.
    pub fn depth(&self) -> usize {
        self.above.len()
    }

    /// Enters a directory of the current one, never through a symbolic link.
    pub fn down(&mut self, name: &CStr) -> Result<()> {
        let child = match self.foreign {
            Some(_) => beneath::open_dir(&self.here, name.to_bytes())?,
            None => self.here.child(name)?,
        };
        self.enter(Arc::new(child), name);
        Ok(())
    }

    /// Enters a directory of the current one that is open already.
    pub fn enter(&mut self, child: Arc<Dir>, name: &CStr) {
        let parent = std::mem::replace(&mut self.here, child);
        self.above.push((Some(parent), name.to_owned()));
        if let Some(far) = self.above.len().checked_sub(HELD + 1) {
            self.above[far].0 = None;
        }
    }

    /// Goes one up, returns the name it was at; `None` at the top.
    pub fn up(&mut self) -> Result<Option<CString>> {
        let Some((held, _)) = self.above.last() else { return Ok(None) };
        self.here = match (held, &self.foreign) {
            (Some(dir), _) => Arc::clone(dir),
            (None, Some(top)) => {
                let names: Vec<&[u8]> =
                    self.above.iter().rev().skip(1).rev().map(|(_, name)| name.to_bytes()).collect();
                Arc::new(beneath::open_dir(top, &names.join(&b'/'))?)
            }
            (None, None) => {
                let path = self.here.path().parent().unwrap_or(Path::new("")).to_path_buf();
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&self.here, c"..", flags, Mode::empty())
                    .context("open directory", &path)?;
                Arc::new(Dir::from_fd(fd, path))
            }
        };
        Ok(self.above.pop().map(|(_, name)| name))
    }

    /// Goes to a directory by its path from the top (empty: the top). After an error
    /// it is at the deepest directory on the way that it could reach.
    pub fn go(&mut self, path: &[u8]) -> Result<()> {
        let names = || path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let common = self.above.iter().zip(names()).take_while(|(a, b)| a.1.to_bytes() == *b).count();
        while self.above.len() > common {
            self.up()?;
        }
        for name in names().skip(common) {
            self.down(&c_name(name)?)?;
        }
        Ok(())
    }
}

/// A name for a system call; what could leave its directory is `Corrupt`.
pub fn c_name(name: &[u8]) -> Result<CString> {
    let bad = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/');
    match CString::new(name) {
        Ok(name) if !bad => Ok(name),
        _ => Err(Error::corrupt(format!("{} is not a file name", quoted(OsStr::from_bytes(name))))),
    }
}

/// A path's directory and its last name; `None` for the empty path.
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => Some((&path[..at], &path[at + 1..])),
        None if path.is_empty() => None,
        None => Some((b"", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_anywhere_and_back_deeper_than_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let top = || Dir::open(dir.path()).unwrap();
        let mut cursor = Cursor::new(top());
        for _ in 0..3_000 {
            rustix::fs::mkdirat(cursor.here(), c"d", Mode::RWXU).unwrap();
            cursor.down(c"d").unwrap();
        }
        assert_eq!(cursor.depth(), 3_000);
        let ino = |cursor: &Cursor| cursor.here().stat_self().unwrap().ino;
        let half = vec!["d"; 1_500].join("/").into_bytes();
        cursor.go(&half).unwrap();
        let seen = ino(&cursor);
        cursor.go(b"").unwrap();
        assert_eq!(ino(&cursor), Dir::open(dir.path()).unwrap().stat_self().unwrap().ino);
        cursor.go(&half).unwrap();
        assert_eq!(ino(&cursor), seen);
        assert!(cursor.go(b"d/x").unwrap_err().is(libc::ENOENT));
        assert_eq!(cursor.depth(), 1);
        let mut foreign = Cursor::of_foreign(top());
        foreign.go(&vec!["d"; 200].join("/").into_bytes()).unwrap();
        foreign.go(&vec!["d"; 100].join("/").into_bytes()).unwrap();
        cursor.go(&vec!["d"; 100].join("/").into_bytes()).unwrap();
        assert_eq!(ino(&foreign), ino(&cursor));
        crate::os::remove::remove_tree(dir.path()).unwrap();
    }

    #[test]
    fn names_that_could_leave_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert!(c_name(bad).is_err());
        }
        assert_eq!(split(b"a/b/c"), Some((&b"a/b"[..], &b"c"[..])));
        assert_eq!(split(b"a"), Some((&b""[..], &b"a"[..])));
        assert_eq!(split(b""), None);
    }
}
