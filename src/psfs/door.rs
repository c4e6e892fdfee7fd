//! What the preload library and the mover say to each other: one SOCK_SEQPACKET message
//! each. The library is built from this file too, so it needs `core` alone.
//!
//! ```text
//! library ▶ mover   magic, flags of renameat2(2), length of the old name, of the new one, zero; both names;
//!                   by SCM_RIGHTS two O_PATH descriptors: the old parent directory, the new one
//! mover ▶ library   MOVED 0      the new name is there; the old one is going
//!                   DONE errno   as rename(2) would say it; 0 after MOVED
//! ```
//! Numbers are in the machine's own order. A connection is for one request. One that
//! ends without DONE: nothing was moved, or after MOVED, not all of the old name is gone.

/// The socket's name in the cover of the store.
pub const SOCKET: &core::ffi::CStr = c"rename.sock";

/// Bytes before the names.
pub const HEAD: usize = 16;
/// Bytes of a name at most (NAME_MAX).
pub const NAME: usize = 255;
/// Bytes of a reply.
pub const REPLY: usize = 8;

const MAGIC: u32 = u32::from_ne_bytes(*b"vrm1");

pub const MOVED: u32 = 1;
pub const DONE: u32 = 2;

/// The fixed part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// RENAME_NOREPLACE, RENAME_EXCHANGE.
    pub flags: u32,
    pub old: u16,
    pub new: u16,
}

impl Head {
    pub fn encode(self) -> [u8; HEAD] {
        let [a, b, c, d] = MAGIC.to_ne_bytes();
        let [e, f, g, h] = self.flags.to_ne_bytes();
        let [i, j] = self.old.to_ne_bytes();
        let [k, l] = self.new.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]
    }

    /// `None`: not a request of this kind, or names too long.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0] = bytes else { return None };
        let head = Self {
            flags: u32::from_ne_bytes([e, f, g, h]),
            old: u16::from_ne_bytes([i, j]),
            new: u16::from_ne_bytes([k, l]),
        };
        let fits = |length: u16| (1..=NAME).contains(&usize::from(length));
        (u32::from_ne_bytes([a, b, c, d]) == MAGIC && fits(head.old) && fits(head.new)).then_some(head)
    }
}

/// A reply of this kind with this number.
pub fn reply(kind: u32, errno: i32) -> [u8; REPLY] {
    let [a, b, c, d] = kind.to_ne_bytes();
    let [e, f, g, h] = errno.to_ne_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Kind and number of a reply.
pub fn read_reply([a, b, c, d, e, f, g, h]: [u8; REPLY]) -> (u32, i32) {
    (u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]))
}
