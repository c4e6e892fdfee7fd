//! `vrift sync`: take the host directory's edits over, into a live session's view as well;
//! with --watch again and again.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use super::announce::{Of, say_taken};
use super::events::Events;
use super::printer::{Printer, counted, size};
use super::{Status, bar};
use crate::cli::{Global, Sync};
use crate::error::Result;
use crate::session::flush;
use crate::session::live_sync::watch::{Watch, Woken};
use crate::session::live_sync::{Brought, bring_in};
use crate::session::project::Project;
use crate::session::sync::{Options, Report, shown, sync};

/// How often a path is tried again that was changed while it was written.
const TRIES: usize = 5;
/// How long in between.
const PAUSE: Duration = Duration::from_millis(20);
/// When what could not be done then is tried again by --watch.
const LATER: Duration = Duration::from_secs(1);

pub fn run(global: &Global, args: &Sync, printer: &Printer) -> Result<Status> {
    let project = super::project(global)?;
    project.manifest.known_workspace(&args.workspace)?;
    if args.watch {
        return watch(project, global, args, printer);
    }
    let options = Options { accept_deletions: args.accept_deletions, thorough: true };
    let (project, report, brought) = once(project, args, options, printer)?;
    if report.changed {
        super::written(global, project, printer);
    } else if report.read == 0 {
        // the next one would read all of a large log
        project.manifest.checkpoint_if_large(false)?;
    }
    if args.json.json {
        printer.json(&as_json(&report, brought.as_ref()));
        return Ok(0);
    }
    tell(&report, brought.as_ref(), args, printer, &mut HashSet::new());
    if report.changed {
        printer.say(&format!(
            "{} read, {} new to the store",
            counted(report.read, "file"),
            size(report.new_bytes)
        ));
    } else if brought.is_none_or(|brought| brought.written.is_empty()) {
        printer.say("nothing changed");
    }
    Ok(0)
}

/// Until a signal comes. What is under way then is finished first: whoever takes part in a
/// session may be the last to leave it.
fn watch(mut project: Project, global: &Global, args: &Sync, printer: &Printer) -> Result<Status> {
    let asked: SigSet =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
    let mut watch = Watch::new(&project)?;
    if watch.polls() {
        printer
            .warn("too many directories to watch (fs.inotify.max_user_watches): looking every two seconds");
    }
    let stdin = std::io::stdin();
    let end = args.with_stdin.then(|| stdin.as_fd());
    let mut options = Options { accept_deletions: args.accept_deletions, thorough: true };
    let mut said = HashSet::new();
    loop {
        let _ = asked.thread_block();
        let (report, brought);
        (project, report, brought) = once(project, args, options, printer)?;
        options.thorough = false;
        let news = report.changed || brought.as_ref().is_some_and(|brought| !brought.written.is_empty());
        if news && let Err(why) = flush::start(&project) {
            printer.warn(&why.to_string());
        }
        match args.json.json {
            true if news => printer.out(&format!("{}\n", as_json(&report, brought.as_ref()))),
            true => {}
            false => tell(&report, brought.as_ref(), args, printer, &mut said),
        }
        let _ = asked.thread_unblock();
        let later = brought.is_some_and(|brought| brought.again).then_some(LATER);
        if watch.wait(&project, end, later)? == Woken::Ended {
            return Ok(0);
        }
        project.configure(&global.config)?;
    }
}

/// Takes the host's edits over, and brings them into the live session.
fn once(
    mut project: Project,
    args: &Sync,
    options: Options,
    printer: &Printer,
) -> Result<(Project, Report, Option<Brought>)> {
    let report = bar::with(printer, "taking in", |meter| sync(&project, &args.workspace, options, meter))?;
    let mut whole: Option<Brought> = None;
    for round in 0..TRIES {
        if round > 0 {
            std::thread::sleep(PAUSE);
        }
        let brought;
        (project, brought) = bring_in(project, &args.workspace)?;
        let Some(mut brought) = brought else { break };
        if let Some(ended) = &mut brought.departure
            && let Some(taken) = ended.taken.take()
        {
            say_taken(&taken, &Of::workspace(&args.workspace), &Events::new(printer, None)?);
        }
        if let Some(before) = whole.take() {
            brought.written.splice(0..0, before.written);
        }
        let again = brought.again;
        whole = Some(brought);
        if !again {
            break;
        }
    }
    Ok((project, report, whole))
}

/// `said`: what was said already.
fn tell(
    report: &Report,
    brought: Option<&Brought>,
    args: &Sync,
    printer: &Printer,
    said: &mut HashSet<Vec<u8>>,
) {
    for left in &report.left_out {
        printer.warn(&left.to_string());
    }
    for conflict in &report.conflicts {
        match brought {
            Some(_) => printer.warn(&format!(
                "{} was changed on the host and in the workspace: the live session keeps the workspace's \
                 version: vrift resolve",
                shown(&conflict.path)
            )),
            None => printer.warn(&conflict.to_string()),
        }
    }
    let Some(brought) = brought else { return };
    if brought.alone && said.insert(Vec::new()) {
        printer.warn(&format!(
            "workspace {} has a live run that may be discarded or is to be applied: nothing comes into its view",
            args.workspace
        ));
    }
    for path in brought.kept.iter().filter(|path| said.insert((*path).clone())) {
        printer.warn(&format!(
            "{} was changed on the host and in the live session: it stays as it is there, and is merged when \
             the session is taken in",
            shown(path)
        ));
    }
    for (path, why) in brought.waits.iter().filter(|(path, _)| said.insert(path.clone())) {
        printer.warn(&format!("{} does not come into the live session: {why}", shown(path)));
    }
    if brought.again && said.insert(b"/".to_vec()) {
        printer.warn(
            "files that are being written to in the live session are left as they are: vrift sync again",
        );
    }
    if !brought.written.is_empty() {
        brought.written.iter().for_each(|path| _ = said.remove(path));
        let mut names: Vec<String> = brought.written.iter().take(3).map(|path| shown(path)).collect();
        if brought.written.len() > names.len() {
            names.push("…".into());
        }
        let count = counted(brought.written.len(), "path");
        printer.say(&format!("{count} brought into the live session: {}", names.join(", ")));
    }
}

fn as_json(report: &Report, brought: Option<&Brought>) -> Value {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let list = |paths: &[Vec<u8>]| paths.iter().map(|path| text(path)).collect::<Vec<_>>();
    json!({
        "changed": report.changed,
        "files_read": report.read,
        "new_bytes": report.new_bytes,
        "conflicts": report.conflicts.iter().map(|conflict| text(&conflict.path)).collect::<Vec<_>>(),
        "left_out": report.left_out.iter().map(|left| json!({
            "path": text(&left.path), "why": left.why,
        })).collect::<Vec<_>>(),
        "live": brought.map(|brought| json!({
            "written": list(&brought.written), "kept": list(&brought.kept), "alone": brought.alone,
            "waits": brought.waits.iter().map(|(path, why)| json!({ "path": text(path), "why": why }))
                .collect::<Vec<_>>(),
        })),
    })
}
