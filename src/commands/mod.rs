//! One file per verb; each reads as a sentence made of the modules below.

pub mod allow;
pub mod announce;
pub mod answer;
pub mod apply;
pub mod ask;
pub mod attend;
pub mod bar;
pub mod bundle;
pub mod checkpoint;
pub mod commit;
pub mod complete;
pub mod completions;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod enter;
pub mod env;
pub mod events;
pub mod exec;
pub mod export;
pub mod first;
pub mod flush;
pub mod follow;
pub mod fork;
pub mod gc;
pub mod log;
pub mod man;
pub mod merge;
pub mod pager;
pub mod patch;
pub mod path;
pub mod paths;
pub mod place;
pub mod plain;
pub mod printer;
pub mod project;
pub mod psfs_stats;
pub mod recover;
pub mod remote;
pub mod resolve;
pub mod restore;
pub mod run;
pub mod runs;
pub mod shape;
pub mod snapshot;
pub mod stats;
pub mod status;
pub mod stop;
pub mod store;
pub mod sync;
pub mod tee;
pub mod try_out;
pub mod ui;
pub mod verify;
pub mod workspace;

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::cas::Store;
use crate::cli::{Cli, Global, Verb};
use crate::config::Config;
use crate::error::{Context, Error, Kind, Result, quoted};
use crate::manifest::workspace::MAIN;
use crate::paths as places;
use crate::session::inside::Inside;
use crate::session::project::Project;
use crate::session::{flush as soon, power};
use printer::Printer;

/// What a verb ends with: the process's exit status.
pub type Status = u8;

/// Exit statuses of vrift's own.
pub mod status_of {
    /// vrift itself failed, before the command or after it.
    pub const OURS: u8 = 125;
    pub const NOT_EXECUTABLE: u8 = 126;
    pub const NOT_FOUND: u8 = 127;
}

/// Runs the verb of a parsed command line.
pub fn run(cli: Cli, printer: &Printer) -> Result<Status> {
    if let Some(dir) = &cli.global.directory {
        crate::ns::note_directory();
        std::env::set_current_dir(dir)
            .context("go to", dir)
            .map_err(|error| error.with_hint("-C takes an existing directory"))?;
    }
    let verb = match cli.verb {
        Some(verb) if needs_outside(&verb) => {
            let store = places::store(cli.global.store.as_deref())?;
            match Inside::of(&store) {
                Some(inside) => return ask::run(&inside, &store, &cli.global, verb, printer),
                None => Some(verb),
            }
        }
        verb => verb,
    };
    if verb.as_ref().is_some_and(uses_store) {
        // what a power cut took is dealt with before anything else is done
        power::look_after(&places::store(cli.global.store.as_deref())?, &|text| printer.warn(text))?;
    }
    if verb.as_ref().is_some_and(may_be_long) {
        printer.begin_pages();
        let status = dispatch(cli.global, verb, printer);
        printer.end_pages();
        return status;
    }
    dispatch(cli.global, verb, printer)
}

