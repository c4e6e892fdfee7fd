//! Which directories hold tracked files, read from git's index (gitformat-index(5),
//! versions 2 to 4) when it is first asked. An index that does not parse, or none,
//! tracks nothing: the ignore rules then decide alone.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The tracked paths of the repository that a project lies in.
pub struct Tracked {
    index: Option<PathBuf>,
    /// The project's place in the repository, with a `/` at the end unless empty.
    prefix: Vec<u8>,
    paths: OnceLock<Vec<Vec<u8>>>,
}

impl Tracked {
    pub fn of(repository: Option<&Path>, root: &Path) -> Self {
        let prefix = repository.and_then(|top| root.strip_prefix(top).ok()).map(|inner| {
            let mut prefix = inner.as_os_str().as_bytes().to_vec();
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            prefix
        });
        Self {
            index: repository.map(|top| top.join(".git/index")),
            prefix: prefix.unwrap_or_default(),
            paths: OnceLock::new(),
        }
    }

    /// Whether any tracked file lies below a directory of the project.
    pub fn any_below(&self, dir: &[u8]) -> bool {
        let paths = self.paths.get_or_init(|| {
            let bytes = self.index.as_ref().and_then(|index| std::fs::read(index).ok());
            bytes.and_then(|bytes| parse(&bytes)).unwrap_or_default()
        });
        let wanted = [&self.prefix, dir, b"/"].concat();
        let at = paths.partition_point(|path| path.as_slice() < wanted.as_slice());
        paths.get(at).is_some_and(|path| path.starts_with(&wanted))
    }
}

/// The entries' paths in index order, which is byte order.
fn parse(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
    if bytes.get(..4)? != b"DIRC" {
        return None;
    }
    let version = word(4)?;
    let count = word(8)?;
    let mut paths: Vec<Vec<u8>> = Vec::new();
    let mut at = 12;
    for _ in 0..count {
        // Ten words of stat, 20 bytes of object name (SHA-1), 2 of flags, 2 more in version 3.
        let flags = u16::from_be_bytes(bytes.get(at + 60..at + 62)?.try_into().ok()?);
        let extended = version >= 3 && flags & 0x4000 != 0;
        let name_at = at + 62 + if extended { 2 } else { 0 };
        let (path, next) = match version {
            2 | 3 => {
                let name = until_nul(bytes.get(name_at..)?)?;
                let length = name_at - at + name.len();
                (name.to_vec(), at + (length + 8) / 8 * 8)
            }
            4 => {
                let (cut, used) = offset_varint(bytes.get(name_at..)?)?;
                let suffix = until_nul(bytes.get(name_at + used..)?)?;
                let before = paths.last().map_or(&[][..], Vec::as_slice);
                let kept = &before[..before.len().checked_sub(cut)?];
                ([kept, suffix].concat(), name_at + used + suffix.len() + 1)
            }
            _ => return None,
        };
        paths.push(path);
        at = next;
    }
    Some(paths)
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
        value = value.checked_add(1)?.checked_mul(128)? + usize::from(byte & 0x7f);
        used += 1;
    }
    Some((value, used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(root: &Path, args: &[&str]) -> bool {
        Command::new("git")
            .args(args)
            .current_dir(root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .is_ok_and(|output| output.status.success())
    }

    #[test]
    fn tracked_files_are_found_in_every_index_version() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(git(root, &["init", "-q"]), "git is needed to write an index");
        for path in ["a", "vendor/lib/x.c", "vendor/lib/y.c", "vendorish", "zoo/long/long/name"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        assert!(git(root, &["add", "."]));
        for version in ["2", "3", "4"] {
            assert!(git(root, &["update-index", "--index-version", version]));
            let tracked = Tracked::of(Some(root), root);
            assert!(tracked.any_below(b"vendor") && tracked.any_below(b"vendor/lib"), "{version}");
            assert!(!tracked.any_below(b"ven") && !tracked.any_below(b"target"), "{version}");
            let inner = Tracked::of(Some(root), &root.join("vendor"));
            assert!(inner.any_below(b"lib") && !inner.any_below(b"zoo"));
        }
    }

    #[test]
    fn a_broken_index_tracks_nothing() {
        for bytes in [&b""[..], b"DIRC", b"DIRC\0\0\0\x02\0\0\0\x09", b"JUNKJUNKJUNKJUNK"] {
            assert!(parse(bytes).unwrap_or_default().is_empty());
        }
    }
}
