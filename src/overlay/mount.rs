//! Mounting the overlay, by raw system calls on what was prepared before: it runs in a
//! clone of a process that may have had threads, so no allocation and no lock.
//!
//! Options are always `userxattr` (without it the mount succeeds and directories break
//! later), `index=off`, and `volatile` with an upper: a fresh upper and work for every
//! session, durability by our own syncfs. Paths are relative to the store, which keeps
//! them below fsconfig's 256 bytes and the option string below a page.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
};

use super::compat;
use crate::error::{Error, Result};

/// An overlay to be mounted.
#[derive(Debug)]
pub struct OverlaySpec {
    /// By path, not by descriptor: one opened outside belongs to another mount
    /// namespace, whose directories cannot be layers (EINVAL).
    base: CString,
    lowers: Vec<CString>,
    data: Option<CString>,
    upper: Option<(CString, CString)>,
    target: CString,
    /// The same as one option string, for kernels without `lowerdir+`.
    options: CString,
}

/// The part of the mount that failed.
#[derive(Clone, Copy, Debug)]
pub struct MountFailure {
    pub step: &'static str,
    pub errno: i32,
}

impl OverlaySpec {
    /// Prepares a mount at `target`. Lowers (top first), the data-only lower, upper and
    /// work are relative to `base`; without an upper the view is read-only.
    pub fn new(
        base: &Path,
        lowers: Vec<CString>,
        data: Option<CString>,
        upper: Option<(CString, CString)>,
        target: CString,
    ) -> Result<Self> {
        let base = CString::new(base.as_os_str().as_bytes())
            .map_err(|_| Error::failure("the store's path has a NUL"))?;
        let options = option_string(&lowers, data.as_ref(), upper.as_ref())?;
        Ok(Self { base, lowers, data, upper, target, options })
    }

    /// Mounts it. Raw system calls only; changes the working directory.
    pub fn mount(&self) -> std::result::Result<(), MountFailure> {
        let failure =
            |(step, errno): (&'static str, Errno)| MountFailure { step, errno: errno.raw_os_error() };
        rustix::process::chdir(self.base.as_c_str()).map_err(|errno| failure(("chdir", errno)))?;
        match self.attempt() {
            Err((_, errno)) if compat::wants_syncfs(errno) && self.upper.is_some() => {
                self.sync().map_err(|errno| failure(("syncfs", errno)))?;
                self.attempt().map_err(failure)
            }
            other => other.map_err(failure),
        }
    }

    pub fn target(&self) -> &CStr {
        &self.target
    }

    pub fn lowers(&self) -> &[CString] {
        &self.lowers
    }

    pub fn upper(&self) -> Option<&CStr> {
        self.upper.as_ref().map(|(upper, _)| upper.as_c_str())
    }

    pub fn data(&self) -> Option<&CStr> {
        self.data.as_deref()
    }

    pub fn base(&self) -> &CStr {
        &self.base
    }

    fn attempt(&self) -> std::result::Result<(), (&'static str, Errno)> {
        match self.by_descriptor() {
            Err((step, errno)) if compat::wants_option_string(step, errno) => {
                self.by_option_string().map_err(|errno| ("mount", errno))
            }
            other => other,
        }
    }

    fn by_descriptor(&self) -> std::result::Result<(), (&'static str, Errno)> {
        let at = |step: &'static str| move |errno: Errno| (step, errno);
        let fs = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("fsopen"))?;
        for lower in &self.lowers {
            fsconfig_set_string(&fs, c"lowerdir+", lower.as_c_str()).map_err(at("lowerdir+"))?;
        }
        if let Some(data) = &self.data {
            fsconfig_set_string(&fs, c"datadir+", data.as_c_str()).map_err(at("datadir+"))?;
        }
        if let Some((upper, work)) = &self.upper {
            fsconfig_set_string(&fs, c"upperdir", upper.as_c_str()).map_err(at("upperdir"))?;
            fsconfig_set_string(&fs, c"workdir", work.as_c_str()).map_err(at("workdir"))?;
            fsconfig_set_flag(&fs, c"volatile").map_err(at("volatile"))?;
        }
        fsconfig_set_flag(&fs, c"userxattr").map_err(at("userxattr"))?;
        fsconfig_set_string(&fs, c"index", c"off").map_err(at("index"))?;
        fsconfig_create(&fs).map_err(at("create"))?;
        let flags = MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(at("fsmount"))?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&mount, c"", CWD, self.target.as_c_str(), empty).map_err(at("move_mount"))
    }

    fn by_option_string(&self) -> std::result::Result<(), Errno> {
        mount(c"overlay", self.target.as_c_str(), c"overlay", MountFlags::NODEV, self.options.as_c_str())
    }

    fn sync(&self) -> std::result::Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let real = rustix::fs::openat(CWD, self.base.as_c_str(), flags, Mode::empty())?;
        rustix::fs::syncfs(&real)
    }
}

/// `lowerdir=A:B::DATA,upperdir=…`: `:`, `,` and `\` in a path are escaped.
fn option_string(
    lowers: &[CString],
    data: Option<&CString>,
    upper: Option<&(CString, CString)>,
) -> Result<CString> {
    let mut text = b"lowerdir=".to_vec();
    for (index, lower) in lowers.iter().enumerate() {
        if index > 0 {
            text.push(b':');
        }
        escape_into(&mut text, lower, true);
    }
    if let Some(data) = data {
        text.extend_from_slice(b"::");
        escape_into(&mut text, data, true);
    }
    if let Some((upper, work)) = upper {
        for (key, path) in [(&b",upperdir="[..], upper), (&b",workdir="[..], work)] {
            text.extend_from_slice(key);
            escape_into(&mut text, path, false);
        }
        text.extend_from_slice(b",volatile");
    }
    text.extend_from_slice(b",userxattr,index=off");
    CString::new(text).map_err(|_| Error::failure("a mount option with a NUL"))
}

fn escape_into(text: &mut Vec<u8>, path: &CStr, colons: bool) {
    for &byte in path.to_bytes() {
        if byte == b'\\' || byte == b',' || (colons && byte == b':') {
            text.push(b'\\');
        }
        text.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_string_says_the_same_as_the_calls() {
        let c = |text: &str| CString::new(text).unwrap();
        let upper = (c("u,p"), c("w:k"));
        let options = option_string(&[c("l:1"), c("l2")], Some(&c("objects")), Some(&upper)).unwrap();
        assert_eq!(
            options.to_str().unwrap(),
            "lowerdir=l\\:1:l2::objects,upperdir=u\\,p,workdir=w:k,volatile,userxattr,index=off"
        );
    }
}
