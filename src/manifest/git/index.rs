//! git's index (gitformat-index(5), versions 2 to 4, SHA-1 and SHA-256, split or not): its
//! entries without the stat data that git refreshes whenever it looks at a file.
//!
//! Only what git itself writes is accepted: the extensions must end where the checksum
//! begins. Anything else is `None`, never a panic.

use std::collections::HashSet;

use crate::cas::digest::Digest;

/// What the index says of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From the top of the work tree; empty for an entry of a split index that takes the
    /// place of one in the shared index.
    pub path: Vec<u8>,
    /// Stage, assume-valid, skip-worktree and intent-to-add.
    flags: u32,
    mode: u32,
    /// The object's name, 20 or 32 bytes.
    object: Vec<u8>,
}

/// A parsed index.
#[derive(Debug)]
pub struct Index {
    /// In index order.
    pub entries: Vec<Entry>,
    link: Option<Link>,
}

/// What a split index says of the shared one.
#[derive(Debug)]
struct Link {
    shared: Vec<u8>,
    deleted: Bitmap,
    replaced: Bitmap,
}

/// Bits of the low 12 of an entry's flags: the length of its name.
const LENGTH: u16 = 0x0fff;
const EXTENDED: u16 = 0x4000;
/// The most entries that a bitmap may speak of.
const MOST: usize = 1 << 28;

