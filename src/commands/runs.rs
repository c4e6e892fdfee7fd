//! `vrift runs`: live runs, what killed ones left, and finished ones.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone, age, took};
use crate::cli::{Global, Runs};
use crate::error::{Error, Result};
use crate::manifest::run::Run;
use crate::session::live::{LiveRun, live_runs};
use crate::session::output;
use crate::session::project::Project;
use crate::session::record::{Record, now_ms};
use crate::session::recover::orphans;

pub fn run(global: &Global, args: Runs, printer: &Printer) -> Result<Status> {
    let project = super::project_to_read(global)?;
    if let Err(why) = output::adopt(&project) {
        printer.warn(&format!("what a killed run printed is not recorded: {why}"));
    }
    if let Some(which) = &args.log {
        return show_output(&project, which.as_deref(), printer);
    }
    let live = live_runs(&project)?;
    if args.watch {
        return watch(&project, &live, args.json.json, printer);
    }
    let left = orphans(&project)?;
    let finished = project.manifest.runs(args.limit)?;
    if args.json.json {
        printer.json(&json!({
            "live": live.iter().map(json_of_live).collect::<Vec<Value>>(),
            "orphans": left.iter().map(json_of_orphan).collect::<Vec<Value>>(),
            "finished": finished.iter().map(|(id, run)| json_of_finished(*id, run)).collect::<Vec<Value>>(),
        }));
        return Ok(0);
    }
    let names = live.iter().map(|run| &run.workspace);
    let names = names.chain(left.iter().map(|orphan| &orphan.workspace_name));
    let names = names.chain(finished.iter().map(|(_, run)| &run.workspace));
    let width = names.map(|name| name.chars().count()).fold(NAME, usize::max);
    live.iter().for_each(|run| printer.out(&live_line(run, width, printer)));
    let now = now_ms();
    for orphan in &left {
        let state = printer.toned(Tone::Warning, &format!("{:<9}", "orphan"));
        let since = age(now.saturating_sub(orphan.started));
        printer.out(&format!(
            "{:>8}  {state} {:<width$} {since:>10} {:>8}  vrift recover {} --keep or --drop\n",
            "-", orphan.workspace_name, "", orphan.session
        ));
    }
    finished
        .iter()
        .for_each(|(id, run)| printer.out(&finished_line((*id, run), &project.root, width, printer)));
    if live.is_empty() && left.is_empty() && finished.is_empty() {
        printer.out("there has been no run yet\n");
    }
    Ok(0)
}

/// Prints what a run printed.
fn show_output(project: &Project, which: Option<&str>, printer: &Printer) -> Result<Status> {
    let manifest = &project.manifest;
    let Some(which) = which else {
        let last = manifest.runs_with_output(1)?.pop();
        let (id, run) = last.ok_or_else(|| {
            Error::failure("no run's output is kept").with_hint("vrift exec --log COMMAND keeps it")
        })?;
        return print_output(project, id, &run, printer);
    };
    let number: i64 = which.strip_prefix('@').unwrap_or(which).parse().map_err(|_| {
        Error::usage(format!("`{which}` is no run's number")).with_hint("vrift runs shows them")
    })?;
    if let Some(run) = manifest.run(number)? {
        return print_output(project, number, &run, printer);
    }
    let live =
        u32::try_from(number).ok().map(|launcher| output::of_live(project, launcher)).transpose()?.flatten();
    let bytes = live.ok_or_else(|| {
        Error::failure(format!("there is no run {number} whose output is kept"))
            .with_hint("vrift runs shows them")
    })?;
    printer.out_bytes(&bytes);
    Ok(0)
}

fn print_output(project: &Project, id: i64, run: &Run, printer: &Printer) -> Result<Status> {
    let Some(kept) = &run.output else {
        return Err(Error::failure(format!("the output of run @{id} is not kept"))
            .with_hint("vrift exec --log COMMAND keeps it, for 14 days at least"));
    };
    if let Some(mut file) = output::open(project, kept)? {
        let mut piece = vec![0; 64 << 10];
        loop {
            match file.read(&mut piece).map_err(|error| Error::io("read", "what the run printed", &error))? {
                0 => break,
                length => printer.out_bytes(&piece[..length]),
            }
        }
    }
    Ok(0)
}

/// Columns that a workspace's name has at least.
const NAME: usize = 12;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(200);
/// A run has the number of the head that its end made, and its row comes a moment later: a row may
/// come after those of higher numbers, but not of ones as much higher as this.
const LATE: i64 = 200;

