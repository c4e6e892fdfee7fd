//! The stub projection: a regular file in the lower that has everything but the
//! content, and two xattrs that say which object has it.
//!
//! The overlay reads through `user.overlay.redirect` into the data-only lower when
//! `user.overlay.metacopy` is there (Linux 6.16+, rootless, lowest lower only). The
//! redirect `/xx/yyyyyyyyyyyyyyyyyyyy` is 24 bytes, so both stay inside a 256-byte
//! ext4 inode. An empty file is a plain empty file (rule 9).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Projection, STUB, times};
use crate::manifest::node::Entry;
use crate::os::dir::Dir;
use crate::os::xattr;
use crate::overlay::escape;

/// Makes stubs of a store's objects.
pub struct Stub;

impl Projection for Stub {
    fn name(&self) -> &'static str {
        STUB
    }

    fn make_file(&self, scratch: &Dir, entry: &Entry) -> Result<OwnedFd, Errno> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(scratch, c".", flags, Mode::RUSR | Mode::WUSR)?;
        if let Some(content) = entry.content().filter(|content| content.size > 0) {
            rustix::fs::ftruncate(&file, content.size)?;
            xattr::set(&file, c"user.overlay.metacopy", b"")?;
            let redirect = format!("/{}", content.digest.object_path());
            xattr::set(&file, c"user.overlay.redirect", redirect.as_bytes())?;
        }
        escape::write_xattrs(file.as_fd(), &entry.meta.xattrs)?;
        // After the xattrs: an ACL is part of the mode and changes it.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.meta.mode.into()))?;
        rustix::fs::futimens(&file, &times(entry.meta.mtime))?;
        Ok(file)
    }
}
