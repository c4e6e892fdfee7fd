//! `exec` and `enter`, and the options they share.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Shape;

/// Run one command in the workspace.
///
/// The exit status is the command's own (128+n for a signal); 125 when vrift itself
/// failed, 126 when the command could not be executed, 127 when it was not found.
///
/// In its environment VRIFT_WORKSPACE is the workspace's name, and VRIFT_INDEX a small number that
/// no other workspace has, for ports and names of databases; 0 is `main`'s.
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    pub run: Run,
    /// Keep what the command prints, for `vrift runs --log`, while it is shown as well.
    ///
    /// Standard output and error, in order where both go to the same place. They are pipes then, no terminal,
    /// so programs may print without colours; input is not kept, and stays what it is. Of long output the
    /// first and the last 8 MiB are kept. It ends with the command: what this left in the background is still
    /// shown. Of a run that is killed there is what it had printed.
    #[arg(long, conflicts_with_all = ["or_bare", "no_overlay"])]
    pub log: bool,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
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

/// How a repository outside of the project is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Git {
    /// It cannot be changed.
    ReadOnly,
    /// It is the host's own.
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rename {
    Preload,
    Off,
}

/// Options of `enter` and `exec`.
#[derive(Debug, Args)]
pub struct Run {
    /// The workspace to run in.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "main",
        env = "VRIFT_WORKSPACE",
        hide_env = true
    )]
    pub workspace: String,
    /// Make this workspace first, as the other one is, and run in it.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub fork: Option<String>,
    /// Run on this state, and throw away what is written.
    ///
    /// A snapshot, a workspace, NAME~2, host, @N (after run N), @live, or the beginning of a digest.
    #[arg(long, value_name = "ROOT")]
    pub from: Option<String>,
    /// Do not take over the host's edits first.
    #[arg(long)]
    pub no_sync: bool,
    /// Bring the host's edits into the view as they happen, as `vrift sync --watch` does.
    #[arg(long, conflicts_with_all = ["no_sync", "discard", "discard_on_failure", "apply", "from"])]
    pub watch: bool,
    /// Start this `own` directory empty: nothing of it is taken from the host at first.
    #[arg(long, value_name = "DIR")]
    pub cold: Vec<PathBuf>,
    /// Whether a repository that a `.git` file names (of a worktree, a submodule) may be written.
    ///
    /// It lies outside of the project: what is committed goes to the host's repository at once.
    #[arg(long, value_name = "HOW", default_value = "read-only", hide_default_value = true)]
    pub git: Git,
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
    /// When the exit status is 0, write what this run changed, and only that, to the host directory.
    ///
    /// As `vrift apply` does it, all or nothing; 125 when it cannot be done. What earlier runs changed is not
    /// written, and where it is in the way nothing is. Not where another run of the workspace is live, for what
    /// both write could not be told apart; and while this one is live, no other can join it.
    #[arg(long, conflicts_with_all = ["discard", "discard_on_failure", "from"])]
    pub apply: bool,
    /// How a directory that was there when the run began is renamed.
    ///
    /// The kernel refuses that in an overlay without root (EXDEV, "Invalid cross-device
    /// link"). With `preload` a small library that dynamically linked programs get by
    /// LD_PRELOAD has it done nevertheless; with `off` they do not get it.
    #[arg(long, value_name = "HOW", default_value = "preload", hide_default_value = true)]
    pub rename: Rename,
    /// Ask the kernel about every path, below `[tier1]` too.
    ///
    /// Dynamically linked programs get a small library by LD_PRELOAD that answers `stat`,
    /// `access` and the absence of files below read-only directories from a table, without a
    /// system call, where that is what the kernel would say.
    #[arg(long)]
    pub no_psfs: bool,
    /// Count what is answered without a system call, and say it at the end.
    ///
    /// By kind of call: how often a path was there, how often it was not, how often the kernel
    /// was asked. The counts are a session's: what other runs of it did meanwhile is in them.
    #[arg(long, conflicts_with = "no_psfs")]
    pub psfs_stats: bool,
    /// Show the project's snapshots, read-only, below `.snapshots/` in the project.
    ///
    /// The newest hundred. A snapshot's first time takes as long as a first run's; what is
    /// made for it is kept until the snapshot is deleted.
    #[arg(long)]
    pub snapshots: bool,
    /// Write what happens as lines of JSON to this descriptor.
    ///
    /// Each line is an object with a member `event`; other members, and other events,
    /// are to be ignored when they are not known. The command does not get the
    /// descriptor (unless it is 0, 1 or 2). The events, in order:
    ///
    /// `opened` (`workspace`, `session`, `init`: the pid of its first process, `projection`,
    /// `files`: stub, or what real files are made by, reflink, link or copy) or `joined` (the same);
    /// `started` (`pid`); `exit` (`status`: as a shell has it, `signal`: a number or null);
    /// `psfs` (with `--psfs-stats`; `stat`, `statx`, `access`, `open`: each `there`, `absent`, `asked`);
    /// `taken-in` (`written`, `deleted`, `new_bytes`, `conflicts`, `changed`), or `discarded`,
    /// or `left` when other runs of the session go on; with --apply then `applied` (`written`);
    /// with --or-bare `bare` (`message`: why) in place of `opened`, and nothing after `exit`;
    /// at any time `warning` (`message`). Without `exit` the command was not started;
    /// without one of `taken-in`, `discarded` and `left`, vrift failed or was killed.
    #[arg(long, value_name = "N")]
    pub status_fd: Option<i32>,
    /// Where no run can be set up, run the command bare, in the directory itself, and say so.
    ///
    /// Then what it writes is written to the directory. Not with options that a bare run
    /// could not keep.
    #[arg(long, conflicts_with_all = ["discard", "discard_on_failure", "cold", "wait", "fork", "from", "apply", "watch"])]
    pub or_bare: bool,
    /// Without namespaces and overlay: run the command in a plain copy of the workspace, at another path.
    ///
    /// For machines that refuse them; never chosen by itself. The copy is compared with what it was made of
    /// afterwards and taken in, so start and end take as long as copying and reading the project (with
    /// reflinks the first is quick). Absolute paths still lead to the directory itself, nothing is
    /// confined, what the command leaves in the background is not ended, and no other run can join.
    #[arg(long, requires = "projection", conflicts_with_all = ["fork", "from", "apply", "snapshots", "wait", "dry_run", "or_bare", "watch"])]
    pub no_overlay: bool,
    /// End the session when what it has written takes more than this on the disk, as in 20GiB.
    ///
    /// Its commands get SIGTERM, two seconds later SIGKILL; the exit status is 125, and what was
    /// written is kept aside for `vrift recover`. It is looked once a second.
    #[arg(long, value_name = "SIZE", help_heading = "Quotas")]
    pub max_staging: Option<String>,
    /// The same when it has written more names than this.
    #[arg(long, value_name = "N", help_heading = "Quotas")]
    pub max_files: Option<String>,
    /// The same when the whole store takes more than this; then no session begins either.
    #[arg(long, value_name = "SIZE", help_heading = "Quotas")]
    pub max_store: Option<String>,
    #[command(flatten)]
    pub shape: Shape,
    /// Print what would be done to set the run up, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Takes in what a live session has written so far; what a run starts, not a person.
#[derive(Debug, Args)]
pub struct Checkpoint {
    /// The project's directory.
    #[arg(long)]
    pub root: PathBuf,
    /// The run's workspace.
    #[arg(long)]
    pub of: String,
    /// Nothing is done when the last one is younger than so many seconds.
    #[arg(long)]
    pub younger: u64,
}

/// Writes out what runs have written; what a run starts, not a person.
#[derive(Debug, Args)]
pub struct Flush {
    /// Seconds to wait first.
    #[arg(long)]
    pub after: u64,
}

/// Passes a run's output on and keeps it; what a run starts, not a person.
#[derive(Debug, Args)]
pub struct Tee {
    /// The file that keeps it.
    #[arg(long)]
    pub spool: PathBuf,
    /// What the command's standard output comes by.
    #[arg(long)]
    pub out: i32,
    /// The same of its standard error, where that is another.
    #[arg(long)]
    pub err: Option<i32>,
}

/// Answers a request from inside a run; what a run starts, not a person.
#[derive(Debug, Args)]
pub struct Answer {
    /// The project's directory.
    #[arg(long)]
    pub root: PathBuf,
    /// The run's workspace.
    #[arg(long)]
    pub of: String,
}
