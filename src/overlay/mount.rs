//! One overlay mount by raw system calls.
//!
//! [`OverlaySpec::mount`] runs in a child cloned from a process with threads: it
//! allocates nothing, takes no lock and touches no errno; everything it needs is made by
//! [`OverlaySpec::new`] before. Options, and no others (kernel-facts.md):
//!
//! - `userxattr`: without it the mount succeeds and `rm -r d && mkdir d` fails later;
//! - `volatile` with an upper: a closing overlay does not sync the whole filesystem;
//! - `index=off`: on is accepted and silently without effect.
//!
//! Paths of layers are relative to `base`: a string of fsconfig(2) has at most 255
//! bytes, all options of mount(2) together one page.

use std::ffi::{CStr, CString};

use rustix::fs::{Mode, OFlags, StatVfs, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::error::{Error, Result};
use crate::overlay::{compat, explain};

/// What to mount where.
#[derive(Debug)]
pub struct OverlaySpec {
    /// Where the layers' paths begin. A path, not a descriptor: one that was opened in
    /// another mount namespace leads to layers that are EINVAL (Linux 6.18).
    pub base: CString,
    /// Lower layers, top first; at least one.
    pub lowers: Vec<CString>,
    /// The data-only lower that stubs point into.
    pub data: Option<CString>,
    /// Without an upper the view is read-only.
    pub upper: Option<CString>,
    /// Empty directory on the upper's filesystem; needed with an upper.
    pub work: Option<CString>,
    /// Absolute, or relative to `base`.
    pub target: CString,
    /// The same as one string for mount(2); `None` when it does not fit in a page.
    legacy: Option<CString>,
    /// Upper and work as the kernel unescapes them.
    escaped: [Option<CString>; 2],
}

/// The layers of an overlay, as paths relative to a directory.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Top first.
    pub lowers: Vec<CString>,
    pub data: Option<CString>,
    pub upper: Option<CString>,
    pub work: Option<CString>,
}

/// The step that failed, and the system's error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountFailure {
    /// One of the constants below [`step`].
    pub step: &'static str,
    pub errno: i32,
}

/// The names of the steps.
pub mod step {
    pub const CHDIR: &str = "chdir";
    pub const FSOPEN: &str = "fsopen";
    pub const LOWER: &str = "lowerdir";
    pub const DATA: &str = "datadir";
    pub const UPPER: &str = "upperdir";
    pub const WORK: &str = "workdir";
    pub const OPTION: &str = "option";
    pub const CREATE: &str = "create";
    pub const FSMOUNT: &str = "fsmount";
    pub const ATTACH: &str = "move_mount";
    pub const LEGACY: &str = "mount";

    pub const ALL: &[&str] =
        &[CHDIR, FSOPEN, LOWER, DATA, UPPER, WORK, OPTION, CREATE, FSMOUNT, ATTACH, LEGACY];
}

