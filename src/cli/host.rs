//! What brings the workspace and the host together again: `apply` and `resolve`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::Json;
use crate::session::apply::OnConflict;

/// Write the workspace's changes to the host directory.
///
/// What is written is what the workspace has otherwise than the directory had when it was last
/// taken over; directories that are the workspace's own (`target/`, `node_modules/`) only when they are
/// named, nothing below a `.git`, nothing that is mounted. What programs run by themselves, as new executables
/// and hooks, is named first.
///
/// All of it is written or nothing: every path is compared with what it was when the directory was
/// last taken over, and when one was changed since then, nothing is written unless --on-conflict says what to do. An
/// apply that is killed is finished, or taken back, by the next command.
#[derive(Debug, Args)]
pub struct Apply {
    /// Only at or below these paths.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The workspace whose changes are written.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// Show what would be written, and write nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print what would be written as a patch, and write nothing.
    #[arg(short, long)]
    pub patch: bool,
    /// Write the named directories, which are the workspace's own, as mirrors: for an editor on the host.
    ///
    /// Each (`node_modules`, `target`, `.venv`) is written whole and takes the place of the one there at once, as it
    /// is in the workspace now, in its live session if there is one. Nothing is compared: what was changed in the
    /// mirror is gone with the next time, which links the files that are still as they were, and so is quick. A
    /// mirror (it holds a file `.vrift-mirror`) may be removed at any time and is never taken in. A directory that
    /// is not one is replaced only with --on-conflict=overwrite.
    #[arg(long, requires = "paths", conflicts_with_all = ["dry_run", "patch", "interactive"])]
    pub materialize: bool,
    /// Ask for each path on the terminal.
    #[arg(short, long, conflicts_with_all = ["dry_run", "patch"])]
    pub interactive: bool,
    /// What to do with a path that was changed on the host as well.
    #[arg(long, value_name = "HOW", default_value = "abort", hide_default_value = true)]
    pub on_conflict: OnConflict,
    #[command(flatten)]
    pub json: Json,
}

/// Decide conflicts: which version of a path the workspace has from now on.
///
/// A conflict is a path that two sides changed and that does not merge. Until it is resolved one version
/// is in the view and the other is kept; `vrift status` lists conflicts and `vrift diff --conflict PATH` shows both
/// versions. The state before stays in the history: `vrift undo` brings it, and the conflict, back.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("choice").required(true))]
pub struct Resolve {
    /// Only conflicts at or below these paths.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Whose conflicts.
    #[arg(
        short = 'w',
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub of: String,
    /// Take the host's version; against another workspace, that one's.
    #[arg(long, group = "choice", visible_alias = "theirs")]
    pub host: bool,
    /// Take the workspace's version.
    #[arg(long, group = "choice", visible_alias = "ours")]
    pub workspace: bool,
    /// Merge both by lines; where they changed the same lines the conflict stays.
    #[arg(long, group = "choice")]
    pub merge: bool,
    /// Merge both in $VISUAL or $EDITOR, with conflict markers where they changed the same lines.
    #[arg(long, group = "choice")]
    pub edit: bool,
    /// Take what is in the view now, as a run has left it.
    #[arg(long, group = "choice")]
    pub view: bool,
}
