//! The steps that keep a session from the rest of the machine: what is read-only, what
//! is the session's own. As in the interpreter, raw system calls on what the plan holds.
//!
//! None of it can be undone from inside: the command has no CAP_SYS_ADMIN in the session's
//! user namespace, and in one that it makes below, all mounts it finds are locked, and
//! read-only ones stay read-only (mount_namespaces(7)).

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags};

use super::interpret::{Part, attach, take_hold};
use super::plan::{Carried, FileSystem, Fresh, ReadOnly};
use super::sys;

/// What in `/proc` is the machine's. Writes are let through for uid 0 of the first user
/// namespace, whatever its capabilities (`test_perm` in the kernel's proc_sysctl.c): a
/// core_pattern would run a program outside.
const OF_THE_MACHINE: [&CStr; 7] = [
    c"/proc/sys",
    c"/proc/sysrq-trigger",
    c"/proc/irq",
    c"/proc/bus",
    c"/proc/fs",
    c"/proc/acpi",
    c"/proc/scsi",
];

pub(super) fn private_mounts() -> Result<(), Part> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", flags).map_err(|errno| (errno, ""))
}

/// What stays writable is taken hold of before, and put back on top after.
pub(super) fn read_only(what: &ReadOnly, held: &mut [Option<OwnedFd>]) -> Result<(), Part> {
    for (place, path) in held.iter_mut().zip(&what.but) {
        *place = Some(whole(path)?);
    }
    protect(&what.path)?;
    for (place, path) in held.iter_mut().zip(&what.but) {
        if let Some(mount) = place.take() {
            attach(&mount, path).map_err(|errno| (errno, "put back what stays writable"))?;
        }
    }
    Ok(())
}

/// The root itself cannot be mounted over; everything else becomes a mount of its own.
fn protect(path: &CStr) -> Result<(), Part> {
    let set =
        |mount: &OwnedFd| sys::set_all_read_only(mount.as_fd()).map_err(|errno| (errno, "mount_setattr"));
    if path == c"/" {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| (errno, "open"))?;
        return set(&root);
    }
    let mount = whole(path)?;
    set(&mount)?;
    attach(&mount, path).map_err(|errno| (errno, "move_mount"))
}

fn whole(path: &CStr) -> Result<OwnedFd, Part> {
    take_hold(path, OpenTreeFlags::AT_RECURSIVE).map_err(|errno| (errno, "open_tree"))
}

/// What is carried is taken hold of before the tmpfs hides it.
pub(super) fn fresh(fresh: &Fresh, held: &mut [Option<OwnedFd>]) -> Result<(), Part> {
    for (place, carried) in held.iter_mut().zip(&fresh.carried) {
        *place = Some(whole(&carried.path)?);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount(c"vrift", &*fresh.path, c"tmpfs", flags, &*fresh.options)
        .map_err(|errno| (errno, "tmpfs"))?;
    for dir in &fresh.dirs {
        make_dir(dir)?;
    }
    for (place, Carried { path, is_dir }) in held.iter_mut().zip(&fresh.carried) {
        let Some(mount) = place.take() else { continue };
        match is_dir {
            true => make_dir(path)?,
            false => {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::open(&**path, flags, Mode::from(0o444)).map_err(|errno| (errno, "create"))?;
            }
        }
        attach(&mount, path).map_err(|errno| (errno, "move_mount"))?;
    }
    for (text, place) in &fresh.links {
        rustix::fs::symlinkat(&**text, CWD, &**place).map_err(|errno| (errno, "symlink"))?;
    }
    Ok(())
}

fn make_dir(path: &CStr) -> Result<(), Part> {
    match rustix::fs::mkdirat(CWD, path, Mode::from(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err((errno, "mkdir")),
    }
}

pub(super) fn file_system(what: &FileSystem) -> Result<(), Part> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount(c"vrift", &*what.path, &*what.kind, flags, &*what.options)
        .map_err(|errno| (errno, "mount"))
}

pub(super) fn guard_proc() -> Result<(), Part> {
    for path in OF_THE_MACHINE {
        match protect(path) {
            Ok(()) | Err((Errno::NOENT, _)) => {}
            Err(part) => return Err(part),
        }
    }
    Ok(())
}
