//! `vrift status`: the host's edits that are still to come in, what the workspace has that
//! the host has not and what it has since its last snapshot, open conflicts, repositories
//! that belong to it, runs that live and sessions that were left behind.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone, counted};
use crate::cas::Digest;
use crate::cli;
use crate::error::{Result, plain};
use crate::manifest::conflict::Open;
use crate::manifest::diff::{Change, diff};
use crate::manifest::git::{self, Owned};
use crate::manifest::workspace::Workspace;
use crate::session::checkpoint::live_root;
use crate::session::live::{LiveRun, live_runs};
use crate::session::mounts;
use crate::session::project::Project;
use crate::session::recover::orphans;
use crate::session::sync::look::host_edits;
use crate::session::sync::shown;

/// A mark (`A`, `M`, `D`) and a path.
type Line = (char, Vec<u8>);

/// All there is to say.
struct Found {
    workspace: Workspace,
    head: Option<Digest>,
    /// Of the host, not taken over yet.
    host: Vec<Line>,
    /// Of the workspace, beside the host as it was last taken over.
    changes: Vec<Line>,
    /// Of the workspace since its newest snapshot, which has this name.
    since: Option<(String, Vec<Line>)>,
    owned: Vec<Owned>,
    conflicts: Vec<Open>,
    session: Option<String>,
    runs: Vec<LiveRun>,
    orphans: Vec<String>,
}

pub fn run(global: &cli::Global, args: cli::Status, printer: &Printer) -> Result<Status> {
    if args.paths {
        return super::paths::list(global, args.json.json, printer);
    }
    let mut project = super::project_to_read(global)?;
    project.configure(&global.config)?;
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let mut live = None;
    if global.live {
        // from inside a run: what the run shows
        (project, live) = live_root(project, workspace.id)?;
    }
    let head = live.as_ref().map(|shown| shown.root).or(workspace.head);
    let host = match args.no_sync {
        true => Vec::new(),
        false => host_edits(&project, &workspace).unwrap_or_else(|error| {
            printer.warn(&format!("the host's edits are not known: {error}"));
            Vec::new()
        }),
    };
    let host = repositories(&host).into_iter().chain(lines(&host)).collect();
    let found = find(&project, workspace, head, host)?;
    match args.json.json {
        true => printer.json(&json_of(&project, &found)),
        false => show(&project, &found, printer),
    }
    Ok(0)
}

fn find(project: &Project, workspace: Workspace, head: Option<Digest>, host: Vec<Line>) -> Result<Found> {
    let manifest = &project.manifest;
    let covered = mounts::covered(project)?;
    let between = |before: Option<&Digest>| -> Result<Vec<Line>> {
        let mut changes = Vec::new();
        let Some(head) = &head else { return Ok(Vec::new()) };
        diff(manifest, before, Some(head), &mut |change| {
            let at = |mount: &Vec<u8>| change.path == *mount || mounts::is_below(&change.path, mount);
            if !covered.iter().any(at) {
                changes.push(change);
            }
            Ok(())
        })?;
        Ok(lines(&changes))
    };
    let base = workspace.host_base.as_ref();
    let snapshot = workspace.snapshot.map(|id| manifest.snapshot_by_id(id)).transpose()?.flatten();
    let since = snapshot.map(|snapshot| Ok((snapshot.name, between(Some(&snapshot.root))?))).transpose()?;
    let owned = head.map(|head| git::owned(manifest, &project.store, base, &head)).transpose()?;
    let (session, orphans) = sessions_of(project, workspace.id)?;
    let mut runs = live_runs(project)?;
    runs.retain(|run| run.workspace_id == workspace.id);
    Ok(Found {
        head,
        host,
        changes: between(base)?,
        since,
        owned: owned.unwrap_or_default(),
        conflicts: manifest.conflicts(workspace.id)?,
        session,
        runs,
        orphans,
        workspace,
    })
}

fn json_of(project: &Project, found: &Found) -> Value {
    let list = |lines: &[Line]| -> Vec<Value> {
        let line = |(mark, path): &Line| json!({ "status": mark.to_string(), "path": String::from_utf8_lossy(path) });
        lines.iter().map(line).collect()
    };
    json!({
        "project": project.root.to_string_lossy(),
        "workspace": found.workspace.name,
        "head": found.head.map(|head| head.hex()),
        "host": list(&found.host),
        "changes": list(&found.changes),
        "since": found.since.as_ref().map(|(name, lines)| json!({ "snapshot": name, "changes": list(lines) })),
        "conflicts": found.conflicts.iter().map(|open| json!({
            "path": String::from_utf8_lossy(&open.path), "against": open.against,
            "kept": open.all().count(),
        })).collect::<Vec<Value>>(),
        "git": found.owned.iter().map(|owned| json!({
            "path": String::from_utf8_lossy(&owned.path), "unlike": owned.unlike,
        })).collect::<Vec<Value>>(),
        "live": found.session,
        "runs": found.runs.iter().map(|run| json!({
            "run": run.launcher, "command": run.command.as_deref().map(super::runs::list),
        })).collect::<Vec<Value>>(),
        "orphans": found.orphans,
    })
}

