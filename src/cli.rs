//! The command line: the one definition that help, manual pages and completions are
//! made from. Its doc comments are the manual.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Run commands in a private, writable view of a project that starts in milliseconds.
///
/// What a command writes below the project directory is kept and is there again in
/// the next run; the directory itself is not touched.
#[derive(Debug, Parser)]
#[command(name = "vrift", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub struct Global {
    /// Go to this directory first, then look for the project.
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// The store's directory (else VRIFT_STORE, else ~/.local/share/vrift).
    #[arg(long, value_name = "DIR", global = true)]
    pub store: Option<PathBuf>,
    /// Set a configuration key for this command; VALUE is TOML, or plain text.
    ///
    /// As in: --config 'paths.own=["target"]'. It counts more than vrift.toml, the user's
    /// configuration and variables. Give it again for further keys.
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub config: Vec<String>,
    /// When to use colour.
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_default_value = true)]
    pub color: Color,
    /// Say only what went wrong.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Exec(Exec),
    Sync(Sync),
    Status(Status),
    Recover(Recover),
    Project(Project),
    Config(Config),
    Allow(Allow),
    Doctor(Doctor),
}

/// Run one command in the workspace.
///
/// The exit status is the command's own (128+n for a signal); 125 when vrift itself
/// failed, 126 when the command could not be executed, 127 when it was not found.
#[derive(Debug, Args)]
pub struct Exec {
    /// The workspace to run in.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// Do not take over the host's edits first.
    #[arg(long)]
    pub no_sync: bool,
    /// Start this `own` directory empty: nothing of it is taken from the host at first.
    #[arg(long, value_name = "DIR")]
    pub cold: Vec<PathBuf>,
    /// Wait for what the command leaves running in the background instead of ending it.
    #[arg(long)]
    pub wait: bool,
    /// Print what would be done to set the run up, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// Take the host directory's edits over into the workspace.
///
/// `exec` does this at its start; alone it is useful before a run with --no-sync.
#[derive(Debug, Args)]
pub struct Sync {
    /// Take over the deletion of most of the project.
    #[arg(long)]
    pub accept_deletions: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Show what the workspace has that the host directory has not.
#[derive(Debug, Args)]
pub struct Status {
    /// The workspace to show.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// Show which paths are not just the host's, and which rule says so.
    #[arg(long)]
    pub paths: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Keep or drop what a run wrote that ended without taking it in.
///
/// Without --keep or --drop the sessions left behind are listed.
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
}

/// Check whether this machine can run vrift, and say what to change where it cannot.
///
/// With a path: whose it is, which rule says so, and whether a write there is kept.
#[derive(Debug, Args)]
pub struct Doctor {
    /// A path in a project; it need not exist.
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub json: Json,
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
/// it) count only after this; a changed file must be allowed again.
#[derive(Debug, Args)]
pub struct Allow {}

#[derive(Clone, Copy, Debug, Args)]
pub struct Json {
    /// Print JSON on standard output; unknown members are to be ignored.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_needs_no_dashes_and_keeps_its_own() {
        let cli = Cli::parse_from(["vrift", "exec", "--no-sync", "make", "-j8", "--no-sync"]);
        let Some(Verb::Exec(exec)) = cli.verb else { panic!("not exec") };
        assert!(exec.no_sync);
        assert_eq!(exec.command, ["make", "-j8", "--no-sync"]);
    }
}
