//! What is said of a run: what it found as it began, and what it has written as it ended.

use std::time::Duration;

use serde_json::json;

use super::events::Events;
use super::printer::{counted, size, took};
use crate::error::quoted;
use crate::session::leave::Departure;
use crate::session::open::{Session, View};
use crate::session::recover::Orphan;
use crate::session::sync;
use crate::session::take_in::Taken;

/// What was found as the run began; `spent` is what that has taken.
pub(super) fn announce(session: &Session, spent: Duration, events: &Events<'_>) {
    let event = if session.joined { "joined" } else { "opened" };
    let (workspace, name, init) = (&session.workspace, &session.name, session.link.init_pid());
    let View { projection, files } = &session.view;
    events.send(
        event,
        json!({
            "workspace": workspace, "session": name, "init": init, "projection": projection, "files": files,
        }),
    );
    for warning in session.link.warnings() {
        events.warn(&warning.to_string());
    }
    announce_orphans(&session.orphans, events);
    for taken in &session.resumed {
        events.say(&format!("taken in what an interrupted run had left: {}", summary(taken)));
    }
    open_conflicts(session, events);
    if let Some(report) = &session.synced {
        announce_sync(report, spent, events);
    }
}

/// What killed runs left.
pub fn announce_orphans(orphans: &[Orphan], events: &Events<'_>) {
    for Orphan { session, days } in orphans {
        events.warn(&match days {
            Some(days) => format!(
                "session {session} ended without taking in what it wrote: vrift recover {session} --keep or --drop \
                 (dropped in {})",
                counted(*days, "day")
            ),
            None => format!("session {session} was dropped: nobody recovered for 30 days what it had written"),
        });
    }
}

/// What a sync found; the first one says what it took in.
pub fn announce_sync(report: &sync::Report, spent: Duration, events: &Events<'_>) {
    for left in report.left_out.iter().take(10) {
        events.warn(&left.to_string());
    }
    if report.left_out.len() > 10 {
        events.warn(&format!("and {} more were left out", report.left_out.len() - 10));
    }
    if report.first {
        events.say(&format!(
            "taken in {} in {}, {} new to the store",
            counted(report.read, "file"),
            took(i64::try_from(spent.as_millis()).unwrap_or(i64::MAX)),
            size(report.new_bytes)
        ));
    }
    for conflict in &report.conflicts {
        events.warn(&conflict.to_string());
    }
}

/// Said each time, until they are resolved.
fn open_conflicts(session: &Session, events: &Events<'_>) {
    let manifest = &session.project.manifest;
    let known = manifest.known_workspace(&session.workspace).and_then(|now| {
        match manifest.conflict_count(now.id)? {
            0 => Ok(Vec::new()),
            _ => manifest.conflicts(now.id),
        }
    });
    let open = known.unwrap_or_default(); // a manifest that cannot be read has been said
    if open.is_empty() {
        return;
    }
    let mut names: Vec<String> = open.iter().take(5).map(|open| sync::shown(&open.path)).collect();
    if open.len() > names.len() {
        names.push(format!("{} more", open.len() - names.len()));
    }
    let count = counted(open.len(), "open conflict");
    events.warn(&format!("{count}: {}: vrift diff --conflict PATH, vrift resolve", names.join(", ")));
}

/// What became of the session.
pub(super) fn report(departure: &Departure, of: &Of<'_>, events: &Events<'_>) {
    if !departure.ended.is_empty() {
        events.say(&format!("ended what was left running: {}", departure.ended.join(", ")));
    }
    if departure.unconfirmed {
        events.say("a file of the session is still open somewhere; what it held at the end was copied");
    }
    if let Some(wrote) = departure.discarded {
        if wrote {
            events.say("what was written is discarded");
        }
        return events.send("discarded", json!({ "changed": wrote }));
    }
    if !departure.project.is_where_it_was() {
        events.warn(&format!(
            "{} is no longer the directory it was when the run began: what was written by its path may have gone elsewhere",
            quoted(departure.project.root.as_os_str())
        ));
    }
    let Some(taken) = &departure.taken else { return events.send("left", json!({})) };
    say_taken(taken, of, events);
}

/// What a run's end is told of.
pub(super) struct Of<'a> {
    pub workspace: &'a str,
    /// What it wrote is written to the host next.
    pub applies: bool,
    /// How long the command ran, in milliseconds.
    pub lasted: Option<i64>,
}

impl<'a> Of<'a> {
    /// A session that was left by something else than a command.
    pub fn workspace(workspace: &'a str) -> Self {
        Self { workspace, applies: false, lasted: None }
    }
}

/// What was taken in, for who reads and for who listens.
pub(super) fn say_taken(taken: &Taken, of: &Of<'_>, events: &Events<'_>) {
    for name in &taken.left_out {
        events.warn(&format!("left out {name}"));
    }
    if taken.conflicts > 0 {
        events.warn(&format!(
            "{} changed in the session and by a sync meanwhile",
            counted(taken.conflicts, "path")
        ));
    }
    if taken.changed {
        let rest = match of.applies {
            true => "",
            false => "; the directory itself is unchanged: vrift diff · vrift apply",
        };
        let lasted = of.lasted.map(|ms| format!(" in {}", took(ms))).unwrap_or_default();
        let to = if taken.written > 0 { "to" } else { "in" };
        events.say(&format!("{} {to} workspace {}{lasted}{rest}", summary(taken), of.workspace));
    }
    events.send(
        "taken-in",
        json!({
            "written": taken.written, "deleted": taken.deleted, "new_bytes": taken.new_bytes,
            "conflicts": taken.conflicts, "changed": taken.changed,
        }),
    );
}

fn summary(taken: &Taken) -> String {
    let mut parts = Vec::new();
    if taken.written > 0 {
        parts.push(format!("{} written", counted(taken.written, "file")));
    }
    if taken.deleted > 0 {
        parts.push(format!("{} deleted", counted(taken.deleted, "name")));
    }
    match (parts.is_empty(), taken.new_bytes) {
        (true, _) => "directories changed".into(),
        (_, 0) => parts.join(", "),
        (_, new) => format!("{} ({} new)", parts.join(", "), size(new)),
    }
}
