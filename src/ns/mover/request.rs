//! A request, as it came through the socket.

use std::ffi::CStr;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::super::sys;
use crate::psfs::door::{HEAD, Head, NAME};

/// Who connects has a request ready; nobody else waits longer for who has not.
const PATIENCE_MS: i32 = 1000;

/// A name in a directory.
pub(super) struct Name {
    /// Opened with O_PATH by who asks.
    pub(super) dir: OwnedFd,
    bytes: [u8; NAME + 1],
}

/// Whoever comes after a mover that was killed reads it again, so it stays where it is.
pub(super) struct Request {
    pub(super) flags: u32,
    pub(super) old: Name,
    pub(super) new: Name,
}

impl Request {
    /// `None`: nothing came, or what is no request.
    pub(super) fn receive(connection: &OwnedFd) -> Option<Self> {
        let mut entry = [libc::pollfd { fd: connection.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        sys::poll(&mut entry, PATIENCE_MS).ok()?;
        let mut bytes = [0u8; HEAD + 2 * NAME + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT | RecvFlags::PEEK;
        let length = rustix::net::recvmsg(connection, &mut parts, &mut control, flags).ok()?.bytes;
        let mut dirs = [None, None];
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                dirs.iter_mut().zip(rights).for_each(|(place, dir)| *place = Some(dir));
            }
        }
        let [Some(old), Some(new)] = dirs else { return None };
        let (head, names) = bytes.get(..length)?.split_at_checked(HEAD)?;
        let head = Head::decode(head)?;
        let (first, second) = names.split_at_checked(head.old.into())?;
        if second.len() != usize::from(head.new) {
            return None;
        }
        Some(Self { flags: head.flags, old: Name::new(old, first)?, new: Name::new(new, second)? })
    }
}

/// Takes a request away that has been answered.
pub(super) fn consume(connection: &OwnedFd) {
    let mut byte = [0u8; 1];
    let _ = rustix::net::recv(connection, &mut byte, RecvFlags::DONTWAIT);
}

impl Name {
    /// `None`: the name is none.
    fn new(dir: OwnedFd, name: &[u8]) -> Option<Self> {
        let bad = matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, 0 | b'/'));
        let mut bytes = [0; NAME + 1];
        bytes.get_mut(..name.len()).filter(|_| !bad && name.len() <= NAME)?.copy_from_slice(name);
        Some(Self { dir, bytes })
    }

    /// A temporary name of ours: never taken in, whatever becomes of it (rule 25).
    pub(super) fn temporary(dir: &OwnedFd, number: u32) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(dir, c".", flags, Mode::empty())?;
        let mut name = *b".vrift-move-00000000-000";
        let mut write = |mut value: u32, end: usize, digits: usize| {
            for place in name.iter_mut().take(end).rev().take(digits) {
                *place = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        write(rustix::process::getpid().as_raw_pid().unsigned_abs(), 20, 8);
        write(number, 24, 3);
        Self::new(dir, &name).ok_or(Errno::INVAL)
    }

    /// The same without its first dot and so no name of ours: what has it is taken in.
    pub(super) fn shown(&self) -> Result<Self, Errno> {
        let name = self.name().to_bytes();
        self.beside(name.strip_prefix(b".").unwrap_or(name))
    }

    /// Another name in the same directory.
    pub(super) fn beside(&self, name: &[u8]) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&self.dir, c".", flags, Mode::empty())?;
        Self::new(dir, name).ok_or(Errno::INVAL)
    }

    pub(super) fn name(&self) -> &CStr {
        // there is a zero after the longest name
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