impl MountFailure {
    /// As an error with cause and hint, for the process that may allocate.
    pub fn error(&self, target: &CStr) -> Error {
        use std::os::unix::ffi::OsStrExt;
        let (cause, hint) = explain::explain(self.step, self.errno);
        let io = std::io::Error::from_raw_os_error(self.errno);
        let error = Error::io("mount the overlay at", std::ffi::OsStr::from_bytes(target.to_bytes()), &io)
            .with_cause(cause);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl OverlaySpec {
    pub fn new(base: CString, layers: Layers, target: CString) -> Self {
        let legacy = compat::options(&layers);
        let escaped = [&layers.upper, &layers.work].map(|path| path.as_ref().map(|p| compat::escaped(p)));
        let Layers { lowers, data, upper, work } = layers;
        Self { base, lowers, data, upper, work, target, legacy, escaped }
    }

    /// Mounts it. The working directory of the process is `/` afterwards, whatever
    /// the result, so that none of the store is left within its reach.
    pub fn mount(&self) -> Result<(), MountFailure> {
        let result = self.mount_here();
        let home = rustix::process::chdir(c"/").map_err(at(step::CHDIR));
        result.and(home)
    }

    fn mount_here(&self) -> Result<(), MountFailure> {
        rustix::process::chdir(self.base.as_c_str()).map_err(at(step::CHDIR))?;
        match self.attempt() {
            Err(failure) if compat::wants_sync(failure, self.upper.is_some()) => {
                // an error here comes again from the mount
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let store = rustix::fs::open(c".", flags, Mode::empty());
                let _ = store.and_then(rustix::fs::syncfs);
                self.attempt()
            }
            other => other,
        }
    }

    fn attempt(&self) -> Result<(), MountFailure> {
        match self.mount_by_context() {
            Err(failure) if compat::wants_legacy(failure) => {
                self.mount_by_string().map_err(|second| compat::telling(failure, second))
            }
            other => other,
        }
    }

    /// fsopen(2) and friends: Linux 5.2; `lowerdir+` and `datadir+`: 6.8.
    fn mount_by_context(&self) -> Result<(), MountFailure> {
        let fs = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at(step::FSOPEN))?;
        let set = |key: &CStr, value: &CStr| fsconfig_set_string(&fs, key, value);
        for lower in &self.lowers {
            set(c"lowerdir+", lower).map_err(at(step::LOWER))?;
        }
        if let Some(data) = &self.data {
            set(c"datadir+", data).map_err(at(step::DATA))?;
        }
        let [upper, work] = &self.escaped;
        if let Some(upper) = upper {
            set(c"upperdir", upper).map_err(at(step::UPPER))?;
            fsconfig_set_flag(&fs, c"volatile").map_err(at(step::OPTION))?;
        }
        if let Some(work) = work {
            set(c"workdir", work).map_err(at(step::WORK))?;
        }
        set(c"index", c"off").map_err(at(step::OPTION))?;
        fsconfig_set_flag(&fs, c"userxattr").map_err(at(step::OPTION))?;
        fsconfig_create(&fs).map_err(at(step::CREATE))?;
        let flags = MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(at(step::FSMOUNT))?;
        self.writable(rustix::fs::fstatvfs(&mount))?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&mount, c"", rustix::fs::CWD, self.target.as_c_str(), empty).map_err(at(step::ATTACH))
    }

    pub(super) fn mount_by_string(&self) -> Result<(), MountFailure> {
        let options = self.legacy.as_deref().ok_or(Errno::NAMETOOLONG).map_err(at(step::LEGACY))?;
        let flags = MountFlags::NODEV;
        rustix::mount::mount(c"overlay", self.target.as_c_str(), c"overlay", flags, options)
            .map_err(at(step::LEGACY))?;
        self.writable(rustix::fs::statvfs(self.target.as_c_str()))
    }

    /// Where the kernel cannot make `work/work` (no inode is left), it mounts read-only and
    /// says so to dmesg alone.
    fn writable(&self, mounted: Result<StatVfs, Errno>) -> Result<(), MountFailure> {
        let read_only = mounted.is_ok_and(|mounted| mounted.f_flag.contains(StatVfsMountFlags::RDONLY));
        if read_only && self.upper.is_some() { Err(at(step::WORK)(Errno::NOSPC)) } else { Ok(()) }
    }
}

fn at(step: &'static str) -> impl Fn(Errno) -> MountFailure {
    move |errno| MountFailure { step, errno: errno.raw_os_error() }
}

/// What the kernel shows for the topmost mount at `target` in the text of
/// /proc/self/mountinfo (proc_pid_mountinfo(5)): the type and the filesystem's options.
pub fn shown_options(mountinfo: &str, target: &str) -> Option<(String, Vec<String>)> {
    let shown = |line: &str| {
        let (mount, fs) = line.split_once(" - ")?;
        let mut fs = fs.split(' ');
        let found = (fs.next()?.to_string(), fs.nth(1)?.split(',').map(String::from).collect());
        (unescaped(mount.split(' ').nth(4)?) == target).then_some(found)
    };
    mountinfo.lines().rev().find_map(shown)
}

/// Blank, tab, newline and backslash come as octal.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_of_a_target_is_the_one_shown() {
        let text = "1 2 0:3 / / rw - ext4 /dev/vda rw\n\
             5 1 0:9 / /a\\040b rw,relatime shared:1 - tmpfs none rw\n\
             6 5 0:9 / /a\\040b rw - overlay overlay rw,userxattr,volatile\n";
        let (kind, options) = shown_options(text, "/a b").unwrap();
        assert_eq!(
            (kind.as_str(), options),
            ("overlay", vec!["rw".into(), "userxattr".into(), "volatile".into()])
        );
        assert_eq!(shown_options(text, "/a"), None);
    }
}
