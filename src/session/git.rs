//! What a run sees of repositories of the host: its project's own as the read-only remote
//! `host`, in the store's cover; and one that a `.git` *file* of the project names (of a
//! worktree, a submodule) in its place, read-only.
//!
//! The first is told to git through the environment, so no configuration in the workspace
//! changes.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::project::{Place, Project};
use crate::error::Result;
use crate::ns::plan::{Bind, c_path};
use crate::session::mounts::is_below;

/// The name of the host's repository in the store's cover.
pub(super) const HOST: &str = "host.git";

/// The project's repository on the host, where it has one of its own.
pub(super) fn of_host(place: &Place) -> Option<PathBuf> {
    let dir = place.root.join(".git");
    let is_dir = dir.symlink_metadata().is_ok_and(|found| found.is_dir());
    (is_dir && dir.join("HEAD").exists()).then_some(dir)
}

/// What git is told through the environment (git-config(1), GIT_CONFIG_COUNT).
pub fn settings(place: &Place) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        // Inode and ctime differ inside; git must not read every file again for that.
        ("core.checkStat", "minimal".to_string()),
        ("core.trustctime", "false".to_string()),
    ];
    let url = place.store.root().join(HOST);
    if let (Some(dir), Some(url)) = (of_host(place), url.to_str())
        && !names_host(&dir)
    {
        settings.push(("remote.host.url", url.to_string()));
        settings.push(("remote.host.fetch", "+refs/heads/*:refs/remotes/host/*".to_string()));
        if url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte)) {
            // It is read, by its own user; inside, another user's files are nobody's.
            let serve = format!("git -c safe.directory={url} upload-pack");
            settings.push(("remote.host.uploadpack", serve));
        }
    }
    settings
}

/// A remote of this name that the user has is left alone.
fn names_host(dir: &Path) -> bool {
    let config = std::fs::read(dir.join("config")).unwrap_or_default();
    config.windows(HEADER.len()).any(|text| text == HEADER)
}

const HEADER: &[u8] = b"[remote \"host\"]";

/// The directories outside of the project that `.git` files (relative) of it name: each
/// one's own and the repository's. What does not look like one is passed over.
pub(super) fn outside(root: &Path, files: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in files {
        let path = root.join(OsStr::from_bytes(file));
        let Some(dir) = named(&path, b"gitdir: ") else { continue };
        let common = named(&dir.join("commondir"), b"");
        found.extend([Some(dir), common].into_iter().flatten());
    }
    found.retain(|dir| !dir.starts_with(root) && !root.starts_with(dir) && is_repository(dir));
    found.sort_unstable();
    found.dedup();
    let inner = |dir: &PathBuf| {
        let dir = dir.as_os_str().as_bytes();
        found.iter().any(|outer| is_below(dir, outer.as_os_str().as_bytes()))
    };
    found.iter().filter(|dir| !inner(dir)).cloned().collect()
}

/// A worktree's directory has no objects, but says where they are.
fn is_repository(dir: &Path) -> bool {
    dir.join("HEAD").symlink_metadata().is_ok()
        && ["objects", "commondir"].iter().any(|name| dir.join(name).exists())
}

/// The directory that a short file names, from where it lies.
fn named(file: &Path, prefix: &[u8]) -> Option<PathBuf> {
    let mut text = Vec::new();
    let found = file.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    std::fs::File::open(file).ok().filter(|_| found.len() <= 8192)?.read_to_end(&mut text).ok()?;
    let line = text.strip_suffix(b"\n").unwrap_or(&text).strip_prefix(prefix)?;
    std::fs::canonicalize(file.parent()?.join(OsStr::from_bytes(line))).ok()
}

/// The binds that make those repositories read-only.
pub(super) fn binds(dirs: &[PathBuf]) -> Result<Vec<Bind>> {
    let bind = |dir: &PathBuf| {
        Ok(Bind { source: c_path(dir)?, target: c_path(dir)?, read_only: true, whole: false })
    };
    dirs.iter().map(bind).collect()
}

/// Where the manifest keeps the `.git` files that sync saw last.
const KEY: &str = "git_files";

/// The recorded ones.
pub(super) fn recorded(project: &Project) -> Result<Vec<Vec<u8>>> {
    let text = project.manifest.meta(KEY)?.unwrap_or_default();
    Ok(text.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Inside a transaction.
pub(super) fn record(project: &Project, files: &[Vec<u8>]) -> Result<()> {
    match files {
        [] => project.manifest.remove_meta(KEY),
        files => project.manifest.set_meta(KEY, &files.join(&0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_outside_are_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        for path in ["repo/.git/worktrees/w", "repo/.git/objects", "home", "p/sub", "p/own/objects"] {
            std::fs::create_dir_all(top.join(path)).unwrap();
        }
        for (path, text) in [
            ("repo/.git/HEAD", "ref: refs/heads/trunk\n"),
            ("repo/.git/worktrees/w/HEAD", "ref: refs/heads/w\n"),
            ("repo/.git/worktrees/w/commondir", "../..\n"),
            ("p/own/HEAD", "x"),
            ("p/.git", "gitdir: ../repo/.git/worktrees/w\n"),
            ("p/sub/.git", "gitdir: ../../home\n"),
            ("p/junk", "not for git"),
        ] {
            std::fs::write(top.join(path), text).unwrap();
        }
        let outside = |file: &str| outside(&top.join("p"), &[file.as_bytes().to_vec()]);
        assert_eq!(outside(".git"), [top.join("repo/.git")]);
        for file in ["sub/.git", "junk", "missing", "own"] {
            assert!(outside(file).is_empty(), "{file}");
        }
    }
}
