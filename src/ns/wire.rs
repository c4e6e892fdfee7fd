//! What launchers and init say to each other: one SOCK_SEQPACKET message each.
//!
//! ```text
//! launcher ▶ init   START mapped   the id maps are written / write them yourself
//!                   HELLO pid      a joiner; answered by WELCOME with init's pidfd, the lock, the inotify, the requests
//!                   COMMAND pid    sent by the command itself before exec: its pid in the namespace
//!                   LEAVE wait unless-shared   answered by OTHERS, or by LAST when everything has ended;
//!                                  unless shared: where another run ever took part, OTHERS is said and nobody leaves
//!                   INFO           answered by RUNS
//!                   STOP pid       ends a launcher's command, or all (0); answered by RUNS, without pairs
//! init ▶ launcher   WARNING* then READY or FAILED, on the opener's connection
//!                   WELCOME · REFUSED · OTHERS · LAST count names · RUNS pairs
//! ```
//! A request is 8 bytes: tag, flag, two zeros, a number; a reply has a tag, three
//! zeros, two numbers and text. All numbers are in the machine's own order.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// A launcher's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Start { mapped: bool },
    Hello { pid: i32 },
    Command { pid: i32 },
    Leave { wait: bool, unless_shared: bool },
    Info,
    Stop { launcher: i32 },
}

/// Bytes of a request.
pub(super) const REQUEST: usize = 8;
/// Bytes of a reply's fixed part.
const HEAD: usize = 12;
/// In the first number of a WELCOME, whose second is the inode of init's pid namespace: which descriptors follow init's pidfd and the lock.
pub(super) const HAS_INOTIFY: i32 = 1;
pub(super) const HAS_REQUESTS: i32 = 2;
/// Beside them: the session has a pid namespace of its own.
pub(super) const HAS_PIDS: i32 = 4;
/// Descriptors in a reply at most.
pub(super) const FDS: usize = 4;
/// Bytes of text in a reply at most.
pub(super) const TEXT: usize = 2048;

impl Request {
    pub(super) fn encode(self) -> [u8; REQUEST] {
        let (tag, flag, number) = match self {
            Request::Start { mapped } => (1, mapped, 0),
            Request::Hello { pid } => (2, false, pid),
            Request::Command { pid } => (3, false, pid),
            Request::Leave { wait, unless_shared } => (4, wait, i32::from(unless_shared)),
            Request::Info => (5, false, 0),
            Request::Stop { launcher } => (6, false, launcher),
        };
        let [a, b, c, d] = number.to_ne_bytes();
        [tag, u8::from(flag), 0, 0, a, b, c, d]
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let &[tag, flag, 0, 0, a, b, c, d] = bytes else { return None };
        let (flag, pid) = (flag != 0, i32::from_ne_bytes([a, b, c, d]));
        // no process has such a number; to kill(2) it would mean a group
        if pid < 0 {
            return None;
        }
        Some(match tag {
            1 => Request::Start { mapped: flag },
            2 => Request::Hello { pid },
            3 => Request::Command { pid },
            4 => Request::Leave { wait: flag, unless_shared: pid != 0 },
            5 => Request::Info,
            6 => Request::Stop { launcher: pid },
            _ => return None,
        })
    }

    /// Sends it; waits for room.
    pub(super) fn send(self, socket: impl AsFd) -> Result<(), Errno> {
        rustix::net::send(socket, &self.encode(), SendFlags::NOSIGNAL).map(drop)
    }
}

/// What kind of reply it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Ready = 1,
    Failed,
    Warning,
    Welcome,
    Refused,
    Others,
    Last,
    Runs,
}

impl Tag {
    fn from_byte(byte: u8) -> Option<Self> {
        use Tag::{Failed, Last, Others, Ready, Refused, Runs, Warning, Welcome};
        [Ready, Failed, Warning, Welcome, Refused, Others, Last, Runs]
            .into_iter()
            .find(|&tag| tag as u8 == byte)
    }
}

/// Sends a reply without waiting: init waits for nobody.
pub(super) fn reply(
    socket: impl AsFd,
    tag: Tag,
    numbers: (i32, i32),
    text: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut head = [0u8; HEAD];
    let bytes = [tag as u8, 0, 0, 0].into_iter();
    let bytes = bytes.chain(numbers.0.to_ne_bytes()).chain(numbers.1.to_ne_bytes());
    head.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    let text = text.get(..text.len().min(TEXT)).unwrap_or(&[]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let parts = [IoSlice::new(&head), IoSlice::new(text)];
    rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(drop)
}

/// A reply as the launcher gets it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) tag: Tag,
    pub(super) numbers: (i32, i32),
    pub(super) text: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
}

/// Waits for a reply; `None` when init has gone or closed the connection.
pub(super) fn receive(socket: impl AsFd) -> Result<Option<Reply>, Errno> {
    let mut resets = 0;
    loop {
        let mut bytes = [0u8; HEAD + TEXT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let length = match rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => message.bytes,
            Err(Errno::INTR) => continue,
            // Init ended with a request unread; what it had said before is still there.
            Err(Errno::CONNRESET) if resets == 0 => {
                resets += 1;
                continue;
            }
            Err(Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        return Ok(parse(bytes.get(..length).unwrap_or(&[]), fds));
    }
}

pub(super) fn parse(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Reply> {
    let (head, text) = bytes.split_at_checked(HEAD)?;
    let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes);
    let tag = Tag::from_byte(*head.first()?)?;
    Some(Reply { tag, numbers: (number(4)?, number(8)?), text: text.to_vec(), fds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_back_and_others_do_not() {
        for request in [
            Request::Start { mapped: true },
            Request::Hello { pid: 7 },
            Request::Command { pid: 1 },
            Request::Leave { wait: true, unless_shared: false },
            Request::Leave { wait: false, unless_shared: true },
            Request::Info,
            Request::Stop { launcher: 12 },
        ] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        assert_eq!(Request::decode(&[9, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Request::decode(&[1, 0, 0]), None);
        assert_eq!(Request::decode(&Request::Command { pid: -1 }.encode()), None);
    }
}
