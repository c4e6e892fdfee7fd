//! A project is its directory, not its path: device and inode, and for a repository its
//! first commit. One that was replaced by another is not taken for the old one.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Kind, Result, quoted, shell_word};
use crate::manifest::Manifest;

/// How long git may take to find the first commit; without it a project is told by its
/// inode alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Device and inode of a directory.
pub fn of(root: &Path) -> Result<(u64, u64)> {
    let metadata = root.metadata().context("stat", root)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Records that the project is the directory at `root`, after what `first` does, at once.
pub fn record(manifest: &Manifest, root: &Path, first: impl FnOnce(&Manifest) -> Result<()>) -> Result<()> {
    let (device, inode) = of(root)?;
    let commit = first_commit(root);
    // on the disk before anything is made of it: a manifest that a power cut has emptied
    // would be taken for a lost one
    manifest.durable(|manifest| {
        first(manifest)?;
        manifest.set_meta("path", root.as_os_str().as_bytes())?;
        manifest.set_meta("inode", inode.to_string().as_bytes())?;
        manifest.set_meta("device", device.to_string().as_bytes())?;
        if let Some(commit) = &commit {
            manifest.set_meta("commit", commit.as_bytes())?;
        }
        Ok(())
    })
}

/// The path a project was registered with; `None`: registration was cut short.
pub fn path_of(manifest: &Manifest) -> Result<Option<PathBuf>> {
    Ok(manifest.meta("path")?.map(|path| std::ffi::OsString::from_vec(path).into()))
}

/// Refuses a directory that is not the one that was registered at this path. A fresh clone
/// of the same repository takes its place.
pub fn check(manifest: &Manifest, root: &Path, known: &Path) -> Result<()> {
    if known != root {
        let message = format!("two paths have one name in the store: {}", quoted(known.as_os_str()));
        return Err(Error::new(Kind::Corrupt, message)
            .with_hint(format!("if it was moved: vrift project move {}", shell_word(known))));
    }
    // The device's number may change at boot; the directory's inode does not.
    if same_number(manifest, "inode", root.metadata().context("stat", root)?.ino())? {
        return Ok(());
    }
    if fits(manifest, root)? {
        return record(manifest, root, |_| Ok(()));
    }
    let (shown, root) = (quoted(root.as_os_str()), shell_word(root));
    Err(Error::failure(format!(
        "{shown} is not the directory that was registered: it was replaced by another one"
    ))
    .with_hint(format!(
        "if the old one is elsewhere now: vrift project move {root} NEW; restored from a backup: vrift project \
         move {root} {root}; to start anew: vrift project forget {root}"
    )))
}

/// Whether the directory at `root` is the registered one at another place, or a
/// repository with the same first commit.
pub fn fits(manifest: &Manifest, root: &Path) -> Result<bool> {
    let metadata = root.metadata().context("stat", root)?;
    if same_number(manifest, "inode", metadata.ino())? && same_number(manifest, "device", metadata.dev())? {
        return Ok(true);
    }
    let known = manifest.meta("commit")?;
    Ok(known.is_some() && known == first_commit(root).map(String::into_bytes))
}

fn same_number(manifest: &Manifest, key: &str, number: u64) -> Result<bool> {
    Ok(manifest.meta(key)?.is_none_or(|value| value == number.to_string().as_bytes()))
}

/// The oldest root commit that HEAD comes from, in hex. `None` without a repository at
/// `root`, without a commit, without git, or when git takes too long.
fn first_commit(root: &Path) -> Option<String> {
    root.join(".git").symlink_metadata().ok()?;
    let mut git = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
        git.env_remove(name);
    }
    let arguments = ["--no-replace-objects", "rev-list", "--max-parents=0", "HEAD"];
    let mut child = git
        .arg("-C")
        .arg(root)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let began = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().last().map(str::to_string).filter(|commit| !commit.is_empty())
}
