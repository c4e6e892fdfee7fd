//! A workspace and its host directory, and the runs in it.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Json;

/// Take the host directory's edits over into the workspace.
///
/// `exec` does this at its start; alone it is useful before a run with --no-sync.
#[derive(Debug, Args)]
pub struct Sync {
    /// The workspace that gets them.
    ///
    /// A fork gets all edits since it was forked, or synced last.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// Take over the deletion of most of the project.
    #[arg(long)]
    pub accept_deletions: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Show the host's edits that are still to come in, and what the workspace has that the host
/// directory has not.
///
/// Also: what changed since the workspace's last snapshot, open conflicts, repositories that
/// belong to it, runs that live, and what killed ones left. Nothing is taken over.
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Status {
    /// The workspace to show.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// Do not look for edits of the host.
    #[arg(long)]
    pub no_sync: bool,
    /// Show which paths are not just the host's, and which rule says so.
    #[arg(long)]
    pub paths: bool,
    #[command(flatten)]
    pub json: Json,
}

/// List runs: live ones, what killed ones left, and finished ones, newest first.
#[derive(Debug, Args)]
pub struct Runs {
    /// How many finished runs to list.
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    pub limit: u32,
    #[command(flatten)]
    pub json: Json,
}

/// End a live run, or all of a workspace.
///
/// The command gets SIGTERM, and SIGKILL two seconds later. What was written is taken in as
/// after any end; `stop` returns when that is done.
#[derive(Debug, Args)]
pub struct Stop {
    /// The run, by the number that `vrift runs` shows for live ones.
    #[arg(value_name = "RUN", required_unless_present = "workspace")]
    pub run: Option<i32>,
    /// All live runs of this workspace.
    #[arg(short, long, value_name = "NAME", conflicts_with = "run")]
    pub workspace: Option<String>,
}

/// Keep or drop what a run wrote that ended without taking it in.
///
/// Without --keep, --drop or --diff it is asked on a terminal; elsewhere the sessions left behind
/// are listed. They are dropped thirty days after they were noticed first.
#[derive(Debug, Args)]
pub struct Recover {
    /// The session; all of them when none is named.
    pub session: Option<String>,
    /// Take what was written into the workspace.
    #[arg(long, conflicts_with = "drop")]
    pub keep: bool,
    /// Throw what was written away.
    #[arg(long)]
    pub drop: bool,
    /// Show what keeping it would change, as a patch.
    #[arg(long, conflicts_with_all = ["keep", "drop", "json"])]
    pub diff: bool,
    #[command(flatten)]
    pub json: Json,
}