fn show(project: &Project, found: &Found, printer: &Printer) {
    let name = &found.workspace.name;
    printer.out(&format!("project {}, workspace {name}\n", project.root.display()));
    if let Some(session) = &found.session {
        printer.out(&format!("live: session {session}, {}\n", counted(found.runs.len(), "run")));
    }
    for open in &found.conflicts {
        let mark = printer.toned(Tone::Bad, "conflict");
        let more = match open.earlier.len() {
            0 => String::new(),
            earlier => format!(", and {} kept", counted(earlier, "earlier one")),
        };
        printer.out(&format!("{mark} {} (against {}{more})\n", shown(&open.path), open.against));
    }
    for Owned { path, unlike } in &found.owned {
        let (path, what) = (shown(path), unlike.join(", "));
        printer.out(&format!(
            "git {path} belongs to the workspace ({what} changed inside) until the host has the same: git fetch vrift::{name}\n"
        ));
    }
    for orphan in &found.orphans {
        let mark = printer.toned(Tone::Warning, "orphan");
        printer.out(&format!("{mark} session {orphan}: vrift recover {orphan} --keep or --drop\n"));
    }
    if !found.host.is_empty() {
        printer.out("edits of the host that are not taken over yet (vrift sync):\n");
        found.host.iter().for_each(|line| printer.out(&format!("  {}", worded(line, printer))));
    }
    found.changes.iter().for_each(|line| printer.out(&worded(line, printer)));
    if found.changes.is_empty() && found.owned.is_empty() {
        printer.out("the workspace is as the directory was when it was last taken over\n");
    }
    match &found.since {
        Some((snapshot, lines)) if lines.is_empty() => {
            printer.out(&format!("nothing has changed since snapshot {snapshot}\n"));
        }
        Some((snapshot, lines)) => {
            let count = counted(lines.len(), "path");
            printer.out(&format!("{count} changed since snapshot {snapshot}: vrift diff {snapshot}\n"));
        }
        None => {}
    }
}

fn worded((mark, path): &Line, printer: &Printer) -> String {
    let tone = match mark {
        'A' => Tone::Good,
        'D' => Tone::Bad,
        _ => Tone::Warning,
    };
    format!("{} {}\n", printer.toned(tone, &mark.to_string()), plain(OsStr::from_bytes(path)))
}

/// The repositories that git changed something in.
fn repositories(changes: &[Change]) -> Vec<Line> {
    let details = changes.iter().filter(|change| git::is_detail(&change.path));
    let of = |change: &Change| ('M', [git::of_path(&change.path), b"/"].concat());
    let mut lines: Vec<Line> = details.map(of).collect();
    lines.dedup();
    lines
}

/// A directory that only one side has stands for all below it, a repository for what git
/// keeps in it.
fn lines(changes: &[Change]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut whole: Option<Vec<u8>> = None;
    for change in changes.iter().filter(|change| !git::is_detail(&change.path)) {
        if change.path.is_empty() || whole.as_ref().is_some_and(|dir| change.path.starts_with(dir)) {
            continue;
        }
        let dir = |entry: &Option<_>| entry.as_ref().is_some_and(crate::manifest::node::Entry::is_dir);
        let mark = match (&change.before, &change.after) {
            (None, _) => 'A',
            (_, None) => 'D',
            // A directory whose listing changed: the names in it say so.
            _ if dir(&change.before) && dir(&change.after) => continue,
            _ => 'M',
        };
        let mut path = change.path.clone();
        if mark != 'M' && (dir(&change.before) || dir(&change.after)) {
            path.push(b'/');
            whole = Some(path.clone());
        }
        lines.push((mark, path));
    }
    lines
}

/// The live session of a workspace, and those that ended without taking in.
fn sessions_of(project: &Project, workspace: i64) -> Result<(Option<String>, Vec<String>)> {
    let mine = orphans(project)?.into_iter().filter(|orphan| orphan.workspace == workspace);
    let names = mine.map(|orphan| orphan.session).collect();
    Ok((crate::session::open::live(project, workspace)?, names))
}
