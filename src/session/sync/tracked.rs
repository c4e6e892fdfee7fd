//! Which directories hold tracked files, read from git's index when it is first asked. An index that does not parse, or none,
//! tracks nothing: the ignore rules then decide alone.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::manifest::git::index::Index;

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

    /// The shared part of a split index.
    fn shared(&self, name: &str) -> Option<Index> {
        let path = self.index.as_ref()?.with_file_name(format!("sharedindex.{name}"));
        Index::parse(&std::fs::read(path).ok()?)
    }

    /// Whether any tracked file lies below a directory of the project.
    pub fn any_below(&self, dir: &[u8]) -> bool {
        let paths = self.paths.get_or_init(|| {
            let bytes = self.index.as_ref().and_then(|index| std::fs::read(index).ok());
            let index = bytes.and_then(|bytes| Index::parse(&bytes));
            let shared = index.as_ref().and_then(Index::shared).and_then(|name| self.shared(&name));
            let entries = match shared {
                Some(shared) => index.and_then(|index| index.over(shared)),
                None => index.map(|index| index.entries),
            };
            entries.unwrap_or_default().into_iter().map(|entry| entry.path).collect()
        });
        let wanted = [&self.prefix, dir, b"/"].concat();
        let at = paths.partition_point(|path| path.as_slice() < wanted.as_slice());
        paths.get(at).is_some_and(|path| path.starts_with(&wanted))
    }
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
    fn tracked_files_are_found_in_every_form_of_index() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(git(root, &["init", "-q"]), "git is needed to write an index");
        for path in ["a", "vendor/lib/x.c", "vendor/lib/y.c", "vendorish", "zoo/long/long/name"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        assert!(git(root, &["add", "."]));
        for form in ["--index-version=2", "--index-version=4", "--split-index"] {
            assert!(git(root, &["update-index", form]));
            let tracked = Tracked::of(Some(root), root);
            assert!(tracked.any_below(b"vendor") && tracked.any_below(b"vendor/lib"), "{form}");
            assert!(!tracked.any_below(b"ven") && !tracked.any_below(b"target"), "{form}");
            let inner = Tracked::of(Some(root), &root.join("vendor"));
            assert!(inner.any_below(b"lib") && !inner.any_below(b"zoo"));
        }
    }

    #[test]
    fn a_broken_index_tracks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join(".git/index"), "DIRC\0\0\0\x02").unwrap();
        assert!(!Tracked::of(Some(dir.path()), dir.path()).any_below(b"a"));
    }
}
