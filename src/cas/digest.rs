//! The name of a content: a BLAKE3 digest, and the object name made from it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Result};

/// A full 256-bit BLAKE3 digest. `Display` is lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Characters of the directory part of an object's name.
pub const SHARD_CHARS: usize = 2;
/// Characters of an object's whole name: 132 bits, 6 to a character. With both
/// slashes a redirect to it is 24 bytes, which keeps a stub's xattrs inside a
/// 256-byte ext4 inode (tried on Linux 6.18).
pub const NAME_CHARS: usize = 22;

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From a manifest's column; anything but 32 bytes is corrupt.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes
            .try_into()
            .map_err(|_| Error::corrupt(format!("a digest has {} bytes instead of 32", bytes.len())))?;
        Ok(Self(bytes))
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where the object lives below `objects/`: `xx/yyyyyyyyyyyyyyyyyyyy`,
    /// base64url of the first 132 bits.
    pub fn object_path(&self) -> String {
        let text = URL_SAFE_NO_PAD.encode(&self.0[..18]);
        format!("{}/{}", &text[..SHARD_CHARS], &text[SHARD_CHARS..NAME_CHARS])
    }

    /// From [`Digest::hex`]; `None`: it is something else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0u8; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", &self.hex()[..12])
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_path_is_two_and_twenty_characters_of_base64url() {
        let path = Digest::of(b"hello").object_path();
        assert_eq!(path.len(), 23);
        assert_eq!(&path[2..3], "/");
        assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b)));
        assert_eq!(path, "6o/8WPbOGgpJeRJHF5Y1Ls1");
    }

    #[test]
    fn a_slice_of_another_length_is_corrupt() {
        assert!(Digest::from_slice(&[0; 31]).is_err());
    }
}
