//! What `--psfs-stats` says at the end of a run.

use serde_json::{Map, Value, json};

use super::events::Events;
use crate::psfs::counts::{ABSENT, ASKED, Counts, KINDS, THERE};

/// Says how often programs were answered without a system call.
pub fn tell(counts: &Counts, events: &Events<'_>) {
    let mut members = Map::new();
    let mut lines = format!("{:<16}{:>12}{:>12}{:>12}", "answers", "there", "absent", "by kernel");
    for (kind, name) in KINDS.iter().enumerate() {
        let [there, absent, asked] = [THERE, ABSENT, ASKED].map(|outcome| counts.of(kind, outcome));
        lines += &format!("\n  {name:<14}{there:>12}{absent:>12}{asked:>12}");
        members.insert((*name).into(), json!({ "there": there, "absent": absent, "asked": asked }));
    }
    events.send("psfs", Value::Object(members));
    events.say(&lines);
}
