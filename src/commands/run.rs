//! What `exec` and `enter` share: open or join the session, start the command, wait,
//! leave, and say what became of it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::announce::{Of, announce, report};
use super::events::Events;
use super::follow::Follower;
use super::printer::{Printer, counted};
use super::tee::{self, Log};
use super::{Find, Status, attend, bar, place, psfs_stats, shape};
use crate::cas::Digest;
use crate::cli;
use crate::config::quota::Quota;
use crate::config::run::{Confine, Projected};
use crate::error::{Error, Kind, Result, quoted};
use crate::manifest::run::Run;
use crate::manifest::workspace::MAIN;
use crate::ns::{self, Command, Desk, Exit, Running};
use crate::overlay::projection::STUB;
use crate::paths::expand_home;
use crate::psfs;
use crate::psfs::library::Variant;
use crate::session::apply::{self as session_apply, Wanted};
use crate::session::confine::Shape;
use crate::session::helpers::Address;
use crate::session::leave::{Departure, Leaving, leave};
use crate::session::open::{Options, Session, cwd_in, open};
use crate::session::project::Project;
use crate::session::quota::Watch;
use crate::session::record::{Alone, now_ms};
use crate::session::{counts, environment, flush, gc, git, plan, stack, sync, tier1, workspaces};

/// What is run.
pub struct Job {
    pub argv: Vec<OsString>,
    /// On top of the environment every run has.
    pub env: Vec<(OsString, OsString)>,
    /// An interactive shell: what ends it is SIGHUP.
    pub is_shell: bool,
    /// It changes the terminal's title.
    pub titled: bool,
    /// What it prints is kept.
    pub log: bool,
    /// The directories that were gone to on the way here, as the user named them.
    pub gone: Vec<PathBuf>,
}

/// A run that has ended.
pub struct Ended {
    pub project: Project,
    pub workspace: String,
    pub status: Status,
}

/// Runs `job` in the current directory's project; `named`: the user said which directory.
pub fn run(
    global: &cli::Global,
    named: bool,
    wanted: &cli::Run,
    job: Job,
    printer: &Printer,
) -> Result<Status> {
    // before anything else is opened: the number is the caller's
    let events = Events::new(printer, wanted.status_fd)?;
    match attempt((global, named), wanted, job, false, (printer, &events))? {
        Attempt::Ended(ended) => Ok(ended.status),
        Attempt::Refused(why, job) if wanted.or_bare => bare(&why, &wanted.workspace, *job, &events),
        Attempt::Refused(why, _) => Err(super::plain::with_way_out(why)),
    }
}

/// Runs it in a workspace made for it, which is there afterwards.
pub fn run_in_trial(
    here: (&cli::Global, bool),
    wanted: &cli::Run,
    job: Job,
    printer: &Printer,
) -> Result<Ended> {
    let events = Events::new(printer, wanted.status_fd)?;
    match attempt(here, wanted, job, true, (printer, &events))? {
        Attempt::Ended(ended) => Ok(ended),
        Attempt::Refused(why, _) => Err(why),
    }
}

/// What came of a run.
enum Attempt {
    Ended(Ended),
    /// This machine refused to set it up; nothing was started.
    Refused(Error, Box<Job>),
}

