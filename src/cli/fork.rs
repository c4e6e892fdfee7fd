//! Workspaces: forks, their merging, listing and end.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::{Json, Run};

/// Make a new workspace that begins as another one is, or was.
///
/// It shares everything with the one it comes from and copies nothing, whatever the
/// project's size. What is written in one is not seen in the other; `vrift merge` brings
/// changes together. A fork does not follow the host directory: `vrift sync -w NAME` takes
/// the host's edits over.
#[derive(Debug, Args)]
pub struct Fork {
    /// The new workspace's name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The state to begin at: a snapshot, a workspace, NAME~2, host, @N (after run N), @live,
    /// or the beginning of a digest.
    #[arg(long, value_name = "ROOT")]
    pub from: Option<String>,
    /// The workspace it leaves.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    #[command(flatten)]
    pub json: Json,
}

/// Merge a workspace's changes into another one.
///
/// What it changed since it was forked, or merged last, is taken; what both changed is a
/// conflict, in which the receiving workspace's version stays in the view. Exits with 1 when
/// there are conflicts. `vrift undo` takes a merge back.
#[derive(Debug, Args)]
pub struct Merge {
    /// The workspace whose changes are taken; it stays as it is.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The workspace that gets them.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub into: String,
    /// Show what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub json: Json,
}

/// List, rename, delete or prune workspaces.
#[derive(Debug, Args)]
pub struct Workspace {
    #[command(subcommand)]
    pub action: WorkspaceAction,
}

#[derive(Debug, Subcommand)]
pub enum WorkspaceAction {
    /// List the workspaces: which are live, what they changed, how old that is.
    List(Json),
    /// Give a workspace another name.
    Rename {
        #[arg(value_name = "OLD")]
        from: String,
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Delete workspaces; `vrift undo -w NAME` brings one back.
    ///
    /// Refused while a run of it lives.
    Delete {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// End what runs in it first.
        #[arg(long)]
        stop: bool,
    },
    /// Delete workspaces that are not needed any more; never `main`, never a live one.
    ///
    /// Without options: those that are merged.
    Prune {
        /// Those whose changes are all in the workspace they were forked from.
        #[arg(long)]
        merged: bool,
        /// Those in which nothing changed for so long, as in 14d, 12h or 30m.
        #[arg(long, value_name = "AGE", value_parser = age)]
        older: Option<i64>,
        /// Only name them.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Try a command: run it in a throw-away fork, see what it changed, then decide.
///
/// On a terminal you are asked whether to apply, keep or drop it; elsewhere it is dropped
/// unless an option says otherwise. The exit status is the command's own; 125 when what it
/// did could not be applied: then it is kept as a workspace.
#[derive(Debug, Args)]
pub struct Try {
    /// Keep what it did as a workspace of this name.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["drop", "apply"])]
    pub keep: Option<String>,
    /// Drop what it did.
    #[arg(long, conflicts_with = "apply")]
    pub drop: bool,
    #[command(flatten)]
    pub run: Run,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// A number and a unit, in seconds.
fn age(text: &str) -> Result<i64, String> {
    let wrong = || "as in 14d, 12h or 30m".to_string();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let unit = match &text[at..] {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err(wrong()),
    };
    text[..at].parse::<i64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ages_have_a_unit() {
        assert_eq!(super::age("14d"), Ok(1_209_600));
        assert_eq!(super::age("0s"), Ok(0));
        for bad in ["", "d", "14", "14 d", "-1d", "1w", "99999999999999999999d", "9223372036854775807d"] {
            assert!(super::age(bad).is_err(), "{bad}");
        }
    }
}
