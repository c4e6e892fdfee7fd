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
    Enter(Enter),
    Exec(Exec),
    Sync(Sync),
    Status(Status),
    Diff(Diff),
    Commit(Commit),
    Log(Log),
    Snapshot(Snapshot),
    Restore(Restore),
    Undo(Undo),
    Runs(Runs),
    Stop(Stop),
    Recover(Recover),
    Project(Project),
    Config(Config),
    Allow(Allow),
    Doctor(Doctor),
    Completions(Completions),
    Man(Man),
}

/// Run one command in the workspace.
///
/// The exit status is the command's own (128+n for a signal); 125 when vrift itself
/// failed, 126 when the command could not be executed, 127 when it was not found.
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    pub run: Run,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// Start your shell in the workspace.
///
/// The shell is $SHELL, else the one of the password file, else /bin/sh. It starts in
/// the same directory, and what it writes below the project is kept, as with `exec`;
/// the exit status is the shell's own.
///
/// bash, zsh and fish show `(vrift:NAME)` before the prompt and in the terminal's title;
/// your own start-up files are read first and are not touched. For a prompt of your own
/// use the variable VRIFT_WORKSPACE, which holds the workspace's name in every run: a
/// prompt that mentions it is left as it is.
#[derive(Debug, Args)]
pub struct Enter {
    #[command(flatten)]
    pub run: Run,
    /// The directory to enter (else the current one).
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Options of `enter` and `exec`.
#[derive(Debug, Args)]
pub struct Run {
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
    /// Throw away what is written.
    ///
    /// Not where another run of the workspace is live, for what both write could not be
    /// told apart; and while this one is live, no other can join it.
    #[arg(long)]
    pub discard: bool,
    /// Throw away what is written unless the exit status is 0; else as --discard.
    #[arg(long)]
    pub discard_on_failure: bool,
    /// Write what happens as lines of JSON to this descriptor.
    ///
    /// Each line is an object with a member `event`; other members, and other events,
    /// are to be ignored when they are not known. The command does not get the
    /// descriptor (unless it is 0, 1 or 2). The events, in order:
    ///
    /// `opened` (`workspace`, `session`, `init`: the pid of its first process) or `joined` (the same);
    /// `started` (`pid`); `exit` (`status`: as a shell has it, `signal`: a number or null);
    /// `taken-in` (`written`, `deleted`, `new_bytes`, `conflicts`, `changed`), or `discarded`,
    /// or `left` when other runs of the session go on;
    /// at any time `warning` (`message`). Without `exit` the command was not started;
    /// without one of the last three, vrift failed or was killed.
    #[arg(long, value_name = "N")]
    pub status_fd: Option<i32>,
    /// Print what would be done to set the run up, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
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

/// Show what differs between two states.
///
/// Without A and B: the host directory as it was last taken over, and the workspace; with
/// A alone: A, and the workspace. A state is a snapshot, a workspace, NAME~2, host, @N
/// (after run N), or the beginning of a digest.
///
/// The patch is one that `git apply` and `patch -p1` take, but for what is binary. The
/// letters of --name-status: A added, D deleted, M content changed, T another kind,
/// R renamed (the same content under another name), m mode, mtime, xattrs or hard links only.
#[derive(Debug, Args)]
pub struct Diff {
    /// The state before.
    #[arg(value_name = "A")]
    pub a: Option<String>,
    /// The state after; else the workspace.
    #[arg(value_name = "B")]
    pub b: Option<String>,
    /// Only at or below these paths, after `--`.
    #[arg(value_name = "PATH", last = true)]
    pub paths: Vec<PathBuf>,
    /// The workspace.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// One line a path.
    #[arg(long, group = "form")]
    pub name_status: bool,
    /// How many lines were added and removed in each file.
    #[arg(long, group = "form")]
    pub stat: bool,
    /// A unified diff; the default.
    #[arg(short, long, group = "form")]
    pub patch: bool,
    /// Exit with 1 if there are differences, and 0 if not.
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Seal the workspace's state as a snapshot that survives a power cut.
///
/// The host's edits are taken over first (workspace `main`). While a run of the workspace
/// lives, what it has written so far is taken in without ending anything.
#[derive(Debug, Args)]
pub struct Commit {
    /// The snapshot's name (else the next of s1, s2, …).
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// What it is.
    #[arg(short, long, value_name = "MESSAGE", default_value = "", hide_default_value = true)]
    pub message: String,
    /// The workspace to seal.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// Do not take over the host's edits first.
    #[arg(long)]
    pub no_sync: bool,
    #[command(flatten)]
    pub json: Json,
}

/// Show the workspace's line of snapshots, newest first.
#[derive(Debug, Args)]
pub struct Log {
    /// The workspace to show.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// Every state it had instead, with its number for `@N`.
    #[arg(long)]
    pub heads: bool,
    /// How many to show.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    #[command(flatten)]
    pub json: Json,
}

/// List, show or delete snapshots.
#[derive(Debug, Args)]
pub struct Snapshot {
    #[command(subcommand)]
    pub action: SnapshotAction,
}

#[derive(Debug, Subcommand)]
pub enum SnapshotAction {
    /// Make one; the same as `vrift commit`.
    Create(Commit),
    /// List all snapshots of the project, newest first.
    List(Json),
    /// Show one snapshot.
    Show {
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// Delete snapshots; the workspaces stay as they are.
    Delete {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// Bring a state back into the workspace, all of it or some paths.
///
/// The state before stays in the history: `vrift undo` brings it back. The host's
/// directory is not touched.
#[derive(Debug, Args)]
pub struct Restore {
    /// The state: a snapshot, a workspace, NAME~2, host, @N (after run N), or the
    /// beginning of a digest.
    #[arg(value_name = "ROOT")]
    pub root: String,
    /// Only these paths.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The workspace that gets it.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
}

/// Bring back the workspace's state before the last change; again: the one before that.
#[derive(Debug, Args)]
pub struct Undo {
    /// The workspace.
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    pub workspace: String,
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

/// Print a shell's completion script.
///
/// For example: vrift completions bash > ~/.local/share/bash-completion/completions/vrift
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
        assert!(exec.run.no_sync);
        assert_eq!(exec.command, ["make", "-j8", "--no-sync"]);
    }
}
