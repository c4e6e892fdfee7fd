//! Bytes and descriptors through a stream socket: four bytes of length, which carry the
//! descriptors, and then so many bytes.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// Descriptors in one parcel at most.
const FDS: usize = 3;

/// Sends a parcel; waits for room.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let length = u32::try_from(bytes.len()).map_err(|_| Errno::MSGSIZE)?.to_ne_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::MSGSIZE);
    }
    rustix::net::sendmsg(&socket, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::net::send(&socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or(&[]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Waits for a parcel of at most `most` bytes.
///
/// # Errors
/// EPIPE when the other side has gone before the end, EMSGSIZE when it is larger.
pub fn receive(socket: impl AsFd, most: usize) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut length = [0u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut length)];
    let message = rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if message.bytes != length.len() {
        return Err(Errno::PIPE);
    }
    let length = usize::try_from(u32::from_ne_bytes(length)).unwrap_or(usize::MAX);
    if length > most {
        return Err(Errno::MSGSIZE);
    }
    let mut bytes = vec![0u8; length];
    let mut filled = 0;
    while filled < length {
        let room = bytes.get_mut(filled..).unwrap_or(&mut []);
        match rustix::net::recv(&socket, room, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(Errno::PIPE),
            Ok((_, more)) => filled += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok((bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn bytes_and_descriptors_arrive_and_what_is_too_large_or_cut_short_does_not() {
        let pair =
            || socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let (ours, theirs) = pair();
        let text = vec![7u8; 100_000];
        let sender = std::thread::spawn({
            let text = text.clone();
            move || send(&ours, &text, &[std::io::stdin().as_fd(), std::io::stderr().as_fd()])
        });
        let (bytes, fds) = receive(&theirs, 1 << 20).unwrap();
        sender.join().unwrap().unwrap();
        assert_eq!((bytes == text, fds.len()), (true, 2));
        let (ours, theirs) = pair();
        send(&ours, b"12345", &[]).unwrap();
        assert_eq!(receive(&theirs, 4).unwrap_err(), Errno::MSGSIZE);
        let (ours, theirs) = pair();
        rustix::io::write(&ours, &[9, 0, 0, 0, 1]).unwrap();
        drop(ours);
        assert_eq!(receive(&theirs, 100).unwrap_err(), Errno::PIPE);
    }
}
