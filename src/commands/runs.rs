//! `vrift runs`: live runs, what killed ones left, and finished ones.

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone, age};
use crate::cli::{Global, Runs};
use crate::error::Result;
use crate::manifest::run::Run;
use crate::session::live::{LiveRun, live_runs};
use crate::session::record::{Record, now_ms};
use crate::session::recover::orphans;

pub fn run(global: &Global, args: Runs, printer: &Printer) -> Result<Status> {
    let project = super::project_to_read(global)?;
    let live = live_runs(&project)?;
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
    let now = now_ms();
    for run in &live {
        let state = printer.toned(Tone::Good, &format!("{:<9}", "live"));
        let since = run.started.map(|started| age(now.saturating_sub(started))).unwrap_or_default();
        let words = shown(run.command.as_deref().unwrap_or_default());
        printer.out(&format!("{:>8}  {state} {:<12} {since:>10}  {words}\n", run.launcher, run.workspace));
    }
    for orphan in &left {
        let state = printer.toned(Tone::Warning, &format!("{:<9}", "orphan"));
        let since = age(now.saturating_sub(orphan.started));
        printer.out(&format!(
            "{:>8}  {state} {:<12} {since:>10}  vrift recover {} --keep or --drop\n",
            "-", orphan.workspace_name, orphan.session
        ));
    }
    for (id, run) in &finished {
        let tone = if run.status == 0 { Tone::Dim } else { Tone::Bad };
        let state = printer.toned(tone, &format!("{:<9}", format!("exit {}", run.status)));
        let since = age(now.saturating_sub(run.started));
        let words = shown(&run.argv);
        printer.out(&format!(
            "{:>8}  {state} {:<12} {since:>10}  {words}\n",
            format!("@{id}"),
            run.workspace
        ));
    }
    if live.is_empty() && left.is_empty() && finished.is_empty() {
        printer.out("there has been no run yet\n");
    }
    Ok(0)
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
        "status": run.status,
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
