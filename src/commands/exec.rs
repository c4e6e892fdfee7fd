//! `vrift exec`: open or join the workspace's session, run one command, leave.

use super::Status;
use super::printer::Printer;
use super::run::{self, Job};
use crate::cli::{Exec, Global};
use crate::error::{Error, Result, quoted};
use crate::ns::{self, Command};
use crate::paths;
use crate::session::inside::Inside;

pub fn run(global: &Global, exec: Exec, printer: &Printer) -> Result<Status> {
    let store = paths::store(global.store.as_deref())?;
    if let Some(inside) = Inside::of(&store) {
        return run_inside(&inside, global, exec);
    }
    let gone = global.directory.iter().cloned().collect();
    let job = Job { argv: exec.command, env: Vec::new(), is_shell: false, gone };
    run::run(global, global.directory.is_some(), &exec.run, job, printer)
}

/// Inside a run of the same workspace the command is just run.
fn run_inside(inside: &Inside, global: &Global, exec: Exec) -> Result<Status> {
    let cwd = super::current_directory()?;
    let other = global.workspace_named && inside.workspace != exec.run.workspace;
    if other || !cwd.starts_with(&inside.root) {
        return Err(Error::failure(format!(
            "this is inside a run of workspace `{}` of {}: another one cannot be entered from here",
            inside.workspace,
            quoted(inside.root.as_os_str())
        ))
        .with_hint("leave the run first"));
    }
    if exec.run.fork.is_some() || exec.run.from.is_some() {
        return Err(Error::failure("inside a run there is no other workspace to run in")
            .with_hint("leave the run first"));
    }
    if exec.run.discard || exec.run.discard_on_failure {
        return Err(Error::failure("inside a run, what one command writes cannot be discarded by itself")
            .with_hint("leave the run first"));
    }
    if exec.run.status_fd.is_some() {
        // the command takes this process's place, so nobody would be left to tell its end
        return Err(Error::failure("inside a run there is no --status-fd").with_hint("leave the run first"));
    }
    let env = std::env::vars_os().collect();
    Err(ns::replace_this_process(&Command { argv: exec.command, env, cwd }))
}
