//! The files of layers that are merged, linked as they lie there: each stays the inode that
//! an object may share, at the same path (rule 11).

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};

use crate::error::Result;
use crate::manifest::node::Entry;
use crate::os::dir::{Dir, stat_fd};
use crate::overlay::escape;
use crate::overlay::projection::{Copy, Made, Projection};

/// The files of the layers that are merged.
pub struct Linked<'a> {
    /// Where the new layer is made.
    dest: PathBuf,
    /// Topmost first; together they hold all that the new one is to have.
    sources: Vec<Dir>,
    copy: Copy<'a>,
}

impl<'a> Linked<'a> {
    /// What is not found as it is to be is copied.
    pub fn new(copy: Copy<'a>, dest: &Path, sources: &[PathBuf]) -> Result<Self> {
        let sources = sources.iter().map(|source| Dir::open(source)).collect::<Result<_>>()?;
        Ok(Self { dest: dest.to_path_buf(), sources, copy })
    }

    /// The file as it lies in the topmost layer that has its path; `None` where that is
    /// not the one that is wanted.
    fn find(&self, dir: &Dir, entry: &Entry) -> Option<OwnedFd> {
        let path = dir.path().strip_prefix(&self.dest).ok()?.join(OsStr::from_bytes(&entry.name));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let open = |source: &Dir| openat2(source, &path, flags, Mode::empty(), resolve).ok();
        let fd = self.sources.iter().find_map(open)?;
        let (stat, meta) = (stat_fd(&fd).ok()?, &entry.meta);
        let is_it = stat.kind == FileType::RegularFile
            && entry.content().is_some_and(|content| content.size == stat.size)
            && (stat.mode, stat.mtime) == (meta.mode, (meta.mtime.secs, meta.mtime.nanos));
        is_it.then_some(fd)
    }
}

impl Projection for Linked<'_> {
    fn name(&self) -> &'static str {
        "linked"
    }

    fn read_by(&self) -> escape::To {
        self.copy.to
    }

    fn make_file(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        match self.find(dir, entry) {
            Some(fd) => Ok(Made { fd, temporary: None, is_shared: true, xattrs_left_out: 0 }),
            None => self.copy.make_file(dir, entry),
        }
    }

    fn make_own(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        self.copy.make_file(dir, entry)
    }
}
