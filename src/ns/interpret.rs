//! Carries out a plan inside the new namespaces.
//!
//! Runs in init, between clone and the first request: raw system calls on what the
//! plan holds, no allocation. The first step that fails ends it; what a step may do
//! without is reported by `warn` and passed over.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::enclose;
use super::plan::{Bind, Cover, Held, Page, Plan, Step};
use super::sys;
use crate::psfs::{door, page, sight};

/// Requests from inside that may wait.
const BACKLOG: i32 = 64;

/// Why a step did not work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    /// Position in the plan.
    pub(super) step: usize,
    pub(super) errno: i32,
    /// Which part of the step; empty: the step is one call.
    pub(super) detail: &'static str,
}

/// The state of a run through a plan.
pub(super) struct Interpreter<'a> {
    pub(super) plan: &'a Plan,
    /// As many empty places as the plan holds descriptors.
    pub(super) held: &'a mut [Option<OwnedFd>],
    pub(super) inotify: Option<&'a OwnedFd>,
    /// The socket that gets a name in the cover.
    pub(super) requests: Option<&'a OwnedFd>,
    /// Where the mover is asked; made with the cover.
    pub(super) door: Option<OwnedFd>,
    /// There is a new pid namespace.
    pub(super) has_pids: bool,
    /// `/proc` shows this pid namespace.
    pub(super) proc_is_ours: bool,
}

/// What did not work, and which part of its step it was.
pub(super) type Part = (Errno, &'static str);

impl<'a> Interpreter<'a> {
    pub(super) fn run(&mut self, warn: &mut dyn FnMut(Trouble)) -> Result<(), Trouble> {
        let plan = self.plan;
        let mut submounts: &'a [Held] = &[];
        self.hold_windows()?;
        for (step, what) in plan.steps.iter().enumerate() {
            let trouble = |(errno, detail): Part| Trouble { step, errno: errno.raw_os_error(), detail };
            match what {
                Step::SlaveMounts => slave_mounts().map_err(trouble)?,
                Step::HoldSubmounts(paths) => {
                    submounts = paths;
                    self.hold(paths).map_err(trouble)?;
                }
                Step::Overlay(spec) => {
                    spec.mount().map_err(|failure| Trouble {
                        step,
                        errno: failure.errno,
                        detail: failure.step,
                    })?;
                }
                Step::RestoreSubmounts => {
                    self.restore(submounts, &mut |part| warn(trouble(part))).map_err(trouble)?
                }
                Step::Bind(binds) => binds.iter().try_for_each(bind).map_err(trouble)?,
                Step::Watch(root) => {
                    if let Err(errno) = self.watch(root) {
                        warn(trouble((errno, "inotify")));
                    }
                }
                Step::Cover(cover) => self.cover(cover).map_err(trouble)?,
                Step::Page(page) => write_page(page).map_err(trouble)?,
                Step::PrivateMounts => enclose::private_mounts().map_err(trouble)?,
                Step::ReadOnly(what) => {
                    enclose::read_only(what, last(self.held, what.but.len())).map_err(trouble)?
                }
                Step::Fresh(fresh) => {
                    enclose::fresh(fresh, last(self.held, fresh.carried.len())).map_err(trouble)?
                }
                Step::FileSystem(mount) => enclose::file_system(mount).map_err(trouble)?,
                Step::GuardProc => enclose::guard_proc().map_err(trouble)?,
                Step::Loopback => sys::loopback_up().map_err(|errno| trouble((errno, "")))?,
                // the outer one is right for who shares the outer pid namespace
                Step::FreshProc if !self.has_pids => {}
                Step::FreshProc => match fresh_proc() {
                    Ok(()) => self.proc_is_ours = true,
                    Err(Errno::PERM) => warn(trouble((Errno::PERM, "the outer one stays"))),
                    Err(errno) => return Err(trouble((errno, ""))),
                },
            }
        }
        Ok(())
    }

    fn hold(&mut self, places: &[Held]) -> Result<(), Part> {
        for (place, held) in self.held.iter_mut().zip(places) {
            let flags = OpenTreeFlags::AT_RECURSIVE;
            if !held.as_it_is {
                *place = Some(take_hold(&held.path, flags).map_err(|e| (e, "open_tree"))?);
                continue;
            }
            let tree = match take_hold(&held.path, flags | OpenTreeFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(tree) => tree,
                // it has gone since the host was looked at, or its way there has been closed
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => continue,
                Err(errno) => return Err((errno, "open_tree")),
            };
            sys::set_read_only(tree.as_fd(), true).map_err(|e| (e, "mount_setattr"))?;
            *place = Some(tree);
        }
        Ok(())
    }

    /// A mount point that the view does not have any more is left out, said.
    fn restore(&mut self, places: &[Held], warn: &mut dyn FnMut(Part)) -> Result<(), Part> {
        for (place, held) in self.held.iter_mut().zip(places) {
            let Some(mount) = place.take() else { continue };
            match attach(&mount, &held.path) {
                Ok(()) => {}
                Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
                    warn((errno, "a mount point is not in the view"))
                }
                Err(errno) => return Err((errno, "move_mount")),
            }
        }
        Ok(())
    }

    fn watch(&self, root: &CString) -> Result<(), Errno> {
        let inotify = self.inotify.ok_or(Errno::MFILE)?;
        // IN_UNMOUNT is always reported; IN_DELETE_SELF only makes the mask valid
        let mask = rustix::fs::inotify::WatchFlags::DELETE_SELF | rustix::fs::inotify::WatchFlags::ONLYDIR;
        rustix::fs::inotify::add_watch(inotify, root.as_c_str(), mask).map(drop)
    }

    /// Takes hold of what shows through covers before anything is mounted over it. The first
    /// places belong to submounts.
    fn hold_windows(&mut self) -> Result<(), Trouble> {
        let places = self.held.iter_mut().skip(self.plan.submounts());
        for (place, (step, window)) in places.zip(self.plan.windows()) {
            let trouble = |detail| move |errno: Errno| Trouble { step, errno: errno.raw_os_error(), detail };
            let mount = take_hold(&window.source, OpenTreeFlags::empty()).map_err(trouble("open_tree"))?;
            if !window.is_writable {
                sys::set_read_only(mount.as_fd(), false).map_err(trouble("mount_setattr"))?;
            }
            *place = Some(mount);
        }
        Ok(())
    }

    /// Its windows are the first that are still held.
    fn cover(&mut self, cover: &Cover) -> Result<(), Part> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount(c"vrift", cover.path(), c"tmpfs", flags, cover.options())
            .map_err(|e| (e, "tmpfs"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(cover.path(), flags, Mode::empty()).map_err(|e| (e, "open"))?;
        for (name, content) in cover.files() {
            write_file(&dir, name, content).map_err(|e| (e, "write"))?;
        }
        let held = self.held.iter_mut().filter(|place| place.is_some());
        for (place, window) in held.zip(cover.binds()) {
            let Some(mount) = place.take() else { continue };
            let target = window.target.as_c_str();
            if window.is_dir {
                rustix::fs::mkdir(target, Mode::from(0o555)).map_err(|e| (e, "create"))?;
            } else {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::open(target, flags, Mode::from(0o444)).map_err(|e| (e, "create"))?;
            }
            attach(&mount, &window.target).map_err(|e| (e, "move_mount"))?;
        }
        if let (Some(name), Some(requests)) = (cover.requests(), self.requests) {
            listen_at(&dir, name, requests).map_err(|e| (e, "socket"))?;
        }
        if cover.has_door() {
            self.door = Some(make_door(&dir).map_err(|e| (e, "socket"))?);
        }
        drop(dir);
        if cover.has_page() { Ok(()) } else { seal(cover.path()) }
    }
}

/// Makes a cover read-only.
fn seal(cover: &CStr) -> Result<(), Part> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
    rustix::mount::mount_remount(cover, flags, c"").map_err(|e| (e, "remount"))
}

