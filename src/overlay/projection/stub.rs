//! The stub projection: a file is an inode with the file's size, mode, mtime and
//! attributes, and the way to the object that has its content.
//!
//! `user.overlay.metacopy` (empty) and `user.overlay.redirect` = `/xx/yyyyyyyyyyyyyyyyyyyy`
//! are followed rootless since Linux 6.16, in the lowest regular lower only, into the
//! data-only lower. 24 bytes of redirect keep both attributes inside a 256-byte ext4
//! inode. An empty file is an empty file (rule 9). A stub owns no blocks.
//!
//! System calls a file: openat, ftruncate, 2 fsetxattr, utimensat, linkat, close;
//! fchmod only for a mode that open(2) cannot give.

use rustix::fs::{Mode, OFlags, fchmod, ftruncate, futimens};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::manifest::node::{Content, Entry};
use crate::os::cursor::c_name;
use crate::os::dir::Dir;
use crate::os::xattr;
use crate::overlay::escape;
use crate::overlay::projection::leaf::times;
use crate::overlay::projection::{Made, Projection, STUB};

/// Makes stubs.
#[derive(Clone, Copy, Debug)]
pub struct Stub {
    /// Bits that open(2) takes away.
    umask: u32,
}

impl Stub {
    /// For a process whose umask does not change while it is used.
    pub fn new() -> Self {
        Self { umask: umask() }
    }
}

impl Default for Stub {
    fn default() -> Self {
        Self::new()
    }
}

impl Projection for Stub {
    fn name(&self) -> &'static str {
        STUB
    }

    fn make_file(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        let shown = || c_name(&entry.name).map_or_else(|_| dir.path().to_path_buf(), |name| dir.join(&name));
        let Some(content) = entry.content() else {
            return Err(Error::failure("only a regular file can be a stub"));
        };
        self.make(dir, entry, content).context("make a stub of", shown())
    }
}

impl Stub {
    fn make(&self, dir: &Dir, entry: &Entry, content: &Content) -> Result<Made, Errno> {
        let meta = &entry.meta;
        let mode = Mode::from_raw_mode(meta.mode.into());
        // the owner's write bit is needed to set user attributes (xattr(7))
        let first = (mode | Mode::WUSR) & Mode::from_raw_mode(0o777);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, c".", flags, first)?;
        if content.size > 0 {
            ftruncate(&fd, content.size)?;
            xattr::set(&fd, c"user.overlay.metacopy", b"")?;
            xattr::set(
                &fd,
                c"user.overlay.redirect",
                format!("/{}", content.digest.object_path()).as_bytes(),
            )?;
        }
        let xattrs_left_out = escape::write_xattrs(&fd, &meta.xattrs, escape::To::Overlay)?;
        let has_acl = meta.xattrs.iter().any(|(name, _)| escape::is_acl(name));
        if has_acl || first.bits() & !self.umask != mode.bits() {
            fchmod(&fd, mode)?;
        }
        futimens(&fd, &times(meta.mtime))?;
        Ok(Made { fd, temporary: None, is_shared: false, xattrs_left_out })
    }
}

/// umask(2) can only be read by changing it, for all threads; /proc has it since
/// Linux 4.7. Where it is not told, every bit counts as taken away.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o777)
}
