//! A workspace and its host directory, and the runs in it.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Json;

/// Take the host directory's edits over into the workspace.
///
/// `exec` does this at its start. While a run of the workspace lives, the edits come into its
/// view as well, so that what watches files inside is told, as a development server is. A path
/// that was changed inside too stays as it is there, and is merged when the session is taken
/// in; what lies in a `.git`, and files with hard links, come with the next start.
#[derive(Debug, Args)]
pub struct Sync {
    /// The workspace that gets them.
    ///
    /// A fork gets all edits since it was forked, or synced last.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// Take over the deletion of most of the project.
    #[arg(long)]
    pub accept_deletions: bool,
    /// Go on, and take each edit over as it happens, until ended by a signal.
    ///
    /// With --json a line for each time that something came in.
    #[arg(long)]
    pub watch: bool,
    /// End when standard input does.
    #[arg(long, hide = true, requires = "watch")]
    pub with_stdin: bool,
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
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
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

/// Print a path by which a file of the live session can be opened from outside.
///
/// As in `less $(vrift path log)`. It is good as long as the session lives, for reading and for writing, which is
/// writing in the session. A symbolic link that is absolute leads to the host's file.
#[derive(Debug, Args)]
pub struct Path {
    /// The file, or directory, by its path in the project.
    #[arg(value_name = "FILE")]
    pub file: std::path::PathBuf,
    /// The workspace whose session it is.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
}

/// List runs: live ones, what killed ones left, and finished ones, newest first.
///
/// Each with its workspace, when it began, how long it took, its command, and the directory in
/// the project that it was started in.
#[derive(Debug, Args)]
pub struct Runs {
    /// Show the live ones, and go on: a line for each run that begins, and for each that ends.
    ///
    /// With --json each line is an object with a member `event`: `live` or `finished`.
    #[arg(long, conflicts_with = "limit")]
    pub watch: bool,
    /// Print what a run printed that was started with `exec --log`: this one, by its number, else the last.
    ///
    /// Of a live one, by the number shown for it, what there is so far. It is kept for 14 days, and of the last
    /// fifty runs for longer.
    #[arg(long, value_name = "RUN", num_args = 0..=1, conflicts_with_all = ["watch", "limit", "json"])]
    pub log: Option<Option<String>>,
    /// How many finished runs to list.
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    pub limit: u32,
    #[command(flatten)]
    pub json: Json,
}

/// See workspaces, what they changed and what has run on the whole screen.
///
/// Enter shows a change as a patch. `a` writes to the directory, `d` brings the directory's state back into the
/// workspace: of the one change that is chosen, or of all when the pane of workspaces is; both ask first. `q` ends.
#[derive(Debug, Args)]
pub struct Ui {
    /// The workspace that is shown first.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
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