/// Runs it, whatever it is.
fn dispatch(global: Global, verb: Option<Verb>, printer: &Printer) -> Result<Status> {
    match verb {
        Some(Verb::Enter(enter)) => enter::run(&global, enter, printer),
        Some(Verb::Exec(exec)) => exec::run(&global, exec, printer),
        Some(Verb::Sync(sync)) => sync::run(&global, &sync, printer),
        Some(Verb::Status(status)) => status::run(&global, status, printer),
        Some(Verb::Diff(diff)) => diff::run(&global, &diff, printer),
        Some(Verb::Apply(args)) => apply::run(&global, &args, printer),
        Some(Verb::Resolve(args)) => resolve::run(&global, &args, printer),
        Some(Verb::Commit(commit)) => commit::run(&global, &commit, printer),
        Some(Verb::Log(log)) => log::run(&global, &log, printer),
        Some(Verb::Snapshot(args)) => snapshot::run(&global, args, printer),
        Some(Verb::Restore(args)) => restore::run(&global, &args, printer),
        Some(Verb::Undo(args)) => restore::undo(&global, &args, printer),
        Some(Verb::Path(args)) => path::run(&global, &args, printer),
        Some(Verb::Export(args)) => export::run(&global, &args, printer),
        Some(Verb::Bundle(args)) => bundle::run(&global, args, printer),
        Some(Verb::Fork(args)) => fork::run(&global, &args, printer),
        Some(Verb::Merge(args)) => merge::run(&global, &args, printer),
        Some(Verb::Workspace(args)) => workspace::run(&global, args, printer),
        Some(Verb::Try(args)) => try_out::run(&global, args, printer),
        Some(Verb::Runs(runs)) => runs::run(&global, runs, printer),
        Some(Verb::Stop(stop)) => stop::run(&global, stop, printer),
        Some(Verb::Recover(recover)) => recover::run(&global, recover, printer),
        Some(Verb::Stats(args)) => stats::run(&global, &args, printer),
        Some(Verb::Gc(args)) => gc::run(&global, &args, printer),
        Some(Verb::Verify(args)) => verify::run(&global, &args, printer),
        Some(Verb::Store(args)) => store::run(&global, &args, printer),
        Some(Verb::Project(args)) => project::run(&global, args, printer),
        Some(Verb::Config(args)) => config::run(&global, args, printer),
        Some(Verb::Allow(args)) => allow::run(&global, args, printer),
        Some(Verb::Doctor(doctor)) => doctor::run(&global, doctor, printer),
        Some(Verb::Ui(args)) => ui::run(&global, &args, printer),
        Some(Verb::Env(args)) => env::run(&global, &args, printer),
        Some(Verb::Completions(args)) => completions::run(&args, printer),
        Some(Verb::Man(args)) => man::run(&args, printer),
        Some(Verb::Answer(args)) => answer::run(&global, &args),
        Some(Verb::Checkpoint(args)) => checkpoint::run(&global, &args),
        Some(Verb::Flush(args)) => flush::run(&global, &args),
        Some(Verb::Tee(args)) => tee::run(&args),
        None => first::run(&global, printer),
    }
}

/// Whether what a verb prints is to be read, and may be longer than a terminal.
fn may_be_long(verb: &Verb) -> bool {
    use crate::cli::{SnapshotAction, WorkspaceAction};
    match verb {
        Verb::Diff(_) | Verb::Log(_) | Verb::Stats(_) | Verb::Status(_) => true,
        Verb::Runs(runs) => !runs.watch,
        Verb::Workspace(args) => matches!(args.action, WorkspaceAction::List(_)),
        Verb::Snapshot(args) => matches!(args.action, SnapshotAction::List(_)),
        Verb::Config(_) | Verb::Verify(_) => true,
        _ => false,
    }
}

/// Whether a verb has nothing to do by itself inside a run, where the store is covered.
fn needs_outside(verb: &Verb) -> bool {
    !matches!(
        verb,
        Verb::Exec(_)
            | Verb::Enter(_)
            | Verb::Completions(_)
            | Verb::Man(_)
            | Verb::Answer(_)
            | Verb::Checkpoint(_)
            | Verb::Flush(_)
            | Verb::Tee(_)
    )
}

/// Whether a verb reads or writes what is stored, and leaves it there.
fn uses_store(verb: &Verb) -> bool {
    let is_about_vrift = matches!(
        verb,
        Verb::Config(_)
            | Verb::Allow(_)
            | Verb::Doctor(_)
            | Verb::Store(_)
            | Verb::Completions(_)
            | Verb::Man(_)
            | Verb::Answer(_)
            | Verb::Checkpoint(_)
            | Verb::Flush(_)
            | Verb::Tee(_)
    );
    !is_about_vrift
}

/// The exit status of a failure; `running` verbs pass their command's status on, so
/// vrift's own failures must be told from it.
pub fn status_of(error: &Error, running: bool) -> Status {
    match error.kind() {
        Kind::Usage => 2,
        Kind::NotFound => status_of::NOT_FOUND,
        Kind::NotExecutable => status_of::NOT_EXECUTABLE,
        Kind::Failure | Kind::Corrupt | Kind::Busy | Kind::Unsupported if running => status_of::OURS,
        Kind::Failure | Kind::Corrupt | Kind::Busy | Kind::Unsupported => 1,
    }
}

/// The project of the current directory; registered when it is not yet.
fn project(global: &Global) -> Result<Project> {
    project_here(global, global.directory.is_some(), Find::Register)
}

