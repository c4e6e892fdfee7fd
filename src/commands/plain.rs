//! `--projection copy --no-overlay`: the command in a plain copy, said aloud.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::announce::{Of, announce_orphans, say_taken};
use super::events::Events;
use super::printer::{Printer, counted};
use super::run::{Ended, Job, tell, words};
use super::{Status, bar};
use crate::cli;
use crate::error::{Error, Result, quoted};
use crate::manifest::run::Run;
use crate::ns::{self, Command, Exit};
use crate::session::leave::record_run;
use crate::session::open::cwd_in;
use crate::session::plain::{self, Options};
use crate::session::project::Project;
use crate::session::record::now_ms;
use crate::session::{environment, gc, git};

/// What is possible without namespaces; never chosen unasked.
pub(super) fn with_way_out(why: Error) -> Error {
    let way = "on a plain copy at another path it works: exec --projection copy --no-overlay";
    let hint = why.hint().map_or_else(|| way.to_string(), |hint| format!("{hint}; {way}"));
    why.with_hint(hint)
}

/// Runs it in a copy of the workspace's state, and takes in what became of that.
pub fn run(
    project: Project,
    wanted: &cli::Run,
    job: Job,
    (printer, events): (&Printer, &Events<'_>),
) -> Result<Ended> {
    let cwd = cwd_in(&project.root)?;
    let inner = cwd.strip_prefix(&project.root).map(PathBuf::from).unwrap_or_default();
    let number = project.manifest.known_workspace(&wanted.workspace)?.id;
    let index = project.manifest.index_of((number, &wanted.workspace))?;
    let options = Options { workspace: &wanted.workspace, sync: !wanted.no_sync };
    let copy = bar::with(printer, "copying", |meter| plain::open(project, options, meter))?;
    announce_orphans(&copy.orphans, events);
    events.warn(&format!(
        "without an overlay: the command runs in a plain copy at another path, {} ({}); nothing keeps it from anything else",
        quoted(copy.path.as_os_str()),
        counted(copy.made.files, "file"),
    ));
    let at = copy.path.join(inner);
    let mut env = environment::of_run(
        (&wanted.workspace, index),
        &git::settings(&copy.project),
        None, // the copy has a path of its own, by which servers outside see it too
        &copy.project.config.wishes,
    );
    env.retain(|(name, _)| !job.env.iter().any(|(ours, _)| ours == name));
    env.extend(job.env);
    environment::set_pwd(&mut env, &at, &[]);
    let (argv, started) = (words(&job.argv), now_ms());
    ns::hold_until_exit();
    // what was written is taken in, whatever became of the command
    let ran = ns::run_bare(&Command { argv: job.argv, env, cwd: at }, job.is_shell)
        .and_then(|running| tell(running, None, events));
    let succeeded = matches!(ran, Ok(Exit::Code(0)));
    let discard = wanted.discard || (wanted.discard_on_failure && !succeeded);
    let session = copy.session.clone();
    let (project, taken) = bar::with(printer, "taking in", |meter| plain::close(copy, discard, meter))?;
    let mut run = Run {
        workspace: wanted.workspace.clone(),
        session,
        argv,
        cwd: cwd.into_os_string().into_vec(),
        started,
        ended: now_ms(),
        status: 0,
        output: None,
    };
    match &taken {
        Some(taken) => say_taken(taken, &Of::workspace(&wanted.workspace), events),
        None => events.say("what the command wrote is thrown away"),
    }
    run.status = ran?.status();
    record_run(&project, &run, taken.as_ref().and_then(|taken| taken.number))?;
    if taken.is_some_and(|taken| taken.changed) {
        let _ = gc::start_if_due(&project); // the next one may
    }
    let status: Status = u8::try_from(run.status).unwrap_or(u8::MAX);
    Ok(Ended { project, workspace: wanted.workspace.clone(), status })
}
