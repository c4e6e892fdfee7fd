//! The remote helper of git: `git fetch vrift::NAME` on the host runs `git upload-pack` in
//! workspace NAME of the current directory's project, `vrift::DIR#NAME` in DIR's.
//!
//! git starts it as `git-remote-vrift REMOTE ADDRESS` and asks for one connection
//! (gitremote-helpers(7)); from then on standard input and output are the pack protocol's.
//! A program of that name, for which git looks, starts the `vrift` beside it under its own
//! name (`bin/`). Commits travel by fetch only: a push is refused.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Status;
use super::printer::Printer;
use crate::cas::Store;
use crate::error::{Context, Error, Result};
use crate::manifest::workspace::MAIN;
use crate::paths as places;
use crate::session::inside::Inside;
use crate::session::project::Project;

/// The name that git starts it by.
pub const NAME: &str = "git-remote-vrift";

/// What git sets for the repository that is fetched into (`git rev-parse
/// --local-env-vars`): the other one must not take it for its own.
const LOCAL: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Answers git, which gives the remote's name and address as `args`.
pub fn run(args: impl Iterator<Item = OsString>, printer: &Printer) -> Result<Status> {
    let Some(address) = { args }.nth(1) else {
        return Err(
            Error::usage(format!("{NAME} is started by git")).with_hint("as in: git fetch vrift::NAME")
        );
    };
    let remote = Remote::parse(&address);
    loop {
        match read_line()?.as_deref() {
            None | Some(b"") => return Ok(0),
            Some(b"capabilities") => printer.out("connect\n\n"),
            Some(b"connect git-upload-pack") => {
                printer.out("\n");
                return remote.upload_pack();
            }
            Some(line) if line.starts_with(b"connect ") => {
                let name = remote.workspace.to_string_lossy();
                return Err(Error::failure("a workspace cannot be pushed to").with_hint(format!(
                    "commits travel by fetch: on the host `git fetch vrift::{name}`, inside `git fetch host`"
                )));
            }
            Some(line) => {
                let line = String::from_utf8_lossy(line).into_owned();
                return Err(Error::failure(format!("git asks for {line:?}, which {NAME} does not know")));
            }
        }
    }
}

/// What an address stands for.
#[derive(Debug, PartialEq, Eq)]
struct Remote {
    /// `None`: the current one.
    dir: Option<PathBuf>,
    workspace: OsString,
}

impl Remote {
    /// `NAME`, `DIR#NAME`, or an absolute DIR.
    fn parse(address: &OsStr) -> Self {
        let bytes = address.as_bytes();
        let bytes = bytes.strip_prefix(b"vrift://").unwrap_or(bytes);
        let (dir, name) = match bytes.iter().rposition(|byte| *byte == b'#') {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None if bytes.first() == Some(&b'/') => (bytes, &b""[..]),
            None => (&b""[..], bytes),
        };
        let dir = (!dir.is_empty()).then(|| Path::new(OsStr::from_bytes(dir)).to_path_buf());
        let workspace = if name.is_empty() { MAIN.as_bytes() } else { name };
        Self { dir, workspace: OsString::from_vec(workspace.to_vec()) }
    }

    /// Serves the repository that the directory lies in, as the workspace has it.
    fn upload_pack(&self) -> Result<Status> {
        let dir = self.dir.clone().unwrap_or_else(|| ".".into());
        let dir = std::fs::canonicalize(&dir).context("go to", &dir)?;
        let top = dir.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok());
        let top = top.unwrap_or(&dir);
        let store = places::store(None)?;
        if Inside::of(&store).is_none() {
            // Fetching registers no project.
            let nothing = || Error::failure(format!("there is no store at `{}` yet", store.display()));
            Project::find(Store::open(&store)?.ok_or_else(nothing)?, top)?;
        }
        let program = std::env::current_exe().context("find", "the program itself")?;
        let mut vrift = Command::new(&program);
        vrift.arg0("vrift").args(["-q", "-C"]).arg(top).args(["exec", "--no-sync", "-w"]);
        vrift.arg(&self.workspace).args(["--", "git", "upload-pack"]).arg(top);
        for name in LOCAL {
            vrift.env_remove(name);
        }
        Err(Error::io("start", program, &vrift.exec()))
    }
}

/// A line without its end, and not a byte more: what follows the last one is not ours.
/// `None` at the end of the input.
fn read_line() -> Result<Option<Vec<u8>>> {
    let stdin = std::io::stdin();
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match rustix::io::read(stdin.as_fd(), &mut byte).context("read", "what git asks for")? {
            0 if line.is_empty() => return Ok(None),
            0 => return Ok(Some(line)),
            _ if byte[0] == b'\n' => return Ok(Some(line)),
            _ => line.push(byte[0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_workspace_and_perhaps_a_directory() {
        for (address, dir, workspace) in [
            ("topic", None, "topic"),
            ("", None, "main"),
            ("/p", Some("/p"), "main"),
            ("/p#topic", Some("/p"), "topic"),
            ("../p#", Some("../p"), "main"),
            ("vrift://topic", None, "topic"),
        ] {
            let expected = Remote { dir: dir.map(Into::into), workspace: workspace.into() };
            assert_eq!(Remote::parse(address.as_ref()), expected, "{address}");
        }
    }
}