/// What becomes of a project that is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Find {
    Register,
    /// It is looked at as if it were.
    Imagine,
}

/// The same; `named`: the user said which directory.
fn project_here(global: &Global, named: bool, find: Find) -> Result<Project> {
    let root = places::store(global.store.as_deref())?;
    let here = current_directory()?;
    let store = match Store::open(&root)? {
        Some(store) => store,
        None => {
            Project::may_begin(&root, &here, named)?;
            Store::open_or_create(&root)?
        }
    };
    let mut project = match find {
        Find::Register => Project::find_or_register(store, &here, named)?,
        Find::Imagine => Project::find_or_imagine(store, &here, named)?,
    };
    project.configure(&global.config)?;
    Ok(finished(project))
}

/// What a killed apply began is finished first. Where that fails, sync and apply say so; the
/// rest goes on.
fn finished(project: Project) -> Project {
    let _ = crate::session::apply::finish_left(&project);
    project
}

/// What was recorded is on the disk soon, as what a run wrote is (rule 17). Nobody waits for it.
fn written(global: &Global, mut project: Project, printer: &Printer) {
    let begun = project.configure(&global.config).and_then(|()| soon::start(&project));
    if let Err(why) = begun {
        printer.warn(&format!("what was done is not written out by itself: {why}"));
    }
}

/// Refuses a workspace that a project not registered yet cannot have, before it is.
fn refuse_unknown(global: &Global, workspace: &str) -> Result<()> {
    if workspace == MAIN {
        return Ok(());
    }
    let here = current_directory()?;
    let store = Store::open(&places::store(global.store.as_deref())?)?;
    if store.map_or(Ok(false), |store| Project::is_known(&store, &here))? {
        return Ok(()); // which ones it has it says itself
    }
    Err(Error::failure(format!("there is no workspace `{workspace}`: this directory is no project yet"))
        .with_hint(format!("start with: vrift exec COMMAND; then: vrift fork {workspace}")))
}

/// The root of the current directory's project and what is set for it; nothing is
/// registered.
fn configured(global: &Global) -> Result<(PathBuf, Config)> {
    let store = places::store(global.store.as_deref())?;
    let (root, allowed) = Project::look(Store::open_to_read(&store)?, &current_directory()?)?;
    let config = Config::load(&root, &global.config, allowed.as_deref())?;
    Ok((root, config))
}

/// A path in a project, relative to its root; it need not exist.
fn relative_to(root: &Path, path: &Path) -> Result<Vec<u8>> {
    let real = std::path::absolute(path).context("resolve", path)?;
    let parent = real.parent().unwrap_or(Path::new("/"));
    // The last name is not followed: it is the one that is asked about.
    let real = match (places::resolve_existing(parent)?, real.components().next_back()) {
        (parent, Some(Component::Normal(name))) => parent.join(name),
        _ => places::resolve_existing(&real)?,
    };
    let inner = real.strip_prefix(root).map_err(|_| {
        Error::failure(format!(
            "{} is not in the project {}",
            quoted(path.as_os_str()),
            quoted(root.as_os_str())
        ))
    })?;
    Ok(inner.as_os_str().as_bytes().to_vec())
}

/// The registered project of the current directory.
fn known_project(global: &Global) -> Result<Project> {
    known_project_in(global, Store::open)
}

/// The same for verbs that change nothing: it may be in a store of a newer format.
fn project_to_read(global: &Global) -> Result<Project> {
    known_project_in(global, Store::open_to_read)
}

fn known_project_in(global: &Global, open: impl Fn(&Path) -> Result<Option<Store>>) -> Result<Project> {
    let root = places::store(global.store.as_deref())?;
    let Some(store) = open(&root)? else {
        return Err(Error::failure(format!("there is no store at `{}` yet", root.display()))
            .with_hint("start with: vrift exec COMMAND (in a project's directory)"));
    };
    Project::find(store, &current_directory()?).map(finished)
}

fn current_directory() -> Result<std::path::PathBuf> {
    std::env::current_dir()
        .map_err(|error| Error::io("find", "the current directory", &error))
        .map_err(|error| error.with_hint("it may have been deleted; cd somewhere that exists"))
}
