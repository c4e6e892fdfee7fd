//! Taking part in the live session of a workspace, without running anything in it.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::manifest::workspace::Workspace;
use crate::ns;
use crate::os::dir::Dir;
use crate::os::lock;
use crate::session::open::{Session, live};
use crate::session::project::Project;
use crate::session::record::{self, Record};

/// How long one that has its name, and does not listen yet, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of it.
pub(super) enum Joined {
    Part(Box<Session>),
    /// No session lives; or it is ending, and what it wrote is being taken in.
    Nobody(Project),
    /// One run has it for itself.
    Alone(Project),
}

/// Joins it. Whoever joined may be the last to leave, and has to take in then.
pub(super) fn join(project: Project, workspace: &Workspace) -> Result<Joined> {
    let began = Instant::now();
    while let Some(name) = live(&project, workspace.id)? {
        let staging = project.staging().join(&name);
        if record::alone(&staging).is_some() {
            return Ok(Joined::Alone(project));
        }
        if let Some(Record { shape, preload, .. }) = Record::read(&staging)?
            && let Some(link) = ns::connect(&staging, shape.realm()?)?
        {
            let session = Session::joined(project, (name, &workspace.name, workspace.id), link);
            return Ok(Joined::Part(Box::new(Session { preload, shape, ..session })));
        }
        let is_ending = record::is_closed(&staging);
        if is_ending
            || began.elapsed() > PATIENCE
            || lock::held_abroad(&project.session_lock(workspace.id)).is_some()
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Joined::Nobody(project))
}

/// The project's directory as a session shows it, from outside: by the root directory of its
/// first process. Whoever holds it open holds the mount, and must take part in the session.
pub(super) fn view(session: &Session) -> Result<Dir> {
    let view = Dir::open(&super::path_in(session.link.init_pid(), &session.project.root)?)?;
    let host = Dir::open(&session.project.root)?;
    // what is written there must not be the directory itself
    if view.stat_self()?.dev == host.stat_self()?.dev {
        return Err(super::not_visible());
    }
    Ok(view)
}
