//! `vrift exec`: open or join the workspace's session, run one command, leave.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::printer::{Printer, counted, size};
use super::{Status, bar};
use crate::cli::{Exec, Global};
use crate::error::{Error, Result, quoted};
use crate::manifest::run::Run;
use crate::ns::{self, Command};
use crate::paths;
use crate::session::leave::{Departure, leave, record_run};
use crate::session::open::{Inside, Options, Session, cwd_in, open};
use crate::session::project::Project;
use crate::session::record::now_ms;
use crate::session::take_in::Taken;
use crate::session::{environment, open, sync};

pub fn run(global: &Global, exec: Exec, printer: &Printer) -> Result<Status> {
    let store = paths::store(global.store.as_deref())?;
    if let Some(inside) = Inside::of(&store) {
        return run_inside(&inside, &exec);
    }
    let mut project = super::project(global)?;
    if project.registered_now {
        printer.say(&format!("new project {}", quoted(project.root.as_os_str())));
    }
    let cwd = cwd_in(&project.root)?;
    cold(&mut project, &cwd, &exec.cold, printer)?;
    if let Some(notice) = project.config.notice() {
        printer.warn(&notice);
    }
    if exec.dry_run {
        let base = project.manifest.known_workspace(&exec.workspace)?.base.unwrap_or(0);
        let mounts = open::mounts_of(&project)?;
        let plan = open::plan(&project.place, &exec.workspace, "SESSION", base, &mounts)?;
        printer.out(&plan.to_string());
        return Ok(0);
    }
    let session = bar::with(printer, "taking in", |meter| {
        let options = Options { workspace: &exec.workspace, sync: !exec.no_sync, meter };
        open(project, &options, &|text| printer.say(text))
    })?;
    announce(&session, printer);
    let started = now_ms();
    let argv = words(&exec.command);
    let command =
        Command { argv: exec.command, env: environment::of_run(&session.workspace), cwd: cwd.clone() };
    let ran = session.link.run(&command).and_then(|running| running.wait());
    let mut run = Run {
        workspace: session.workspace.clone(),
        session: session.name.clone(),
        argv,
        cwd: cwd.into_os_string().into_vec(),
        started,
        ended: now_ms(),
        status: 0,
    };
    // Whatever became of the command, what the session wrote is taken in.
    let departure = leave(session, exec.wait)?;
    report(&departure, &run.workspace, printer);
    let status = ran?.status();
    run.status = status;
    record_run(&departure.project, &run)?;
    Ok(u8::try_from(status).unwrap_or(u8::MAX))
}

/// Inside a run of the same workspace the command is just run.
fn run_inside(inside: &Inside, exec: &Exec) -> Result<Status> {
    let cwd = super::current_directory()?;
    if inside.workspace != exec.workspace || !cwd.starts_with(&inside.root) {
        return Err(Error::failure(format!(
            "this is inside a run of workspace `{}` of {}: another one cannot be entered from here",
            inside.workspace,
            quoted(inside.root.as_os_str())
        ))
        .with_hint("leave the run first"));
    }
    let env = std::env::vars_os().collect();
    Err(ns::replace_this_process(&Command { argv: exec.command.clone(), env, cwd }))
}

/// `--cold` means something before the workspace's first take-in only.
fn cold(project: &mut Project, cwd: &Path, dirs: &[PathBuf], printer: &Printer) -> Result<()> {
    if dirs.is_empty() {
        return Ok(());
    }
    let relative = |dir: &PathBuf| super::relative_to(&project.root, &cwd.join(dir));
    let dirs = dirs.iter().map(relative).collect::<Result<_>>()?;
    for dir in project.start_cold(dirs)? {
        printer.warn(&format!("--cold: {} is the workspace's already", sync::shown(&dir)));
    }
    Ok(())
}

fn announce(session: &Session, printer: &Printer) {
    for orphan in &session.orphans {
        printer.warn(&format!(
            "session {orphan} ended without taking in what it wrote: vrift recover {orphan} --keep or --drop"
        ));
    }
    for taken in &session.resumed {
        printer.say(&format!("taken in what an interrupted run had left: {}", summary(taken)));
    }
    let Some(report) = &session.synced else { return };
    for left in report.left_out.iter().take(10) {
        printer.warn(&left.to_string());
    }
    if report.left_out.len() > 10 {
        printer.warn(&format!("and {} more were left out", report.left_out.len() - 10));
    }
    if report.first {
        printer.say(&format!(
            "taken in {}, {} new to the store",
            counted(report.read, "file"),
            size(report.new_bytes)
        ));
    }
    conflicts(&report.conflicts, printer);
}

fn conflicts(paths: &[Vec<u8>], printer: &Printer) {
    for path in paths {
        printer.warn(&format!(
            "{} was changed on the host and in the workspace: the host's version is in the view, the other one is kept",
            sync::shown(path)
        ));
    }
}

fn report(departure: &Departure, workspace: &str, printer: &Printer) {
    if !departure.ended.is_empty() {
        printer.say(&format!("ended what was left running: {}", departure.ended.join(", ")));
    }
    if departure.unconfirmed {
        printer.say("a file of the session is still open somewhere; what it held at the end was copied");
    }
    let Some(taken) = &departure.taken else { return };
    for name in &taken.left_out {
        printer.warn(&format!("left out {name}"));
    }
    if taken.conflicts > 0 {
        printer.warn(&format!(
            "{} changed in the session and by a sync meanwhile",
            counted(taken.conflicts, "path")
        ));
    }
    if taken.changed {
        printer.say(&format!(
            "{} to workspace {workspace}; the directory itself is unchanged: vrift status",
            summary(taken)
        ));
    }
}

fn summary(taken: &Taken) -> String {
    let mut parts = Vec::new();
    if taken.written > 0 || taken.deleted == 0 {
        parts.push(format!("{} written", counted(taken.written, "file")));
    }
    if taken.deleted > 0 {
        parts.push(format!("{} deleted", counted(taken.deleted, "name")));
    }
    format!("{} ({} new)", parts.join(", "), size(taken.new_bytes))
}

fn words(argv: &[OsString]) -> Vec<u8> {
    argv.iter().flat_map(|word| word.as_bytes().iter().copied().chain([0])).collect()
}
