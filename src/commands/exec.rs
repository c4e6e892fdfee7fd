//! `vrift exec`: open or join the workspace's session, run one command, leave.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::Status;
use super::printer::Printer;
use super::run::{self, Job};
use super::shape;
use crate::cli::{Exec, Global};
use crate::config::Config;
use crate::error::{Error, Result, quoted};
use crate::ns::{self, Command};
use crate::paths;
use crate::session::environment;
use crate::session::inside::Inside;

pub fn run(global: &Global, exec: Exec, printer: &Printer) -> Result<Status> {
    let store = paths::store(global.store.as_deref())?;
    if let Some(inside) = Inside::of(&store) {
        return run_inside(&inside, global, exec);
    }
    let gone = global.directory.iter().cloned().collect();
    let is_shell = !exec.log && is_interactive_shell(&exec.command);
    let job = Job { argv: exec.command, env: Vec::new(), is_shell, titled: false, log: exec.log, gone };
    run::run(global, global.directory.is_some(), &exec.run, job, printer)
}

/// A shell that is talked to leads a process group of its own, as in `enter`: ours has no
/// number inside, and dash, which gives the terminal back to the group that it found, fails
/// when it cannot name it. Not where the group has other members (a pipeline, a script that
/// runs us), who would lose the terminal.
fn is_interactive_shell(words: &[OsString]) -> bool {
    use std::io::{IsTerminal, stderr, stdin, stdout};
    const SHELLS: [&str; 9] = ["sh", "dash", "bash", "ash", "ksh", "mksh", "zsh", "fish", "busybox"];
    let Some((program, options)) = words.split_first() else { return false };
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let talks = |word: &OsString| word == "sh" || word.to_str().is_some_and(is_plain_option);
    let leads = ns::leads_its_group();
    let terminals = stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal();
    SHELLS.contains(&name) && options.iter().all(talks) && leads && terminals
}

/// An option that brings no script along: not `-c`, nor a bundle with it.
fn is_plain_option(word: &str) -> bool {
    let is_bundle = !word.starts_with("--");
    word.len() > 1 && word.starts_with('-') && !(is_bundle && word.contains('c'))
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
    if exec.run.watch {
        return Err(Error::failure("inside a run there is no --watch: vrift sync --watch outside does it")
            .with_hint("leave the run first"));
    }
    if exec.run.discard || exec.run.discard_on_failure {
        return Err(Error::failure("inside a run, what one command writes cannot be discarded by itself")
            .with_hint("leave the run first"));
    }
    if exec.log {
        return Err(Error::failure("inside a run there is no --log: it would be the outer run's as well")
            .with_hint("leave the run first"));
    }
    if exec.run.status_fd.is_some() {
        // the command takes this process's place, so nobody would be left to tell its end
        return Err(Error::failure("inside a run there is no --status-fd").with_hint("leave the run first"));
    }
    if let Some(option) = shape::of_session(&exec.run.shape) {
        return Err(Error::failure(format!(
            "inside a run there is no {option}: session {} goes on as it was opened",
            inside.session
        ))
        .with_hint("leave the run first"));
    }
    let mut config = Config::default();
    config.choose(None, shape::settings(&exec.run.shape, &cwd)?)?;
    let env = environment::of_nested(&config.wishes);
    Err(ns::replace_this_process(&Command { argv: exec.command, env, cwd }))
}
