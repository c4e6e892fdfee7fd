//! `vrift snapshot`: list, show and delete snapshots.

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone, age, counted};
use crate::cli::{Global, Snapshot, SnapshotAction};
use crate::error::Result;
use crate::manifest::snapshot::Snapshot as Row;
use crate::session::record::now_ms;

pub fn run(global: &Global, args: Snapshot, printer: &Printer) -> Result<Status> {
    let names = match args.action {
        SnapshotAction::Create(args) => return super::commit::run(global, &args, printer),
        SnapshotAction::List(args) => return list(global, args.json, printer),
        SnapshotAction::Show { name, json } => return show(global, &name, json.json, printer),
        SnapshotAction::Delete { names } => names,
    };
    let project = super::known_project(global)?;
    project.manifest.transaction(|manifest| {
        names.iter().try_for_each(|name| manifest.delete_snapshot(&manifest.known_snapshot(name)?))
    })?;
    project.store.let_go();
    printer.say(&format!("{} deleted", counted(names.len(), "snapshot")));
    Ok(0)
}

fn list(global: &Global, as_json: bool, printer: &Printer) -> Result<Status> {
    let snapshots = super::project_to_read(global)?.manifest.snapshots()?;
    if as_json {
        printer.json(&Value::Array(snapshots.iter().map(json).collect()));
        return Ok(0);
    }
    print(&snapshots, printer);
    if snapshots.is_empty() {
        printer.say("no snapshot yet: vrift commit makes one");
    }
    Ok(0)
}

fn show(global: &Global, name: &str, as_json: bool, printer: &Printer) -> Result<Status> {
    let manifest = super::project_to_read(global)?.manifest;
    let snapshot = manifest.known_snapshot(name)?;
    if as_json {
        printer.json(&json(&snapshot));
        return Ok(0);
    }
    let parent = snapshot.parent.map(|id| manifest.snapshot_by_id(id)).transpose()?.flatten();
    let row = |what: &str, text: &str| printer.out(&format!("{what:<10} {text}\n"));
    row("snapshot", &snapshot.name);
    row("workspace", &snapshot.workspace);
    row("root", &snapshot.root.hex());
    row("before it", parent.as_ref().map_or("-", |parent| &parent.name));
    row("made", &age(now_ms().saturating_sub(snapshot.at.saturating_mul(1000))));
    row("conflicts", &snapshot.conflicts.to_string());
    row("message", &snapshot.message);
    Ok(0)
}

/// One line each.
pub fn print(snapshots: &[Row], printer: &Printer) {
    let width = snapshots.iter().map(|snapshot| snapshot.name.len()).max().unwrap_or(0).max(8);
    let now = now_ms();
    for snapshot in snapshots {
        let name = printer.toned(Tone::Good, &format!("{:<width$}", snapshot.name));
        let root = &snapshot.root.hex()[..10];
        let since = age(now.saturating_sub(snapshot.at.saturating_mul(1000)));
        let message = snapshot.message.lines().next().unwrap_or_default();
        let open = match snapshot.conflicts {
            0 => String::new(),
            open => format!(" ({open} conflicts open)"),
        };
        let line =
            format!("{name}  {root}  {since:>10}  {}  {}{open}", snapshot.workspace, message.escape_debug());
        printer.out(&format!("{}\n", line.trim_end()));
    }
}

/// One snapshot for scripts.
pub fn json(snapshot: &Row) -> Value {
    json!({
        "name": snapshot.name, "workspace": snapshot.workspace, "root": snapshot.root.hex(),
        "message": snapshot.message, "conflicts": snapshot.conflicts, "at": snapshot.at,
    })
}
