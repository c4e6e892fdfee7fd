//! `vrift try`: a command in a throw-away fork, then apply, keep or drop.

use super::printer::{Printer, counted};
use super::run::{self, Ended, Job};
use super::{Status, diff, status_of};
use crate::cli::{Global, Try};
use crate::error::{Error, Result};
use crate::manifest::compare::compare;
use crate::manifest::snapshot::check_name;
use crate::session::apply::{self, Wanted};
use crate::session::project::Project;
use crate::session::workspaces;

/// The most paths that a summary names.
const SHOWN: usize = 20;

/// What becomes of the fork.
enum Fate {
    Apply,
    Keep(String),
    Drop,
}

pub fn run(global: &Global, args: Try, printer: &Printer) -> Result<Status> {
    let Try { keep, drop, run: mut wanted, command } = args;
    let apply = std::mem::take(&mut wanted.apply); // what to apply is known when it has ended
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
    let job = Job { argv: command, env: Vec::new(), is_shell: false, titled: false, log: false, gone };
    let named = global.directory.is_some();
    let Ended { project, workspace, status } = run::run_in_trial((global, named), &wanted, job, printer)?;
    let changed = summary(&project, &workspace, printer)?;
    let fate = match keep {
        Some(name) => Fate::Keep(name),
        None if drop || !changed => Fate::Drop,
        None if apply && status == 0 => Fate::Apply,
        None if apply => {
            printer.say("it failed, so nothing is applied");
            Fate::Drop
        }
        None => ask(&project, printer)?,
    };
    match settle(project, &workspace, fate, printer)? {
        true => Ok(status),
        false => Ok(status_of::OURS),
    }
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
        printer.say(
            "not kept: vrift try --keep NAME keeps it as a workspace, --apply writes it to the directory",
        );
        return Ok(Fate::Drop);
    }
    loop {
        let answer = printer
            .ask_name("[a]pply it to the directory, [k]eep it as a workspace, or [d]rop it? ")?
            .unwrap_or_default();
        let name = match answer.as_str() {
            "" | "d" | "D" | "drop" => return Ok(Fate::Drop),
            "a" | "A" | "apply" => return Ok(Fate::Apply),
            "k" | "K" | "keep" => printer.ask_name("its name: ")?.unwrap_or_default(),
            _ => continue,
        };
        match project.manifest.free_name(&name) {
            Ok(name) => return Ok(Fate::Keep(name)),
            Err(error) => printer.error(&error),
        }
    }
}

/// False: it could not be applied.
fn settle(mut project: Project, workspace: &str, fate: Fate, printer: &Printer) -> Result<bool> {
    match fate {
        Fate::Keep(name) => {
            workspaces::rename(&project, workspace, &name)?;
            printer.say(&format!("kept as workspace {name}: vrift exec -w {name}, vrift merge {name}"));
        }
        Fate::Drop => drop(workspaces::delete(project, workspace, false)?),
        Fate::Apply => {
            project.configure(&[])?;
            if let Err(error) = write(&project, workspace, printer) {
                let name = format!("try-{}", project.manifest.known_workspace(workspace)?.id);
                workspaces::rename(&project, workspace, &name)?;
                printer.error(&error);
                printer.say(&format!("what it did is kept as workspace {name}"));
                return Ok(false);
            }
            drop(workspaces::delete(project, workspace, false)?);
        }
    }
    Ok(true)
}

/// Writes what was done in a fork to the host.
fn write(project: &Project, workspace: &str, printer: &Printer) -> Result<()> {
    let now = project.manifest.known_workspace(workspace)?;
    let plan =
        apply::apply(project, &Wanted { workspace, between: now.forked.zip(now.head), ..Wanted::default() })?;
    super::apply::refuse(&plan)?;
    printer.say(&format!("{} written to {}", counted(plan.steps.len(), "path"), project.root.display()));
    Ok(())
}