/// Runs it; `trial`: in a workspace made for it, which is there afterwards.
fn attempt(
    (global, named): (&cli::Global, bool),
    wanted: &cli::Run,
    job: Job,
    trial: bool,
    (printer, events): (&Printer, &Events<'_>),
) -> Result<Attempt> {
    super::refuse_unknown(global, &wanted.workspace)?;
    let find = if wanted.dry_run { Find::Imagine } else { Find::Register };
    let mut project = super::project_here(global, named, find)?;
    if project.registered_now {
        events.say(&format!("new project {}", quoted(project.root.as_os_str())));
    }
    let cwd = cwd_in(&project.root)?;
    let mut options = shape::settings(&wanted.shape, &cwd)?;
    options.extend(shape::quotas(wanted));
    project.choose(wanted.shape.profile.as_deref(), options)?;
    let is_bare = wanted.dry_run || wanted.no_overlay;
    if !is_bare && Shape::of(&project.config).confine != Confine::None {
        ns::run_sealed()?; // begins anew: before a fork is made or anything said
    }
    for path in wanted.shape.hide.iter().filter(|path| !cwd.join(expand_home(path)).exists()) {
        events.warn(&format!("--hide {path}: it is not there, so nothing is covered"));
    }
    cold(&mut project, &cwd, &wanted.cold, events)?;
    if wanted.git == cli::Git::Shared {
        project.share_git();
    }
    if let Some(notice) = project.config.notice() {
        events.warn(&notice);
    }
    if wanted.no_overlay {
        if project.config.wishes.projection != Some(Projected::Copy) {
            return Err(Error::usage("--no-overlay is for --projection copy alone"));
        }
        let ended = super::plain::run(project, wanted, job, (printer, events))?;
        return Ok(Attempt::Ended(ended));
    }
    if wanted.dry_run {
        let now = project.manifest.known_workspace(&wanted.workspace)?;
        let layers: Vec<i64> = project.manifest.layers(now.layer)?.iter().map(|layer| layer.id).collect();
        let lowers = stack::lowers(now.base.unwrap_or(0), &layers);
        let mut scene = plan::scene_of(&project, now.id)?;
        let base = now.base.map(|base| project.manifest.base(base)).transpose()?.flatten();
        scene.stubs = stack::choose(&project, base.as_ref().map(|base| base.projection.as_str()))? == STUB;
        if let Some(head) = now.head {
            scene.tier1 = tier1::inside(&project, &head, &scene.shape.unlock)?;
        }
        let workspace = wanted.workspace.clone();
        let steps = plan::plan(&project.place, &workspace, "SESSION", &lowers, &scene)?;
        printer.out(&steps.to_string());
        return Ok(Attempt::Ended(Ended { project, workspace, status: 0 }));
    }
    let every = attend::interval(&project.config)?;
    let quota = Quota::of(&project.config)?;
    let (mut project, place) = place::find(project, wanted, trial, events, printer)?;
    if printer.can_ask() && wanted.status_fd.is_none() {
        project = super::recover::ask(project, &place.workspace, printer)?;
    }
    let always = wanted.discard || (place.is_throw_away && !trial);
    let wishes = &project.config.wishes;
    let is_shaped =
        Shape::of(&project.config) != Shape::default() || wishes.clear_env || !wishes.set_env.is_empty();
    let began = Instant::now();
    let opened = bar::with(printer, "taking in", |meter| {
        let alone = match (always || wanted.discard_on_failure, wanted.apply) {
            (true, _) => Some(Alone::Discard),
            (false, true) => Some(Alone::Apply),
            (false, false) => None,
        };
        let options = Options {
            workspace: &place.workspace,
            sync: !wanted.no_sync,
            alone,
            psfs: !wanted.no_psfs && wanted.rename == cli::Rename::Preload,
            counts: wanted.psfs_stats,
            snapshots: wanted.snapshots,
            meter,
        };
        open(project, &options, &|text| events.say(text))
    });
    let session = match opened {
        // what was asked for beyond the view, a bare run could not keep
        Err(error) if error.kind() == Kind::Unsupported && !is_shaped => {
            return Ok(Attempt::Refused(error, Box::new(job)));
        }
        opened => opened?,
    };
    announce(&session, began.elapsed(), events);

    let staging = session.project.staging().join(&session.name);
    let began_at = wanted.psfs_stats.then(|| counts::read(&staging)).transpose()?;
    let since =
        wanted.apply.then(|| session_apply::own::begin(&session.project, &session.name)).transpose()?;
    let started = now_ms();
    let argv = words(&job.argv);
    let titled = job.titled;
    if titled {
        printer.save_title();
    }
    let watch = Watch::new(&session.project, &session.name, quota, !session.joined)?;
    let mut desk = attend::desk(&session, every, Some(watch));
    let follower = wanted.watch.then(|| Follower::start(&session, global, events));
    let mut run = Run {
        workspace: session.workspace.clone(),
        session: session.name.clone(),
        argv,
        cwd: cwd.clone().into_os_string().into_vec(),
        started,
        ended: 0,
        status: 0,
        output: None,
    };
    let mut log = job.log.then(|| Log::begin(&session.project, &run)).transpose()?;
    let ran = command(&session, job, &cwd, (wanted, log.as_mut()), events, desk.as_mut());
    run.ended = now_ms();
    drop(follower);
    if titled {
        printer.restore_title();
    }
    if let Some(before) = began_at {
        // what cannot be read keeps nothing from being taken in
        match counts::read(&staging) {
            Ok(counts) => psfs_stats::tell(&counts.since(&before), events),
            Err(why) => events.warn(&why.to_string()),
        }
    }
    // Whatever became of the command, what the session wrote is taken in.
    let succeeded = matches!(ran, Ok(Exit::Code(0)));
    let discard = always || (wanted.discard_on_failure && !succeeded);
    let applies = since.filter(|_| succeeded && !discard);
    let applying = applies.is_some();
    let mut departure = bar::with(printer, "taking in", |meter| {
        let leaving = Leaving { wait: wanted.wait, discard, applies, meter: Some(meter) };
        leave(session, leaving, desk.as_mut())
    })?;
    let lasted = Some(run.ended.saturating_sub(run.started));
    report(&departure, &Of { workspace: &run.workspace, applies: applying, lasted }, events);
    if discard && departure.discarded.is_none() {
        events.warn("other runs take part in the session: what was written is not discarded");
    }
    if let Some((session, why)) = &departure.over {
        run.status = 125;
        tee::record(&departure.project, run, None, (log, events))?;
        return Err(Error::failure(format!("session {session} was ended: {why}")).with_hint(format!(
            "what it wrote is kept aside: vrift recover {session} --keep, --diff or --drop"
        )));
    }
    run.status = ran?.status();
    let status = u8::try_from(run.status).unwrap_or(u8::MAX);
    let head = departure.taken.as_ref().and_then(|taken| taken.number);
    let workspace = run.workspace.clone();
    tee::record(&departure.project, run, head, (log, events))?;
    if departure.taken.as_ref().is_some_and(|taken| taken.changed) {
        let _ = gc::start_if_due(&departure.project); // the next one may
        if let Err(why) = flush::start(&departure.project) {
            events.warn(&why.to_string());
        }
    }
    if applying {
        apply_own(&mut departure, &workspace, printer, events)?;
    }
    let mut project = departure.project;
    if place.is_throw_away && !trial {
        project = workspaces::delete(project, &place.workspace, false)?;
    }
    Ok(Attempt::Ended(Ended { project, workspace: place.workspace, status }))
}

/// Runs the command where it is: nothing is between it and the directory.
fn bare(why: &Error, workspace: &str, job: Job, events: &Events<'_>) -> Result<Status> {
    if workspace != MAIN {
        let message =
            format!("workspace `{workspace}` is not the directory, so nothing can run bare in it: {why}");
        return Err(
            Error::new(Kind::Unsupported, message).with_hint(why.hint().unwrap_or("vrift doctor says more"))
        );
    }
    events.warn(&format!("running bare, what is written is written to the directory itself: {why}"));
    events.send("bare", json!({ "message": why.to_string() }));
    let cwd = super::current_directory()?;
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    environment::set_pwd(&mut env, &cwd, &job.gone.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    // our sign in the prompt would say what is not so
    let argv = if job.titled { job.argv.into_iter().take(1).collect() } else { job.argv };
    let running = ns::run_bare(&Command { argv, env, cwd }, job.is_shell)?;
    let exit = tell(running, None, events)?;
    Ok(u8::try_from(exit.status()).unwrap_or(u8::MAX))
}

/// Writes what the run changed to the host.
fn apply_own(
    departure: &mut Departure,
    workspace: &str,
    printer: &Printer,
    events: &Events<'_>,
) -> Result<()> {
    let span = departure.taken.as_ref().and_then(|taken| taken.span);
    let mut written = 0;
    let plan = match (departure.applied.take(), span) {
        (Some(plan), _) => Some(plan?),
        (None, Some((before, after))) => {
            let between = Some((Digest::from_bytes(before), Digest::from_bytes(after)));
            let wanted = Wanted { workspace, between, quick: true, ..Wanted::default() };
            Some(session_apply::apply(&departure.project, &wanted)?)
        }
        (None, None) => None,
    };
    departure.token = None;
    if let Some(plan) = plan {
        super::apply::refuse(&plan).map_err(|error| {
            error.with_hint("what the run wrote is in the workspace: vrift apply --dry-run, vrift sync")
        })?;
        super::apply::name_first(&plan, printer);
        written = super::apply::items(&plan).len();
        if written > 0 {
            events.say(&format!(
                "{} written to {}",
                counted(written, "path"),
                departure.project.root.display()
            ));
        }
    }
    events.send("applied", json!({ "written": written }));
    Ok(())
}

/// `--cold` means something before the workspace's first take-in only.
fn cold(project: &mut Project, cwd: &Path, dirs: &[PathBuf], events: &Events<'_>) -> Result<()> {
    if dirs.is_empty() {
        return Ok(());
    }
    let relative = |dir: &PathBuf| super::relative_to(&project.root, &cwd.join(dir));
    let dirs = dirs.iter().map(relative).collect::<Result<_>>()?;
    for dir in project.start_cold(dirs)? {
        events.warn(&format!("--cold: {} is the workspace's already", sync::shown(&dir)));
    }
    Ok(())
}

/// From its start to its end.
fn command(
    session: &Session,
    job: Job,
    cwd: &Path,
    (wanted, mut log): (&cli::Run, Option<&mut Log>),
    events: &Events<'_>,
    desk: Option<&mut Desk>,
) -> Result<Exit> {
    let wishes = &session.project.config.wishes;
    let (index, project) = (session.index()?, &session.project);
    let address = Address::of(project.store.root(), &project.root, index);
    let git = git::settings(project);
    let mut env = environment::of_run((&session.workspace, index), &git, Some(&address), wishes);
    env.retain(|(name, _)| !job.env.iter().any(|(ours, _)| ours == name));
    env.extend(job.env);
    environment::set_pwd(&mut env, cwd, &job.gone.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    if session.preload && wanted.rename == cli::Rename::Preload {
        let variant = match (wanted.no_psfs, wanted.psfs_stats) {
            (true, _) => Variant::Renames,
            (false, true) => Variant::Counting,
            (false, false) => Variant::Whole,
        };
        psfs::environment::add(&mut env, session.project.store.root(), variant);
    }
    // who asks for the end gets it, and what was written is taken in nevertheless
    ns::hold_until_exit();
    let command = Command { argv: job.argv, env, cwd: cwd.to_path_buf() };
    let start = || match job.is_shell {
        true => session.link.run_shell(&command),
        false => session.link.run(&command),
    };
    let running = match log.as_deref_mut() {
        Some(log) => log.around(start),
        None => start(),
    }?;
    session.tidy();
    let exit = tell(running, desk, events);
    if let Some(log) = log {
        log.end(events);
    }
    exit
}

/// Waits for a command's end, and tells of both.
pub(super) fn tell(running: Running, desk: Option<&mut Desk>, events: &Events<'_>) -> Result<Exit> {
    events.send("started", json!({ "pid": running.pid() }));
    let exit = running.wait_at(desk)?;
    let signal = match exit {
        Exit::Signal(signal) => Some(signal),
        Exit::Code(_) => None,
    };
    events.send("exit", json!({ "status": exit.status(), "signal": signal }));
    Ok(exit)
}

pub(super) fn words(argv: &[OsString]) -> Vec<u8> {
    argv.iter().flat_map(|word| word.as_bytes().iter().copied().chain([0])).collect()
}
