//! `vrift stats`: what the store holds, for whom, and what sharing saves; as text, as JSON,
//! or as one page of HTML.

mod page;
mod treemap;

use serde_json::{Value, json};

use super::printer::{Printer, Tone, age, counted, size};
use super::{Status, bar};
use crate::cas::Store;
use crate::cli::{self, Global};
use crate::error::{Context, Error, Result, plain};
use crate::paths;
use crate::session::record::now_ms;
use crate::session::stats::{Folder, Held, Here, Stats, stats};

pub fn run(global: &Global, args: &cli::Stats, printer: &Printer) -> Result<Status> {
    let root = paths::store(global.store.as_deref())?;
    let Some(store) = Store::open_to_read(&root)? else {
        printer.say("there is no store yet");
        return Ok(0);
    };
    // outside of a project there is the store alone to tell of
    let project = super::project_to_read(global);
    let here = match (&project, global.workspace_named || global.directory.is_some()) {
        (Ok(project), _) => Some((project, args.workspace.as_str())),
        (Err(_), false) => None,
        (Err(_), true) => return project.map(|_| 0),
    };
    let found = bar::with(printer, "counting", |meter| stats(&store, here, meter))?;
    if let Some(file) = &args.html {
        std::fs::write(file, page::page(&root, &found))
            .context("write", file)
            .map_err(|error: Error| error.with_hint("name a file in a directory of yours"))?;
    }
    match (args.json.json, &args.html) {
        (true, _) => printer.json(&json_of(&found)),
        (false, Some(file)) => printer.say(&format!("written: {}", file.display())),
        (false, None) => show(&root, &found, printer),
    }
    Ok(0)
}

/// How often the contents that the workspaces hold are there, on an average: what copies of
/// them would take, for what they take together. `None`: nothing is held.
fn shared(here: &Here) -> Option<f64> {
    let apart: u64 = here.workspaces.iter().map(|branch| branch.held.bytes).sum();
    (here.together.bytes > 0).then(|| apart as f64 / here.together.bytes as f64)
}

fn show(root: &std::path::Path, found: &Stats, printer: &Printer) {
    let strong = |text: &str| printer.toned(Tone::Strong, text);
    printer.out(&format!("{}\n", strong(&root.display().to_string())));
    printer.out(&format!(
        "  {}, {}; {} of disk\n",
        counted(found.objects.count, "object"),
        size(found.objects.bytes),
        size(found.on_disk)
    ));
    if found.unnamed.count > 0 {
        printer.out(&format!(
            "  {} ({}) that nothing names: vrift gc\n",
            counted(found.unnamed.count, "object"),
            size(found.unnamed.bytes)
        ));
    }
    let mut rows = vec![["project", "in use", "old states", "alone", "manifest"].map(String::from)];
    for share in &found.projects {
        let name = share.root.as_ref().map_or_else(|| share.id.clone(), |root| plain(root.as_os_str()));
        rows.push(match &share.broken {
            Some(why) => [name, format!("not counted: {why}"), "".into(), "".into(), "".into()],
            None => [
                name,
                size(share.live.bytes),
                size(share.history.bytes),
                size(share.alone.bytes),
                size(share.manifest),
            ],
        });
    }
    table(&rows, printer);
    if let Some(here) = &found.here {
        show_here(here, printer);
    }
}

fn show_here(here: &Here, printer: &Printer) {
    let mut rows = vec![["workspace", "contents", "size", "alone"].map(String::from)];
    for branch in &here.workspaces {
        rows.push([
            branch.name.clone(),
            branch.held.count.to_string(),
            size(branch.held.bytes),
            size(branch.alone.bytes),
        ]);
    }
    table(&rows, printer);
    if let Some(times) = shared(here).filter(|_| here.workspaces.len() > 1) {
        printer.out(&format!(
            "together {}: copies would take {times:.1} times as much\n",
            size(here.together.bytes)
        ));
    }
    if !here.snapshots.is_empty() {
        let mut rows = vec![["snapshot", "new", "made"].map(String::from)];
        for grown in &here.snapshots {
            rows.push([grown.name.clone(), size(grown.new.bytes), age(now_ms() - grown.at * 1000)]);
        }
        table(&rows, printer);
    }
    let mut rows = vec![[format!("largest in {}", here.workspace), "size".into()]];
    let largest = here.largest.iter().take(5);
    rows.extend(largest.map(|(path, bytes)| [shown(path), size(*bytes)]));
    if rows.len() > 1 {
        table(&rows, printer);
    }
}

/// Columns as wide as they must be: the first to the left, the others to the right.
fn table<const N: usize>(rows: &[[String; N]], printer: &Printer) {
    let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(wide).collect();
    printer.out("\n");
    for (number, row) in rows.iter().enumerate() {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for column in 1..N {
            line.push_str(&format!("  {:>1$}", row[column], widths[column]));
        }
        let line = line.trim_end();
        let line = if number == 0 { printer.toned(Tone::Dim, line) } else { line.to_string() };
        printer.out(&format!("{line}\n"));
    }
}

/// A path that may be shown on a terminal and on a page.
fn shown(path: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt;
    plain(std::ffi::OsStr::from_bytes(path))
}

fn json_of(found: &Stats) -> Value {
    let held = |held: &Held| json!({ "count": held.count, "bytes": held.bytes });
    let projects: Vec<Value> = found
        .projects
        .iter()
        .map(|share| {
            json!({
                "id": share.id, "path": share.root.as_ref().map(|root| plain(root.as_os_str())),
                "broken": share.broken, "live": held(&share.live), "history": held(&share.history),
                "alone": held(&share.alone), "manifest": share.manifest,
            })
        })
        .collect();
    let here = found.here.as_ref().map(|here| {
        let workspaces: Vec<Value> = here.workspaces.iter().map(|branch| {
            json!({ "name": branch.name, "held": held(&branch.held), "alone": held(&branch.alone) })
        }).collect();
        let snapshots: Vec<Value> = here.snapshots.iter().map(|grown| {
            json!({ "name": grown.name, "at": grown.at, "new": held(&grown.new) })
        }).collect();
        let largest: Vec<Value> =
            here.largest.iter().map(|(path, bytes)| json!({ "path": shown(path), "bytes": bytes })).collect();
        json!({
            "workspace": here.workspace, "workspaces": workspaces, "together": held(&here.together), "snapshots": snapshots,
            "largest": largest, "tree": folder(&here.top),
        })
    });
    json!({
        "objects": held(&found.objects), "on_disk": found.on_disk, "unnamed": held(&found.unnamed),
        "projects": projects, "here": here,
    })
}

fn folder(found: &Folder) -> Value {
    let inner: serde_json::Map<String, Value> =
        found.inner.iter().map(|(name, inner)| (shown(name), folder(inner))).collect();
    json!({ "count": found.held.count, "bytes": found.held.bytes, "inner": inner })
}
