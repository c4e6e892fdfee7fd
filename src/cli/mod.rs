//! The command line: the one definition that help, manual pages and completions are
//! made from. Its doc comments are the manual.

mod fork;
mod history;
mod host;
mod manage;
mod run;
mod session;
mod shape;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

pub use fork::*;
pub use history::*;
pub use host::*;
pub use manage::*;
pub use run::*;
pub use session::*;
pub use shape::*;

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
#[derive(Debug, Default, Args)]
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
    /// The workspace was named, not left to its default.
    #[arg(skip)]
    pub workspace_named: bool,
    /// Asked from inside a run: the workspace is as its live session shows it.
    #[arg(skip)]
    pub live: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Color {
    #[default]
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
    Apply(Apply),
    Resolve(Resolve),
    Commit(Commit),
    Log(Log),
    Snapshot(Snapshot),
    Restore(Restore),
    Undo(Undo),
    Path(Path),
    Export(Export),
    Bundle(Bundle),
    Fork(Fork),
    Merge(Merge),
    Workspace(Workspace),
    Try(Try),
    Runs(Runs),
    Stop(Stop),
    Recover(Recover),
    Stats(Stats),
    Gc(Gc),
    Verify(Verify),
    Project(Project),
    Store(Store),
    Config(Config),
    Allow(Allow),
    Doctor(Doctor),
    Ui(Ui),
    Env(Env),
    Completions(Completions),
    Man(Man),
    #[command(hide = true)]
    Answer(Answer),
    #[command(hide = true)]
    Checkpoint(Checkpoint),
    #[command(hide = true)]
    Flush(Flush),
    #[command(hide = true, name = "keep-output")]
    Tee(Tee),
}

impl Cli {
    /// The command line of this process; one that is wrong ends it.
    pub fn read() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        let matches = quick_matches(&words).unwrap_or_else(|| Self::command().get_matches_from(&words));
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.global.workspace_named = names_workspace(&matches);
        cli
    }
}

/// Verbs that programs start by the thousand.
type Define = fn(Command) -> Command;
const QUICK: [(&str, Define); 6] = [
    ("exec", Exec::augment_args),
    ("fork", Fork::augment_args),
    ("commit", Commit::augment_args),
    ("diff", Diff::augment_args),
    ("status", Status::augment_args),
    ("sync", Sync::augment_args),
];

/// A command line of one of those, by a definition without all others: that of all takes a
/// millisecond to make. Whatever this one does not take, help included, is the whole one's.
fn quick_matches(words: &[OsString]) -> Option<ArgMatches> {
    let (name, define) = words.iter().find_map(|word| QUICK.iter().find(|(name, _)| word == name))?;
    let whole = Global::augment_args(Command::new("vrift")).subcommand(define(Command::new(*name)));
    whole.try_get_matches_from(words).ok()
}

fn names_workspace(matches: &ArgMatches) -> bool {
    let mut verb = matches;
    while let Some((_, inner)) = verb.subcommand() {
        verb = inner;
    }
    matches!(verb.try_contains_id("workspace"), Ok(true))
        && verb.value_source("workspace") == Some(ValueSource::CommandLine)
}

#[derive(Clone, Copy, Debug, Args, Serialize, Deserialize)]
pub struct Json {
    /// Print JSON on standard output; unknown members are to be ignored.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_named_workspace_is_told_from_the_default() {
        let named = |words: &[&str]| names_workspace(&Cli::command().get_matches_from(words));
        assert!(named(&["vrift", "status", "-w", "main"]));
        assert!(named(&["vrift", "snapshot", "create", "--workspace", "x"]));
        assert!(!named(&["vrift", "exec", "true", "-w", "x"]));
        assert!(!named(&["vrift", "runs"]) && !named(&["vrift"]));
    }

    #[test]
    fn the_quick_definition_takes_nothing_that_the_whole_one_reads_otherwise() {
        let lines: [&[&str]; 12] = [
            &["exec", "--no-sync", "-w", "a", "--", "true"],
            &["-C", "exec", "exec", "true", "fork"],
            &["-C", "exec", "status"],
            &["status", "--json", "-q"],
            &["exec"],
            &["exec", "--help"],
            &["log", "exec"],
            &["--config", "exec", "diff", "--stat", "a", "b"],
            &["fork", "diff", "--from", "x"],
            &["commit", "-m", "status", "name"],
            &["snapshot", "delete", "sync"],
            &["sync", "exec"],
        ];
        let shown = |matches: &ArgMatches| format!("{:?}", Cli::from_arg_matches(matches));
        let mut quick = 0;
        for line in lines {
            let words: Vec<OsString> = ["vrift"].iter().chain(line).map(OsString::from).collect();
            let Some(matches) = quick_matches(&words) else { continue };
            let whole = Cli::command().try_get_matches_from(&words).expect("the whole one takes it too");
            assert_eq!(shown(&matches), shown(&whole), "{line:?}");
            assert_eq!(names_workspace(&matches), names_workspace(&whole), "{line:?}");
            quick += 1;
        }
        assert_eq!(quick, 5);
    }

    #[test]
    fn a_command_needs_no_dashes_and_keeps_its_own() {
        let cli = Cli::parse_from(["vrift", "exec", "--no-sync", "make", "-j8", "--no-sync"]);
        let Some(Verb::Exec(exec)) = cli.verb else { panic!("not exec") };
        assert!(exec.run.no_sync);
        assert_eq!(exec.command, ["make", "-j8", "--no-sync"]);
    }
}