/// What cannot be seen stays unknown in the page: nothing is answered of it.
fn write_page(page: &Page) -> Result<(), Part> {
    let dir =
        rustix::fs::open(&page.cover, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| (e, "open"))?;
    let file = rustix::fs::openat(&dir, page::NAME, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| (e, "open"))?;
    let write = |bytes: &[u8], at| rustix::io::pwrite(&file, bytes, at).map_err(|e| (e, "write"));
    if let Ok(namespace) = sight::namespace() {
        write(&namespace.to_ne_bytes(), sight::NAMESPACE)?;
    }
    for (number, root) in page.roots.iter().enumerate() {
        if let Ok(seen) = sight::look(root) {
            write(&seen.encode(), sight::place(number))?;
        }
    }
    drop((file, dir));
    seal(&page.cover)
}

/// From the directory, because a socket's whole path may be too long (108 bytes).
fn listen_at(dir: &OwnedFd, name: &CStr, socket: &OwnedFd) -> Result<(), Errno> {
    rustix::process::fchdir(dir)?;
    rustix::net::bind(socket, &SocketAddrUnix::new(name)?)?;
    rustix::net::listen(socket, BACKLOG)?;
    rustix::process::chdir(c"/")
}

/// Makes the mover's socket in a directory.
fn make_door(dir: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    listen_at(dir, door::SOCKET, &socket)?;
    // every user of the session may ask; what each may is seen then
    rustix::fs::chmodat(dir, door::SOCKET, Mode::from(0o666), AtFlags::empty())?;
    Ok(socket)
}

fn bind(bind: &Bind) -> Result<(), Part> {
    let all = bind.whole || !bind.read_only;
    let more = if all { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let mount = take_hold(&bind.source, more).map_err(|e| (e, "open_tree"))?;
    if bind.read_only {
        sys::set_read_only(mount.as_fd(), all).map_err(|e| (e, "mount_setattr"))?;
    }
    attach(&mount, &bind.target).map_err(|e| (e, "move_mount"))
}

fn slave_mounts() -> Result<(), Part> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", flags).map_err(|errno| (errno, ""))
}

fn fresh_proc() -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None)
}

/// Places that no other step has taken: those are filled from the front, and there are as
/// many as all steps need together.
fn last(held: &mut [Option<OwnedFd>], count: usize) -> &mut [Option<OwnedFd>] {
    let from = held.len().saturating_sub(count);
    held.get_mut(from..).unwrap_or(&mut [])
}

pub(super) fn take_hold(path: &CStr, more: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | more;
    rustix::mount::open_tree(CWD, path, flags)
}

pub(super) fn attach(mount: &OwnedFd, target: &CStr) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", CWD, target, flags)
}

fn write_file(dir: &OwnedFd, name: &CString, content: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name.as_c_str(), flags, Mode::from(0o444))?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or(&[]);
    }
    Ok(())
}
