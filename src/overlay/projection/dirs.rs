//! Directories of a lower opened by relative path, one after another in tree order.

use std::ffi::CString;

use crate::error::{Error, Result};
use crate::os::dir::Dir;

/// Remembers the directory opened last: the next one is mostly the same or a neighbour.
/// Paths may be longer than PATH_MAX, so each component is opened by itself, and no
/// link is ever followed.
pub struct Dirs<'a> {
    top: &'a Dir,
    /// The chain from the top to the directory opened last.
    chain: Vec<(Vec<u8>, Dir)>,
    /// How many of the chain's descriptors are kept.
    limit: usize,
}

impl<'a> Dirs<'a> {
    pub fn new(top: &'a Dir) -> Self {
        Self { top, chain: Vec::new(), limit: 64 }
    }

    /// Opens a directory; `None` when it, or one above it, is not there or is none.
    pub fn open_if_there(&mut self, path: &[u8]) -> Result<Option<&Dir>> {
        match self.open(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if [libc::ENOENT, libc::ENOTDIR, libc::ELOOP].iter().any(|&no| error.is(no)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a directory that must be there.
    pub fn open(&mut self, path: &[u8]) -> Result<&Dir> {
        // Drop what is not on the way to `path`.
        let on_the_way =
            |dir: &[u8]| path == dir || (path.starts_with(dir) && path.get(dir.len()) == Some(&b'/'));
        while self.chain.last().is_some_and(|(dir, _)| !on_the_way(dir)) {
            self.chain.pop();
        }
        let mut at = self.chain.last().map_or(0, |(dir, _)| dir.len() + 1);
        while at < path.len() {
            let end = path[at..].iter().position(|&byte| byte == b'/').map_or(path.len(), |end| at + end);
            let name = CString::new(&path[at..end]).map_err(|_| Error::corrupt("a name with a NUL"))?;
            let dir = self.chain.last().map_or(self.top, |(_, dir)| dir).child(&name)?;
            if self.chain.len() == self.limit {
                // Deep trees: the descriptors nearest to the top are the least needed.
                self.chain.remove(0);
            }
            self.chain.push((path[..end].to_vec(), dir));
            at = end + 1;
        }
        Ok(self.chain.last().map_or(self.top, |(_, dir)| dir))
    }
}
