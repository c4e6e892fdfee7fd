//! Projects, configuration, the machine, the manual.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Json;

/// Check whether this machine can run vrift, and say what to change where it cannot.
///
/// With a path: whose it is, which rule says so, and whether a write there is kept.
#[derive(Debug, Args)]
pub struct Doctor {
    /// A path in a project; it need not exist.
    pub path: Option<PathBuf>,
    /// Print the commands that would change what is missing; none is run.
    #[arg(long, conflicts_with_all = ["path", "json"])]
    pub fix: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Choose a workspace for a shell: print what it is to execute.
///
/// As in `eval "$(vrift env -w NAME)"`, or in direnv's .envrc. It sets VRIFT_WORKSPACE, which every verb
/// takes for -w where that is not given, and VRIFT_INDEX, the workspace's small number. Programs still run on
/// the host unless vrift runs them.
#[derive(Debug, Args)]
pub struct Env {
    /// The workspace.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// For fish.
    #[arg(long)]
    pub fish: bool,
}

/// Print a shell's completion script.
///
/// The script asks vrift at each tab, so that workspaces, snapshots, live runs and paths of the workspace are
/// completed as well. For example: vrift completions bash > ~/.local/share/bash-completion/completions/vrift
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Print the manual page, or write one page a verb.
#[derive(Debug, Args)]
pub struct Man {
    /// Write vrift.1 and a page for each verb to this directory.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// List, forget or move the projects of the store.
#[derive(Debug, Args)]
pub struct Project {
    #[command(subcommand)]
    pub action: ProjectAction,
}

#[derive(Debug, Subcommand)]
pub enum ProjectAction {
    /// List the projects of the store.
    List(Json),
    /// Drop everything the store keeps of a project; the directory itself is not touched.
    ///
    /// Refused while a run of it lives.
    Forget {
        /// The project's directory, or its id as `project list` shows it.
        #[arg(value_name = "PROJECT")]
        project: PathBuf,
    },
    /// Let a project be at another path: it was moved, copied, or restored from a backup.
    ///
    /// The directory at the new path must be the same one (device and inode), or a
    /// repository with the same first commit.
    Move {
        /// Where it was, or its id.
        #[arg(value_name = "OLD")]
        from: PathBuf,
        /// Where it is now; the current directory when left out.
        #[arg(value_name = "NEW")]
        to: Option<PathBuf>,
    },
}

/// Show every value that is set, and where.
#[derive(Debug, Args)]
pub struct Config {
    /// Show the keys that are not set, too.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Let the project's vrift.toml, as it is now, reach beyond the project.
///
/// Keys that let a run reach more than the project (`paths.bind`, `paths.live` outside of
/// it, `run.bind`, `run.caches`, `run.setenv`, `run.root`) count only after this; a changed file must be
/// allowed again.
#[derive(Debug, Args)]
pub struct Allow {}

/// Show what the store holds: for which project, in which workspace, and what sharing saves.
///
/// In a project: its workspaces, snapshots and largest files too. "alone" is what nobody else
/// holds: about what goes when that project or workspace goes.
#[derive(Debug, Args)]
pub struct Stats {
    /// The workspace whose files are shown.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// Write one page that needs nothing else to be looked at.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub json: Json,
}

/// Remove from the store what nothing needs any more.
///
/// Kept are the states of all workspaces, snapshots, conflicts, what live and orphaned sessions
/// started from, and old states for 14 days or 50 changes, whichever is more, as long as they
/// alone hold no more than `history.bytes` (else as much as is in use, at least 256 MiB); beyond
/// it the oldest go first. What was stored in the last hour is left alone.
///
/// It also runs by itself, at idle priority, after a run's end, when as much was written since the last
/// time as a fifth of what is in use (at least 64 MiB, at most 2 GiB), or a snapshot, workspace or project was
/// deleted; at most once an hour. `[gc] auto = false` in the user's configuration, or VRIFT_GC_AUTO=false, switches that
/// off. Each time leaves a line in `vrift runs`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Leave alone what was stored in the last so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub grace: u64,
    /// Started by itself: at idle priority, silent, and only if it is due.
    #[arg(long, hide = true, conflicts_with = "dry_run")]
    pub auto: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Look whether everything in the store is there and sound.
///
/// Objects, trees, manifests, lower trees, layers, sessions and locks, of all projects. What is
/// wrong is told in one line each, on standard output, with what to do; the exit status is 1 then.
/// Runs and gc may go on beside it.
#[derive(Debug, Args)]
pub struct Verify {
    /// Hash every content, too; without it sizes and modes are looked at.
    #[arg(long)]
    pub deep: bool,
    /// Put right what can be, then look again.
    ///
    /// Missing contents come back from the projects' directories where their digest fits, lower
    /// trees are rendered anew. A state that needs what is lost gives way to the newest one before
    /// it that is whole. Nothing damaged is deleted: it is moved to STORE/quarantine.
    #[arg(long)]
    pub repair: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Destroy the store.
#[derive(Debug, Args)]
pub struct Store {
    #[command(subcommand)]
    pub action: StoreAction,
}

#[derive(Debug, Subcommand)]
pub enum StoreAction {
    /// Remove the store with all that is in it: workspaces, snapshots, contents.
    ///
    /// What was written in runs and not applied is gone then; the projects' own directories are not
    /// touched. Refused while a run lives. It asks first.
    Destroy {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}