/// A line for each run as it begins, and as it ends; first those that live. One that is over
/// before it was seen has the second line alone.
fn watch(project: &Project, live: &[LiveRun], json: bool, printer: &Printer) -> Result<Status> {
    let line = |event: &str, mut value: Value| {
        value["event"] = event.into();
        printer.out(&format!("{value}\n"));
    };
    let width = NAME;
    let key = |run: &LiveRun| (run.session.clone(), run.launcher);
    let manifest = &project.manifest;
    let mut newest = manifest.runs(1)?.first().map_or(0, |(id, _)| *id);
    let mut over: HashSet<i64> = manifest.runs_above(newest - LATE)?.into_iter().map(|(id, _)| id).collect();
    let mut version = None;
    let mut seen: HashSet<(String, i32)> = HashSet::new();
    let mut now_live = live.to_vec();
    loop {
        for run in now_live.iter().filter(|run| !seen.contains(&key(run))) {
            match json {
                true => line("live", json_of_live(run)),
                false => printer.out(&live_line(run, width, printer)),
            }
        }
        seen = now_live.iter().map(key).collect();
        let committed = Some(manifest.data_version()?);
        if version != committed {
            version = committed;
            for (id, run) in manifest.runs_above(newest - LATE)? {
                if !over.insert(id) {
                    continue;
                }
                newest = newest.max(id);
                match json {
                    true => line("finished", json_of_finished(id, &run)),
                    false => printer.out(&finished_line((id, &run), &project.root, width, printer)),
                }
            }
            over.retain(|id| *id > newest - LATE);
        }
        std::thread::sleep(EVERY);
        now_live = live_runs(project)?;
    }
}

/// One line; `width` is that of the workspaces' names.
pub(super) fn live_line(run: &LiveRun, width: usize, printer: &Printer) -> String {
    let state = printer.toned(Tone::Good, &format!("{:<9}", "live"));
    let since = run.started.map(|started| age(now_ms().saturating_sub(started))).unwrap_or_default();
    let words = shown(run.command.as_deref().unwrap_or_default());
    format!("{:>8}  {state} {:<width$} {since:>10} {:>8}  {words}\n", run.launcher, run.workspace, "")
}

/// The same, of a run that is over.
pub(super) fn finished_line((id, run): (i64, &Run), root: &Path, width: usize, printer: &Printer) -> String {
    let tone = if run.status == 0 { Tone::Dim } else { Tone::Bad };
    let state = printer.toned(tone, &format!("{:<9}", format!("exit {}", run.status)));
    let since = age(now_ms().saturating_sub(run.started));
    let words = shown(&run.argv);
    let inner = run.cwd.strip_prefix(root.as_os_str().as_encoded_bytes()).unwrap_or(&run.cwd);
    let place = match inner.strip_prefix(b"/").unwrap_or(inner) {
        [] => String::new(),
        inner => format!("  (in {})", crate::session::sync::shown(inner)),
    };
    format!(
        "{:>8}  {state} {:<width$} {since:>10} {:>8}  {words}{place}\n",
        format!("@{id}"),
        run.workspace,
        took(run.ended.saturating_sub(run.started))
    )
}

fn json_of_live(run: &LiveRun) -> Value {
    json!({
        "run": run.launcher, "workspace": run.workspace, "session": run.session,
        "command": run.command.as_deref().map(list), "started": run.started,
    })
}

fn json_of_orphan(orphan: &Record) -> Value {
    json!({ "workspace": orphan.workspace_name, "session": orphan.session, "started": orphan.started })
}

fn json_of_finished(id: i64, run: &Run) -> Value {
    json!({
        "run": id, "workspace": run.workspace, "session": run.session, "command": list(&run.argv),
        "directory": String::from_utf8_lossy(&run.cwd), "started": run.started, "ended": run.ended,
        "status": run.status, "output": run.output.as_ref().map(|output| output.size),
    })
}

/// Words, each followed by a NUL.
pub(super) fn list(argv: &[u8]) -> Vec<String> {
    let argv = argv.strip_suffix(b"\0").unwrap_or(argv);
    argv.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// On one line, and not too long a one.
fn shown(argv: &[u8]) -> String {
    const LONGEST: usize = 100;
    let text = list(argv).join(" ").escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stays_on_one_line() {
        assert_eq!(shown(b"sh\0-c\0echo 'a'\n\x1b[0m\0"), "sh -c echo 'a'\\n\\u{1b}[0m");
        assert_eq!(shown(&[b'x'; 200]).chars().count(), 101);
    }
}