impl Index {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        parse(bytes, 20).or_else(|| parse(bytes, 32))
    }

    /// The shared index that this one is to be read with: the end of `sharedindex.…`.
    pub fn shared(&self) -> Option<String> {
        let link = self.link.as_ref()?;
        Some(link.shared.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The entries of a split index, with those of the shared one.
    pub fn over(self, shared: Self) -> Option<Vec<Entry>> {
        let Some(link) = self.link else { return Some(self.entries) };
        let deleted: HashSet<usize> = link.deleted.ones(shared.entries.len())?.into_iter().collect();
        let replaced: HashSet<usize> = link.replaced.ones(shared.entries.len())?.into_iter().collect();
        let (with, added): (Vec<_>, Vec<_>) =
            self.entries.into_iter().partition(|entry| entry.path.is_empty());
        let mut with = with.into_iter();
        let mut entries = Vec::with_capacity(shared.entries.len() + added.len());
        for (number, old) in shared.entries.into_iter().enumerate() {
            let entry = match replaced.contains(&number) {
                true => Entry { path: old.path, ..with.next()? },
                false => old,
            };
            if !deleted.contains(&number) {
                entries.push(entry);
            }
        }
        entries.extend(added);
        entries.sort_by(|a, b| (&a.path, a.stage()).cmp(&(&b.path, b.stage())));
        Some(entries)
    }
}

impl Entry {
    fn stage(&self) -> u32 {
        self.flags & 0x3000
    }
}

/// Equal entries have equal digests, whatever the stat data and the form of the index.
pub fn digest(entries: &[Entry]) -> Digest {
    let mut text = Vec::new();
    for entry in entries {
        for part in [&entry.path, &entry.object] {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        text.extend_from_slice(&entry.mode.to_le_bytes());
        text.extend_from_slice(&entry.flags.to_le_bytes());
    }
    Digest::of(&text)
}

/// With object names of this length.
fn parse(bytes: &[u8], hash: usize) -> Option<Index> {
    if bytes.get(..4)? != b"DIRC" {
        return None;
    }
    let (version, count) = (word(bytes, 4)?, word(bytes, 8)? as usize);
    let end = bytes.len().checked_sub(hash)?;
    let mut entries: Vec<Entry> = Vec::with_capacity(count.min(bytes.len() / (42 + hash)));
    let mut at = 12;
    for _ in 0..count {
        // Ten words of stat (the seventh is the mode), the object, two bytes of flags, two
        // more where they are extended.
        let mode = word(bytes, at + 24)?;
        let object = bytes.get(at + 40..at + 40 + hash)?.to_vec();
        let fixed = at + 40 + hash;
        let low = half(bytes, fixed)?;
        let extended = version >= 3 && low & EXTENDED != 0;
        let high = if extended { half(bytes, fixed + 2)? } else { 0 };
        let name_at = fixed + if extended { 4 } else { 2 };
        let (path, next) = match version {
            2 | 3 => {
                let name = until_nul(bytes.get(name_at..)?)?;
                let length = name_at - at + name.len();
                (name.to_vec(), at + (length + 8) / 8 * 8)
            }
            4 => {
                let (cut, used) = offset_varint(bytes.get(name_at..)?)?;
                let suffix = until_nul(bytes.get(name_at + used..)?)?;
                let before = entries.last().map_or(&[][..], |entry| &entry.path);
                let kept = &before[..before.len().checked_sub(cut)?];
                ([kept, suffix].concat(), name_at + used + suffix.len() + 1)
            }
            _ => return None,
        };
        let flags = u32::from(low & !LENGTH & !EXTENDED) | u32::from(high) << 16;
        entries.push(Entry { path, flags, mode, object });
        at = next;
    }
    let mut link = None;
    while at < end {
        let length = word(bytes, at + 4)? as usize;
        let body = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        if bytes.get(at..at + 4)? == b"link" {
            let shared = body.get(..hash)?.to_vec();
            let (deleted, used) = Bitmap::parse(body.get(hash..)?).unwrap_or_default();
            let (replaced, _) = Bitmap::parse(body.get(hash + used..)?).unwrap_or_default();
            link = shared.iter().any(|byte| *byte != 0).then_some(Link { shared, deleted, replaced });
        }
        at += 8 + length;
    }
    (at == end).then_some(Index { entries, link })
}

/// A compressed bitmap (git's ewah): runs of equal words, each followed by literal ones.
#[derive(Debug, Default)]
struct Bitmap(Vec<u64>);

impl Bitmap {
    /// The bitmap, and the number of bytes that it takes.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let words = word(bytes, 4)? as usize;
        let end = 8usize.checked_add(words.checked_mul(8)?)?;
        let body = bytes.get(8..end)?;
        let words = body.chunks_exact(8).map(|word| word.try_into().map(u64::from_be_bytes).unwrap_or(0));
        Some((Self(words.collect()), end + 4))
    }

    /// Where the ones are; `None` when one is at `limit` or beyond.
    fn ones(&self, limit: usize) -> Option<Vec<usize>> {
        let limit = limit.min(MOST);
        let mut ones = Vec::new();
        let (mut at, mut words) = (0usize, self.0.iter());
        while let Some(marker) = words.next() {
            let run = (marker >> 1 & 0xffff_ffff) as usize * 64;
            if marker & 1 == 1 {
                if at.checked_add(run)? > limit.next_multiple_of(64) {
                    return None;
                }
                ones.extend(at..at + run);
            }
            at = at.checked_add(run)?;
            for _ in 0..marker >> 33 {
                let word = words.next()?;
                ones.extend((0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| at + bit));
                at = at.checked_add(64)?;
            }
        }
        ones.iter().all(|one| *one < limit).then_some(ones)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn until_nul(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|&byte| byte == 0).map(|end| &bytes[..end])
}

/// The variable width encoding of pack offsets; returns the value and its length.
fn offset_varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = usize::from(bytes.first()? & 0x7f);
    let mut used = 1;
    while bytes[used - 1] & 0x80 != 0 {
        let byte = *bytes.get(used)?;
        value = value.checked_add(1)?.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
        used += 1;
    }
    Some((value, used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;
    use std::process::Command;

    fn git(root: &Path, args: &[&str]) -> bool {
        let mut git = Command::new("git");
        git.args(["-c", "splitIndex.maxPercentChange=100"]).args(args).current_dir(root);
        let output = git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output();
        output.is_ok_and(|output| output.status.success())
    }

    /// The digest of the index as it is on disk.
    fn now(root: &Path) -> Digest {
        let dir = root.join(".git");
        let index = Index::parse(&std::fs::read(dir.join("index")).unwrap()).unwrap();
        let Some(name) = index.shared() else { return digest(&index.entries) };
        let shared = std::fs::read(dir.join(format!("sharedindex.{name}"))).unwrap();
        digest(&index.over(Index::parse(&shared).unwrap()).unwrap())
    }

    fn repository(format: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        assert!(git(dir.path(), &["init", "-q", &format!("--object-format={format}")]), "git is needed");
        for path in ["a", "vendor/lib/x.c", "vendor/lib/y.c", "vendorish", "zoo/long/long/name"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        assert!(git(dir.path(), &["add", "."]));
        dir
    }

    #[test]
    fn stat_data_and_the_form_of_an_index_do_not_count() {
        for format in ["sha1", "sha256"] {
            let dir = repository(format);
            let root = dir.path();
            let first = now(root);
            for version in ["2", "3", "4"] {
                assert!(git(root, &["update-index", "--index-version", version]));
                assert_eq!(now(root), first, "{format} {version}");
            }
            assert!(git(root, &["update-index", "--index-version", "2"]));
            let file = std::fs::File::options().write(true).open(root.join("a")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
            let before = std::fs::read(root.join(".git/index")).unwrap();
            assert!(git(root, &["update-index", "--refresh"]));
            assert_ne!(std::fs::read(root.join(".git/index")).unwrap(), before, "stat data is refreshed");
            assert_eq!(now(root), first);
            assert!(git(root, &["update-index", "--untracked-cache"]));
            assert_eq!(now(root), first);
            std::fs::write(root.join("a"), "y").unwrap();
            assert!(git(root, &["add", "a"]));
            let second = now(root);
            assert_ne!(second, first);
            assert!(git(root, &["update-index", "--chmod=+x", "a"]));
            assert_ne!(now(root), second);
        }
    }

    #[test]
    fn a_split_index_is_read_with_the_shared_one() {
        let dir = repository("sha1");
        let root = dir.path();
        let first = now(root);
        assert!(git(root, &["update-index", "--split-index"]));
        assert_eq!(now(root), first);
        std::fs::write(root.join("vendorish"), "y").unwrap();
        std::fs::write(root.join("b"), "new").unwrap();
        assert!(git(root, &["add", "b", "vendorish"]) && git(root, &["rm", "-q", "--cached", "a"]));
        let index = Index::parse(&std::fs::read(root.join(".git/index")).unwrap()).unwrap();
        assert!(index.shared().is_some() && index.entries.iter().any(|entry| entry.path.is_empty()));
        let split = now(root);
        assert_ne!(split, first);
        assert!(git(root, &["update-index", "--no-split-index"]));
        assert_eq!(now(root), split);
    }

    #[test]
    fn what_is_no_index_is_none() {
        for bytes in [&b""[..], b"DIRC", b"DIRC\0\0\0\x02\0\0\0\x09", b"JUNKJUNKJUNKJUNK"] {
            assert!(Index::parse(bytes).is_none());
        }
        let dir = repository("sha1");
        let whole = std::fs::read(dir.path().join(".git/index")).unwrap();
        for length in 0..whole.len() {
            assert!(Index::parse(&whole[..length]).is_none(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(
            version in 0u32..6, count in 0u32..4, body in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let head = [b"DIRC".to_vec(), version.to_be_bytes().to_vec(), count.to_be_bytes().to_vec()];
            let bytes = [head.concat(), body.clone()].concat();
            for index in [Index::parse(&bytes), Index::parse(&body)].into_iter().flatten() {
                let shared = Index { entries: index.entries.clone(), link: None };
                let _ = index.over(shared);
            }
            let link = [&bytes[..12.min(bytes.len())], b"link", &(body.len() as u32).to_be_bytes(), &body, &[0; 20]].concat();
            let mut link = link;
            link[8..12].copy_from_slice(&0u32.to_be_bytes());
            if let Some(index) = Index::parse(&link) {
                let _ = index.over(Index { entries: Vec::new(), link: None });
            }
        }
    }
}
