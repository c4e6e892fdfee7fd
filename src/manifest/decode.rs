//! Reading what `encode` wrote: the table in that module, held to strictly. Nothing
//! here panics, and no room is made for what the bytes at hand cannot hold.

use crate::cas::digest::Digest;
use crate::manifest::encode::{
    Body, Chunk, Flaw, MAX_CHUNK, NAME_MAX, SHORT, TARGET_MAX, XATTR_VALUE_MAX, check_entry, check_index,
    check_list, check_name, check_root,
};
use crate::manifest::node::{Content, Entry, Kind, Meta, Time, Xattrs};

/// A fifo with a name of one byte and nothing else: no entry is smaller.
const ENTRY_MIN: usize = 9;
/// A chunk's line in an index with a name of one byte.
const CHUNK_MIN: usize = 35;
/// An xattr with a name of one byte and no value.
const XATTR_MIN: usize = 3;

/// A body after its version byte.
pub(super) fn body(bytes: &[u8]) -> Result<Body, Flaw> {
    let (what, rest) = bytes.split_first().ok_or(SHORT)?;
    let mut rest = Rest(rest);
    let body = match what {
        b'L' => Body::List(rest.list()?),
        b'I' => Body::Index(rest.index()?),
        b'R' => {
            let entry = rest.entry()?;
            check_root(&entry)?;
            Body::Root(entry)
        }
        _ => return Err("it is of an unknown kind"),
    };
    if rest.0.is_empty() { Ok(body) } else { Err("bytes follow its end") }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn varint(&mut self) -> Result<u64, Flaw> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err("a number is beyond 64 bits");
            }
            value |= bits << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err("a number is overlong") } else { Ok(value) };
            }
        }
        Err("a number is beyond 64 bits")
    }

    fn bytes(&mut self, max: usize) -> Result<&'a [u8], Flaw> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) if length <= max => self.take(length),
            _ => Err("a name or value is too long"),
        }
    }

    /// A count of things of at least `size` bytes each: what cannot be there is
    /// refused before room is made for it.
    fn count(&mut self, size: usize) -> Result<usize, Flaw> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.0.len() / size => Ok(count),
            _ => Err(SHORT),
        }
    }

    fn list(&mut self) -> Result<Vec<Entry>, Flaw> {
        let count = self.count(ENTRY_MIN)?;
        if count > MAX_CHUNK {
            return Err("a list has more than 4,096 entries");
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let entry = self.entry()?;
            check_name(&entry.name)?;
            entries.push(entry);
        }
        check_list(&entries)?;
        Ok(entries)
    }

    fn index(&mut self) -> Result<Vec<Chunk>, Flaw> {
        let count = self.count(CHUNK_MIN)?;
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            let first = self.bytes(NAME_MAX)?.to_vec();
            let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX).min(MAX_CHUNK + 1);
            chunks.push(Chunk { first, count, digest: Digest::from_bytes(self.array()?) });
        }
        check_index(&chunks)?;
        Ok(chunks)
    }

    fn entry(&mut self) -> Result<Entry, Flaw> {
        let [kind] = self.array()?;
        let name = self.bytes(NAME_MAX)?.to_vec();
        let mode = u16::from_le_bytes(self.array()?);
        let zigzag = self.varint()?;
        let secs = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let nanos = u32::try_from(self.varint()?).map_err(|_| "a time has too many nanoseconds")?;
        let group = self.varint()?;
        let xattrs = self.xattrs()?;
        let kind = match kind {
            1 | 2 => {
                let digest = Digest::from_bytes(self.array()?);
                Kind::File(Content { digest, size: self.varint()?, sparse: kind == 2 })
            }
            3 => Kind::Symlink(self.bytes(TARGET_MAX)?.to_vec()),
            4 => Kind::Fifo,
            5 => Kind::Dir(Digest::from_bytes(self.array()?)),
            _ => return Err("an entry is of an unknown kind"),
        };
        let meta = Meta { mode, mtime: Time { secs, nanos }, xattrs };
        let entry = Entry { name, meta, group, kind };
        check_entry(&entry)?;
        Ok(entry)
    }

    fn xattrs(&mut self) -> Result<Xattrs, Flaw> {
        let count = self.count(XATTR_MIN)?;
        let mut xattrs = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.bytes(NAME_MAX)?.to_vec();
            xattrs.push((name, self.bytes(XATTR_VALUE_MAX)?.to_vec()));
        }
        Ok(xattrs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind as ErrorKind;
    use crate::manifest::encode::{decode, encode};
    use crate::manifest::model::{any_entry, any_list, dir, fifo, file, link};

    fn flaw(bytes: &[u8]) -> String {
        let error = decode(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        error.to_string()
    }

    /// A list of one fifo named `x`, with some of its bytes replaced.
    fn fifo_bytes(at: usize, with: &[u8]) -> Vec<u8> {
        let mut bytes = encode(&Body::List(vec![fifo("x")])).unwrap();
        assert_eq!(bytes, b"vrt\x01L\x01\x04\x01x\xa4\x01\0\0\0\0");
        bytes.splice(at..at + 1, with.iter().copied());
        bytes
    }

    #[test]
    fn what_encode_does_not_write_is_corrupt() {
        assert!(decode(&fifo_bytes(8, b"x")).is_ok());
        for (bytes, says) in [
            (b"".to_vec(), "begin"),
            (b"vrt".to_vec(), "early"),
            (b"vrt\0L\0".to_vec(), "version 0"),
            (b"vrt\x01X\0".to_vec(), "unknown kind"),
            (b"vrt\x01L\0\0".to_vec(), "follow"),
            (b"vrt\x01L\x80\0".to_vec(), "overlong"),
            (b"vrt\x01L\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(), "64 bits"),
            (b"vrt\x01L\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), "early"),
            (b"vrt\x01I\xff\xff\xff\xff\xff\x01".to_vec(), "early"),
            (b"vrt\x01I\0".to_vec(), "empty"),
            (fifo_bytes(6, b"\x06"), "unknown kind"),
            (fifo_bytes(8, b"/"), "slash"),
            (fifo_bytes(8, b"\0"), "NUL"),
            (fifo_bytes(8, b"."), "`.`"),
            (fifo_bytes(7, b"\x03"), "early"),
            (fifo_bytes(10, b"\x10"), "permission"),
            (fifo_bytes(12, b"\x80\x94\xeb\xdc\x03"), "nanoseconds"),
            (fifo_bytes(12, b"\xff\xff\xff\xff\xff\x01"), "nanoseconds"),
            (fifo_bytes(14, b"\x01\0\0\0"), "impossible name"),
            (fifo_bytes(14, b"\x02\x01a\0\x01a\0"), "xattrs are out of order"),
            (fifo_bytes(14, b"\x05\x01a\0\x01b\0"), "early"),
        ] {
            assert!(flaw(&bytes).contains(says), "{} for {bytes:?}, not {says}", flaw(&bytes));
        }
    }

    #[test]
    fn what_breaks_the_table_is_not_written() {
        let long = "n".repeat(256);
        let mut wide = file("f", 1);
        wide.meta.mode = 0o10000;
        let mut grouped = dir("d", Digest::of(b""));
        grouped.group = 1;
        let mut writable = link("l", "to");
        writable.meta.mode = 0o755;
        let mut huge = file("f", 1);
        huge.kind = Kind::File(Content { digest: Digest::of(b""), size: u64::MAX, sparse: false });
        for entries in [
            vec![fifo("b"), fifo("a")],
            vec![fifo("a"), fifo("a")],
            vec![fifo("")],
            vec![fifo("..")],
            vec![fifo("a/b")],
            vec![fifo(&long)],
            vec![wide],
            vec![grouped],
            vec![writable],
            vec![huge],
            vec![link("l", "")],
            vec![link("l", &"t".repeat(4096))],
        ] {
            assert!(encode(&Body::List(entries.clone())).is_err(), "{entries:?}");
        }
        assert!(encode(&Body::Root(file("", 1))).is_err());
        assert!(encode(&Body::Root(dir("d", Digest::of(b"")))).is_err());
    }

    #[test]
    fn a_newer_version_is_not_called_corrupt() {
        let error = decode(b"vrt\x02anything").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failure);
        assert!(error.to_string().contains("newer vrift"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn an_index_holds_to_its_sizes() {
        let index = |counts: &[usize]| {
            let chunk = |(at, &count): (usize, &usize)| Chunk {
                first: format!("{at:03}").into(),
                count,
                digest: Digest::of(&[at as u8]),
            };
            Body::Index(counts.iter().enumerate().map(chunk).collect())
        };
        for counts in [&[1025][..], &[1024, 1], &[256, 4096, 3]] {
            let body = index(counts);
            assert_eq!(decode(&encode(&body).unwrap()).unwrap(), body);
        }
        for counts in [&[][..], &[1024], &[1024, 0], &[255, 4096], &[4097], &[600, 100, 600]] {
            assert!(encode(&index(counts)).is_err(), "{counts:?}");
        }
    }

    /// A valid body with some bytes changed: near misses that pure noise never meets.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let hits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
        (any_list(), hits).prop_map(|(list, hits)| {
            let mut bytes = encode(&Body::List(list)).unwrap();
            for (at, byte) in hits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn lists_come_back(list in any_list()) {
            let body = Body::List(list);
            prop_assert_eq!(decode(&encode(&body).unwrap()).unwrap(), body);
        }

        #[test]
        fn roots_come_back(mut root in any_entry(), tree: [u8; 32]) {
            root.name.clear();
            root.group = 0;
            root.kind = Kind::Dir(Digest::from_bytes(tree));
            let body = Body::Root(root);
            prop_assert_eq!(decode(&encode(&body).unwrap()).unwrap(), body);
        }

        #[test]
        fn foreign_bytes_never_panic_and_are_canonical_if_read(
            bytes in prop_oneof![
                damaged(),
                prop::collection::vec(any::<u8>(), 0..64),
                (prop::sample::select(b"LIR".to_vec()), prop::collection::vec(0u8..8, 0..64))
                    .prop_map(|(kind, rest)| [b"vrt\x01", &[kind][..], &rest].concat()),
            ]
        ) {
            if let Ok(body) = decode(&bytes) {
                prop_assert_eq!(encode(&body).unwrap(), bytes);
            }
        }

        #[test]
        fn every_cut_off_body_is_corrupt(list in any_list(), at: prop::sample::Index) {
            let bytes = encode(&Body::List(list)).unwrap();
            prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
        }
    }
}
