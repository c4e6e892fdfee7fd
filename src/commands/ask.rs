//! Inside a run: what only the store can tell is asked of the run's vrift process outside.
//!
//! ```text
//! inside: ask ── request, stdout, stderr ──▶ cover's socket ──▶ a launcher's desk
//!                                                                   │ starts
//! inside: ask ◀── begun, exit status ──────────────────────────── answer (outside)
//! ```
//! What may be asked is a type, [`Asked`]: four verbs with their options, parsed here, and
//! no option of vrift as a whole. The answer is written to the asker's own standard output
//! and standard error by the other side.

use std::io::{Read, stderr, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::Status;
use super::printer::Printer;
use crate::cli::{self, Color, Global, SnapshotAction, Verb};
use crate::error::{Context, Error, Result, quoted};
use crate::os::parcel;
use crate::session::inside::Inside;

/// A request: what is asked, and how it is to be written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub asked: Asked,
    pub color: Color,
    pub quiet: bool,
    pub verbose: bool,
}

/// What may be asked from inside.
#[derive(Debug, Serialize, Deserialize)]
pub enum Asked {
    Status(cli::Status),
    Diff(cli::Diff),
    Commit(cli::Commit),
    Log(cli::Log),
}

/// Bytes of a request at most: more than a command line has.
pub const MOST: usize = 4 << 20;
/// The first byte of the answer: somebody works on it. The second is the exit status.
pub const BEGUN: u8 = b'!';

/// How long nobody may begin before a word is said of it.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Runs a verb from inside a run.
pub fn run(inside: &Inside, store: &Path, global: &Global, verb: Verb, printer: &Printer) -> Result<Status> {
    let Some(mut asked) = asked(verb) else { return Err(refusal(inside)) };
    if !global.config.is_empty() {
        return Err(Error::failure("inside a run there is no --config").with_hint("leave the run first"));
    }
    let workspace = asked.workspace();
    if !global.workspace_named {
        workspace.clone_from(&inside.workspace);
    } else if *workspace != inside.workspace {
        return Err(refusal(inside));
    }
    asked.resolve(inside)?;
    let Global { color, quiet, verbose, .. } = *global;
    send(store, &Request { asked, color, quiet, verbose }, printer)
}

/// What the verb asks for.
fn asked(verb: Verb) -> Option<Asked> {
    Some(match verb {
        Verb::Status(status) => Asked::Status(status),
        Verb::Diff(diff) => Asked::Diff(diff),
        Verb::Commit(commit) => Asked::Commit(commit),
        Verb::Snapshot(cli::Snapshot { action: SnapshotAction::Create(commit) }) => Asked::Commit(commit),
        Verb::Log(log) => Asked::Log(log),
        _ => return None,
    })
}

/// Everything else, and other workspaces, are for who is outside.
pub fn refusal(inside: &Inside) -> Error {
    Error::failure(format!(
        "this is inside a run of workspace `{}` of {}: here `exec`, `status`, `diff`, `log` and `commit` of \
         that workspace work, nothing else",
        inside.workspace,
        quoted(inside.root.as_os_str())
    ))
    .with_hint("leave the run first")
}

impl Asked {
    pub fn workspace(&mut self) -> &mut String {
        match self {
            Asked::Status(status) => &mut status.workspace,
            Asked::Diff(diff) => &mut diff.workspace,
            Asked::Commit(commit) => &mut commit.workspace,
            Asked::Log(log) => &mut log.workspace,
        }
    }

    /// Makes paths absolute as this side sees them: the other one is somewhere else.
    fn resolve(&mut self, inside: &Inside) -> Result<()> {
        if let Asked::Diff(diff) = self {
            for path in &mut diff.paths {
                let inner = super::relative_to(&inside.root, path)?;
                *path = inside.root.join(std::ffi::OsStr::from_bytes(&inner));
            }
        }
        Ok(())
    }
}

fn send(store: &Path, request: &Request, printer: &Printer) -> Result<Status> {
    let socket = Inside::connect(store)?;
    let whom = "the run's vrift process";
    let text = serde_json::to_vec(request).map_err(std::io::Error::from).context("ask", whom)?;
    let (out, err) = (stdout(), stderr());
    parcel::send(&socket, &text, &[out.as_fd(), err.as_fd()]).context("ask", whom)?;
    if is_silent(&socket) {
        printer.say("waiting for the run's vrift process: is it stopped?");
    }
    let mut answer = Vec::new();
    // a connection that was broken off ends here as well
    let _ = std::fs::File::from(socket).read_to_end(&mut answer);
    match answer.as_slice() {
        [BEGUN, status] => Ok(*status),
        _ => Err(Error::failure("the run's vrift process did not answer to the end")
            .with_hint("it was killed, or is another version than this one: leave the run first")),
    }
}

fn is_silent(socket: &OwnedFd) -> bool {
    matches!(poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&PATIENCE)), Ok(0))
}
