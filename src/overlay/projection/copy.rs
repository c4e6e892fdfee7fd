//! Real files: each a reflink or a copy of its object.
//!
//! For a directory of the host (`export`, `apply`), and for layers, where stubs are not
//! followed. An empty file has no object. On a filesystem without O_TMPFILE a file is made under
//! a name that sync passes over (`.vrift-…`, rule 5).

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, fchmod, fstat, futimens};
use rustix::io::Errno;

use crate::cas::Store;
use crate::cas::copy::copy;
use crate::error::{Context, Error, Result};
use crate::manifest::node::Entry;
use crate::os::cursor::c_name;
use crate::os::dir::Dir;
use crate::os::failpoint;
use crate::overlay::escape;
use crate::overlay::projection::leaf::times;
use crate::overlay::projection::{Made, Projection};
use crate::progress::Meter;

/// Makes copies.
pub struct Copy<'a> {
    pub store: &'a Store,
    pub meter: &'a Meter,
    /// Who reads its attributes.
    pub to: escape::To,
}

impl Projection for Copy<'_> {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn read_by(&self) -> escape::To {
        self.to
    }

    fn make_file(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        let shown = c_name(&entry.name).map_or_else(|_| dir.path().to_path_buf(), |name| dir.join(&name));
        let content = entry.content().ok_or_else(|| Error::failure("only a regular file can be a copy"))?;
        let (fd, temporary) = unnamed(dir).context("make", &shown)?;
        failpoint::at("copy.file").context("write", &shown)?;
        if content.size > 0 {
            let object = self.store.open_object(&content.digest)?;
            let stat = fstat(&object).context("read the object of", &shown)?;
            if stat.st_size as u64 != content.size {
                return Err(Error::corrupt(format!("object {} has another size", content.digest))
                    .with_hint("the store is damaged: this file cannot be written out"));
            }
            copy(object.as_fd(), &fd, content.size, stat.st_blocks as u64).context("write", &shown)?;
        }
        let meta = &entry.meta;
        let finish = || {
            let left_out = escape::write_xattrs(&fd, &meta.xattrs, self.read_by())?;
            fchmod(&fd, Mode::from_raw_mode(meta.mode.into()))?;
            futimens(&fd, &times(meta.mtime))?;
            Ok::<_, rustix::io::Errno>(left_out)
        };
        let xattrs_left_out = finish().context("set the metadata of", &shown)?;
        self.meter.file(content.size);
        Ok(Made { fd, temporary, is_shared: false, xattrs_left_out })
    }
}

/// A file without a name, or else with one that nobody has.
fn unnamed(dir: &Dir) -> Result<(OwnedFd, Option<CString>), Errno> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (mode, flags) = (Mode::RUSR | Mode::WUSR, OFlags::RDWR | OFlags::CLOEXEC);
    let made = failpoint::at("copy.tmpfile")
        .and_then(|()| rustix::fs::openat(dir, c".", flags | OFlags::TMPFILE, mode));
    match made {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
        other => return other.map(|fd| (fd, None)),
    }
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name =
        CString::new(format!(".vrift-new-{}-{number}", std::process::id())).map_err(|_| Errno::INVAL)?;
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let fd = rustix::fs::openat(dir, &*name, flags, mode)?;
    Ok((fd, Some(name)))
}
