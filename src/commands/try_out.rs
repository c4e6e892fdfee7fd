//! `vrift try`: a command in a throw-away fork, then keep or drop.

use super::printer::{Printer, counted};
use super::run::{self, Ended, Job};
use super::{Status, diff};
use crate::cli::{Global, Try};
use crate::error::{Error, Result};
use crate::manifest::compare::compare;
use crate::manifest::snapshot::check_name;
use crate::session::project::Project;
use crate::session::workspaces;

/// The most paths that a summary names.
const SHOWN: usize = 20;

/// What becomes of the fork.
enum Fate {
    Keep(String),
    Drop,
}

pub fn run(global: &Global, args: Try, printer: &Printer) -> Result<Status> {
    let Try { keep, drop, run: wanted, command } = args;
    if wanted.fork.is_some()
        || wanted.discard
        || wanted.discard_on_failure
        || wanted.dry_run
        || wanted.or_bare
    {
        return Err(Error::usage("`try` makes a fork of its own and asks what is to be kept of it")
            .with_hint("leave --fork, --discard, --dry-run and --or-bare out, or use vrift exec"));
    }
    if let Some(name) = &keep {
        match super::known_project(global) {
            Ok(project) => project.manifest.free_name(name).map(std::mem::drop)?,
            Err(_) => check_name(name)?, // nothing has a name yet
        }
    }
    let gone = global.directory.iter().cloned().collect();
    let job = Job { argv: command, env: Vec::new(), is_shell: false, titled: false, gone };
    let named = global.directory.is_some();
    let Ended { project, workspace, status } = run::run_in_trial((global, named), &wanted, job, printer)?;
    let changed = summary(&project, &workspace, printer)?;
    let fate = match (keep.clone(), drop) {
        (Some(name), _) => Fate::Keep(name),
        (None, true) => Fate::Drop,
        (None, false) if changed => ask(&project, printer)?,
        (None, false) => Fate::Drop,
    };
    settle(project, &workspace, fate, printer)?;
    Ok(status)
}

/// Names what was changed; false: nothing.
fn summary(project: &Project, workspace: &str, printer: &Printer) -> Result<bool> {
    let manifest = &project.manifest;
    let now = manifest.known_workspace(workspace)?;
    let items = compare(manifest, now.forked.as_ref(), now.head.as_ref(), &|_| false, &|_| false)?;
    for item in items.iter().take(SHOWN) {
        printer.say(diff::line(item, printer).trim_end());
    }
    if items.len() > SHOWN {
        printer.say(&format!("and {} more", counted(items.len() - SHOWN, "path")));
    }
    if items.is_empty() {
        printer.say("nothing was changed");
    }
    Ok(!items.is_empty())
}

fn ask(project: &Project, printer: &Printer) -> Result<Fate> {
    if !printer.can_ask() {
        printer.say("not kept: vrift try --keep NAME keeps what a command did as a workspace");
        return Ok(Fate::Drop);
    }
    loop {
        let answer = printer.ask_name("[k]eep it as a workspace, or [d]rop it? ")?.unwrap_or_default();
        let name = match answer.as_str() {
            "" | "d" | "D" | "drop" => return Ok(Fate::Drop),
            "k" | "K" | "keep" => printer.ask_name("its name: ")?.unwrap_or_default(),
            _ => continue,
        };
        match project.manifest.free_name(&name) {
            Ok(name) => return Ok(Fate::Keep(name)),
            Err(error) => printer.error(&error),
        }
    }
}

fn settle(project: Project, workspace: &str, fate: Fate, printer: &Printer) -> Result<()> {
    match fate {
        Fate::Keep(name) => {
            workspaces::rename(&project, workspace, &name)?;
            printer.say(&format!("kept as workspace {name}: vrift exec -w {name}, vrift merge {name}"));
        }
        Fate::Drop => drop(workspaces::delete(project, workspace, false)?),
    }
    Ok(())
}
