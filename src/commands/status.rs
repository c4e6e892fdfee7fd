//! `vrift status`: what the workspace has that the host directory has not, open
//! conflicts, and sessions.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::Status;
use super::printer::{Printer, Tone};
use crate::cli;
use crate::error::{Result, plain};
use crate::manifest::diff::{Change, diff};
use crate::manifest::git;
use crate::session::checkpoint::live_root;
use crate::session::mounts;
use crate::session::project::Project;
use crate::session::record::Record;
use crate::session::staging::sessions;
use crate::session::sync::shown;

pub fn run(global: &cli::Global, args: cli::Status, printer: &Printer) -> Result<Status> {
    if args.paths {
        return super::paths::list(global, args.json.json, printer);
    }
    let mut project = super::project_to_read(global)?;
    project.configure(&global.config)?;
    let covered = mounts::covered(&project)?;
    let workspace = project.manifest.known_workspace(&args.workspace)?;
    let mut head = workspace.head;
    if global.live {
        // from inside a run: what the run shows
        let live;
        (project, live) = live_root(project, workspace.id)?;
        head = live.or(head);
    }
    let mut changes = Vec::new();
    if let Some(head) = &head {
        diff(&project.manifest, workspace.host_base.as_ref(), Some(head), &mut |change| {
            let at = |mount: &Vec<u8>| change.path == *mount || mounts::is_below(&change.path, mount);
            if !covered.iter().any(at) && !git::is_detail(&change.path) {
                changes.push(change);
            }
            Ok(())
        })?;
    }
    let lines = lines(&changes);
    let (manifest, base) = (&project.manifest, workspace.host_base.as_ref());
    let owned = head.map(|head| git::owned(manifest, &project.store, base, &head)).transpose()?;
    let owned = owned.unwrap_or_default();
    let conflicts = project.manifest.conflicts(workspace.id)?;
    let (live, orphans) = sessions_of(&project, workspace.id)?;
    if args.json.json {
        printer.json(&json!({
            "project": project.root.to_string_lossy(),
            "workspace": workspace.name,
            "head": head.map(|head| head.hex()),
            "changes": lines.iter().map(|(mark, path)| json!({
                "status": mark.to_string(), "path": String::from_utf8_lossy(path),
            })).collect::<Vec<Value>>(),
            "conflicts": conflicts.iter().map(|open| json!({
                "path": String::from_utf8_lossy(&open.path), "against": open.against,
            })).collect::<Vec<Value>>(),
            "git": owned.iter().map(|owned| json!({
                "path": String::from_utf8_lossy(&owned.path), "unlike": owned.unlike,
            })).collect::<Vec<Value>>(),
            "live": live,
            "orphans": orphans,
        }));
        return Ok(0);
    }
    printer.out(&format!("project {}, workspace {}\n", project.root.display(), workspace.name));
    if let Some(session) = live {
        printer.out(&format!("live: session {session}\n"));
    }
    for open in &conflicts {
        let mark = printer.toned(Tone::Bad, "conflict");
        printer.out(&format!("{mark} {} (against {})\n", shown(&open.path), open.against));
    }
    for git::Owned { path, unlike } in &owned {
        printer.out(&format!(
            "git {} belongs to the workspace ({} changed inside) until the host has the same: git fetch vrift::{}\n",
            shown(path),
            unlike.join(", "),
            workspace.name
        ));
    }
    for orphan in &orphans {
        let mark = printer.toned(Tone::Warning, "orphan");
        printer.out(&format!("{mark} session {orphan}: vrift recover {orphan} --keep or --drop\n"));
    }
    for (mark, path) in &lines {
        let tone = match mark {
            'A' => Tone::Good,
            'D' => Tone::Bad,
            _ => Tone::Warning,
        };
        let path = plain(OsStr::from_bytes(path));
        printer.out(&format!("{} {path}\n", printer.toned(tone, &mark.to_string())));
    }
    if lines.is_empty() && owned.is_empty() {
        printer.out("the workspace is as the directory was when it was last taken over\n");
    }
    Ok(0)
}

/// `A`, `M`, `D` and the path. A directory that only one side has stands for all below it.
fn lines(changes: &[Change]) -> Vec<(char, Vec<u8>)> {
    let mut lines: Vec<(char, Vec<u8>)> = Vec::new();
    let mut whole: Option<Vec<u8>> = None;
    for change in changes {
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
    let live = crate::session::open::live(project, workspace)?;
    let pending = project.manifest.pending(workspace)?;
    let mut orphans = Vec::new();
    for session in sessions(project)? {
        let mine = Record::read(&project.staging().join(&session))
            .is_ok_and(|record| record.is_some_and(|record| record.workspace == workspace));
        let known = live.as_ref() == Some(&session) || pending.iter().any(|row| row.staging == session);
        if mine && !known {
            orphans.push(session);
        }
    }
    Ok((live, orphans))
}
