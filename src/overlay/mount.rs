//! Placeholder of the agreed shape: one overlay mount by raw system calls.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

/// What to mount where; lower paths are relative to `base_dir`.
#[derive(Debug)]
pub struct OverlaySpec {
    pub base_dir: OwnedFd,
    pub lowers: Vec<CString>,
    pub data: Option<CString>,
    pub upper: CString,
    pub work: Option<CString>,
    pub target: CString,
}

/// The part of the mount that failed.
#[derive(Clone, Copy, Debug)]
pub struct MountFailure {
    pub step: &'static str,
    pub errno: i32,
}

impl OverlaySpec {
    pub fn mount(&self) -> Result<(), MountFailure> {
        let at = |step: &'static str| move |e: Errno| MountFailure { step, errno: e.raw_os_error() };
        rustix::process::fchdir(&self.base_dir).map_err(at("chdir"))?;
        let fs = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("fsopen"))?;
        let set = |key: &'static CStr, value: &CStr| fsconfig_set_string(&fs, key, value);
        for lower in &self.lowers {
            set(c"lowerdir+", lower).map_err(at("lowerdir"))?;
        }
        if let Some(data) = &self.data {
            set(c"datadir+", data).map_err(at("datadir"))?;
        }
        set(c"upperdir", &self.upper).map_err(at("upperdir"))?;
        if let Some(work) = &self.work {
            set(c"workdir", work).map_err(at("workdir"))?;
        }
        set(c"index", c"off").map_err(at("index"))?;
        fsconfig_set_flag(&fs, c"userxattr").map_err(at("userxattr"))?;
        fsconfig_set_flag(&fs, c"volatile").map_err(at("volatile"))?;
        fsconfig_create(&fs).map_err(at("create"))?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(at("fsmount"))?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&mount, c"", rustix::fs::CWD, &*self.target, empty).map_err(at("move_mount"))
    }
}
