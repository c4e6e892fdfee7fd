//! `vrift recover`: keep or drop what a session wrote that ended without taking it in.

use serde_json::{Value, json};

use super::printer::{Printer, age, counted};
use super::{Status, bar, patch};
use crate::cli::{Global, Recover};
use crate::error::{Error, Result, plain};
use crate::manifest::compare::compare;
use crate::session::open::live;
use crate::session::project::Project;
use crate::session::record::{Record, now_ms};
use crate::session::recover::{Fate, days_left, finish_discarded, is_resumed, orphans, recover, states};

pub fn run(global: &Global, args: Recover, printer: &Printer) -> Result<Status> {
    let mut project = super::known_project(global)?;
    finish_discarded(&project)?;
    let mut found = orphans(&project)?;
    if let Some(wanted) = &args.session {
        found.retain(|orphan| &orphan.session == wanted);
        if found.is_empty() {
            return Err(Error::failure(format!("session `{}` left nothing behind", plain(wanted.as_ref())))
                .with_hint("vrift recover lists the sessions that did"));
        }
    }
    let fate = match (args.keep, args.drop) {
        (true, _) => Fate::Keep,
        (_, true) => Fate::Drop,
        _ if args.diff => {
            for orphan in &found {
                project = show(project, orphan, printer)?;
            }
            return Ok(0);
        }
        _ if args.json.json => {
            printer.json(&Value::Array(found.iter().map(|orphan| json_of(&project, orphan)).collect()));
            return Ok(0);
        }
        _ if printer.can_ask() => {
            for orphan in found {
                project = ask_one(project, &orphan, printer)?;
            }
            return Ok(0);
        }
        _ => {
            for orphan in &found {
                let since = age(now_ms() - orphan.started);
                printer.out(&format!("{} workspace {} {since}\n", orphan.session, orphan.workspace_name));
            }
            return Ok(0);
        }
    };
    for orphan in found {
        project = settle(project, &orphan, fate, printer)?;
    }
    super::written(global, project, printer);
    Ok(0)
}

/// Asks what is to become of what killed runs of a workspace left, before the next one begins.
pub fn ask(mut project: Project, workspace: &str, printer: &Printer) -> Result<Project> {
    let now = project.manifest.known_workspace(workspace)?;
    if live(&project, now.id)?.is_some() {
        return Ok(project);
    }
    for orphan in orphans(&project)?.into_iter().filter(|orphan| orphan.workspace == now.id) {
        if !is_resumed(&project, &orphan) {
            project = ask_one(project, &orphan, printer)?;
        }
    }
    Ok(project)
}

fn ask_one(mut project: Project, orphan: &Record, printer: &Printer) -> Result<Project> {
    let since = age(now_ms() - orphan.started);
    printer.say(&format!(
        "session {} of workspace {}, begun {since}, ended without taking in what it wrote",
        orphan.session, orphan.workspace_name
    ));
    loop {
        let answer =
            printer.ask("keep it, drop it, see the diff, or decide later? [keep/drop/diff/later] ")?;
        match answer.as_deref().unwrap_or_default() {
            "k" | "keep" => return settle(project, orphan, Fate::Keep, printer),
            "drop" => return settle(project, orphan, Fate::Drop, printer),
            "diff" => project = show(project, orphan, printer)?,
            "" | "l" | "later" => return Ok(project),
            _ => {}
        }
    }
}

fn settle(project: Project, orphan: &Record, fate: Fate, printer: &Printer) -> Result<Project> {
    let (project, taken) = bar::with(printer, "taking in", |meter| recover(project, orphan, fate, meter))?;
    printer.say(&match fate {
        Fate::Keep => format!(
            "session {}: {} written, {} deleted, taken into workspace {}",
            orphan.session,
            counted(taken.written, "file"),
            counted(taken.deleted, "name"),
            orphan.workspace_name
        ),
        Fate::Drop => format!("session {}: dropped", orphan.session),
    });
    Ok(project)
}

/// What keeping it would change, as a patch.
fn show(project: Project, orphan: &Record, printer: &Printer) -> Result<Project> {
    let (project, before, after) = states(project, orphan)?;
    let items = compare(&project.manifest, Some(&before), Some(&after), &|_| false, &|_| false)?;
    for item in &items {
        printer.out_bytes(&patch::of(&project.store, item, printer)?);
    }
    Ok(project)
}

fn json_of(project: &Project, orphan: &Record) -> Value {
    json!({
        "session": orphan.session, "workspace": orphan.workspace_name, "started": orphan.started,
        "days_left": days_left(&orphan.dir(project)),
    })
}
