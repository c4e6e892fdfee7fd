//! `vrift stop`: end a live run, or all of a workspace.

use super::Status;
use super::printer::{Printer, counted};
use crate::cli::{Global, Stop};
use crate::error::{Error, Result};
use crate::session::live::{live_runs, stop};

pub fn run(global: &Global, args: Stop, printer: &Printer) -> Result<Status> {
    let project = super::known_project(global)?;
    if let Some(name) = &args.workspace {
        project.manifest.known_workspace(name)?;
    }
    let mut runs = live_runs(&project)?;
    runs.retain(|run| match (&args.workspace, args.run) {
        (Some(name), _) => &run.workspace == name,
        (None, wanted) => Some(run.launcher) == wanted,
    });
    let Some(first) = runs.first() else {
        let what = match (&args.workspace, args.run) {
            (Some(name), _) => format!("workspace `{name}` has no live run"),
            (None, wanted) => format!("there is no live run {}", wanted.unwrap_or_default()),
        };
        return Err(Error::failure(what).with_hint("vrift runs lists the live ones"));
    };
    let place = project.close();
    stop(&place, first.workspace_id, &first.session, args.run)?;
    printer.say(&match args.run {
        Some(run) => format!("run {run} of workspace {} has ended", first.workspace),
        None => format!("{} of workspace {} ended", counted(runs.len(), "run"), first.workspace),
    });
    Ok(0)
}
