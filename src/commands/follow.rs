//! `--watch` of `exec` and `enter`: a `vrift sync --watch` beside the run, which ends with it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::events::Events;
use crate::cli::Global;
use crate::error::Context;
use crate::session::open::Session;

/// This program, wherever its file is by now.
const PROGRAM: &str = "/proc/self/exe";

/// What follows the host's edits.
pub struct Follower(Option<Child>);

impl Follower {
    /// Its standard input is a pipe from us: it ends when that does, so with us at the latest. A
    /// key that interrupts the command does not reach it.
    pub fn start(session: &Session, global: &Global, events: &Events<'_>) -> Self {
        let place = &session.project.place;
        let mut command = Command::new(PROGRAM);
        command.arg0("vrift").arg("-q").arg("--store").arg(place.store.root());
        command.args(global.config.iter().flat_map(|setting| ["--config", setting]));
        command.args(["sync", "--watch", "--with-stdin", "-w"].map(OsStr::new)).arg(&session.workspace);
        command.current_dir(&place.root).process_group(0);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let child = child.context("start", "what follows the host's edits");
        Self(child.map_err(|why| events.warn(&why.to_string())).ok())
    }
}

impl Drop for Follower {
    /// What it has begun is finished first.
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
