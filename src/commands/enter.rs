//! `vrift enter`: the user's shell in the workspace, at the same path, with a sign.

use super::Status;
use super::printer::Printer;
use super::run::{self, Job};
use crate::cli::{Enter, Global, Run};
use crate::error::{Context, Error, Result, quoted};
use crate::paths;
use crate::session::inside::Inside;
use crate::session::shell;

pub fn run(global: &Global, enter: Enter, printer: &Printer) -> Result<Status> {
    let store = paths::store(global.store.as_deref())?;
    if let Some(inside) = Inside::of(&store) {
        return Err(refusal(&inside, &enter));
    }
    if let Some(dir) = &enter.dir {
        crate::ns::note_directory();
        std::env::set_current_dir(dir)
            .context("go to", dir)
            .map_err(|error| error.with_hint("vrift enter takes an existing directory"))?;
    }
    let named = enter.dir.is_some() || global.directory.is_some();
    let Run { workspace, fork, from, .. } = &enter.run;
    let sign = fork.as_ref().or(from.as_ref()).unwrap_or(workspace);
    let shell = shell::with_sign(shell::of_user(), &store, sign, &|name| std::env::var_os(name));
    let gone = global.directory.iter().chain(&enter.dir).cloned().collect();
    let job = Job { argv: shell.argv, env: shell.env, is_shell: true, titled: true, log: false, gone };
    run::run(global, named, &enter.run, job, printer)
}

fn refusal(inside: &Inside, enter: &Enter) -> Error {
    let error = Error::failure(format!(
        "this is inside a run of workspace `{}` of {} already",
        inside.workspace,
        quoted(inside.root.as_os_str())
    ));
    match inside.workspace == enter.run.workspace {
        true => error.with_hint("a plain shell (exec $SHELL) is in the workspace too; exit leaves it"),
        false => error.with_hint("leave the run first"),
    }
}
