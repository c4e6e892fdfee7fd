//! The workspace that a run is in: the one that is named, one that is made first, or one
//! for this run alone.

use std::time::Instant;

use super::bar;
use super::events::Events;
use super::printer::Printer;
use crate::cli;
use crate::error::Result;
use crate::manifest::workspace::MAIN;
use crate::session::fork::{Wanted, fork};
use crate::session::open::live;
use crate::session::project::Project;
use crate::session::sync::{self, sync};
use crate::session::workspaces::forget_stale;

/// Where a run is.
pub struct Place {
    pub workspace: String,
    /// Made for this run.
    pub is_throw_away: bool,
}

/// Finds or makes it. `trial`: one for this run alone, whatever else is said.
pub fn find(
    project: Project,
    wanted: &cli::Run,
    trial: bool,
    events: &Events<'_>,
    printer: &Printer,
) -> Result<(Project, Place)> {
    let is_throw_away = trial || wanted.from.is_some();
    if !is_throw_away && wanted.fork.is_none() {
        return Ok((project, Place { workspace: wanted.workspace.clone(), is_throw_away }));
    }
    if let Some(name) = &wanted.fork {
        project.manifest.free_name(name)?; // before the work, not after it
    }
    let mut project = forget_stale(project)?;
    let now = project.manifest.known_workspace(&wanted.workspace)?;
    let follows = now.name == MAIN && wanted.from.is_none() && live(&project, now.id)?.is_none();
    if now.name == MAIN && now.head.is_none() || follows && !wanted.no_sync {
        let began = Instant::now();
        let report =
            bar::with(printer, "taking in", |meter| sync(&project, MAIN, sync::Options::default(), meter))?;
        super::announce::announce_sync(&report, began.elapsed(), events);
    }
    let from =
        Wanted { name: wanted.fork.as_deref(), from: wanted.from.as_deref(), workspace: &wanted.workspace };
    let made;
    (project, made) = fork(project, from)?;
    Ok((project, Place { workspace: made.name, is_throw_away }))
}
