//! Contents that come from elsewhere with the digest they should have: nothing gets a
//! name before that is checked.

use std::os::fd::{AsFd, OwnedFd};

use super::copy::write_all;
use super::digest::Digest;
use super::publish::hash;
use super::store::{Publishing, Store};
use crate::error::{Context, Error, Result};

/// A content on its way into the store: an unnamed file, gone when this is dropped.
pub struct Incoming<'a> {
    store: &'a Store,
    file: OwnedFd,
}

impl Store {
    /// Begins to receive a content.
    pub fn receive(&self) -> Result<Incoming<'_>> {
        Ok(Incoming { store: self, file: self.temporary()? })
    }
}

impl Incoming<'_> {
    /// Bytes at an offset; what is never written is a hole.
    pub fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        write_all(&self.file, bytes, at).context("write object in", self.store.root())
    }

    /// Publishes it if it is what it should be. `sparse`: the digest is of that kind
    /// (rule 6). Returns whether the store did not have it before.
    ///
    /// # Errors
    /// `Corrupt` when the bytes have another digest.
    pub fn publish(self, token: &Publishing, wanted: &Digest, size: u64, sparse: bool) -> Result<bool> {
        let root = self.store.root();
        rustix::fs::ftruncate(&self.file, size).context("write object in", root)?;
        let digest = hash(self.file.as_fd(), size, sparse).context("hash an object in", root)?;
        if digest != *wanted {
            return Err(Error::corrupt(format!("content {wanted} has the digest {digest}")));
        }
        Ok(!self.store.has(token, &digest, size)? && self.store.link_temporary(&self.file, &digest, size)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_its_digest_gets_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let token = store.publishing().unwrap();
        let digest = Digest::of(b"hello");
        let arrived = |text: &[u8]| {
            let incoming = store.receive().unwrap();
            incoming.write(text, 0).unwrap();
            incoming.publish(&token, &digest, text.len() as u64, false)
        };
        assert_eq!(arrived(b"hallo").unwrap_err().kind(), crate::error::Kind::Corrupt);
        assert!(store.open_object(&digest).is_err());
        assert!(arrived(b"hello").unwrap());
        assert!(!arrived(b"hello").unwrap());
        assert!(store.open_object(&digest).is_ok());
    }
}
