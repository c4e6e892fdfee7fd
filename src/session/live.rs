//! Live runs: who takes part in a workspace's session, and how to end them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::open::live;
use super::project::{Place, Project};
use crate::error::{Error, Result};
use crate::ns;

/// One run that goes on.
#[derive(Clone, Debug)]
pub struct LiveRun {
    /// Its launcher's pid.
    pub launcher: i32,
    pub workspace: String,
    pub workspace_id: i64,
    pub session: String,
    /// The words of the launcher's command line, each followed by a NUL; `None` where
    /// the launcher cannot be seen (another container's).
    pub command: Option<Vec<u8>>,
    /// Milliseconds since the epoch.
    pub started: Option<i64>,
}

/// The live runs of every workspace.
pub fn live_runs(project: &Project) -> Result<Vec<LiveRun>> {
    let mut found = Vec::new();
    for workspace in project.manifest.workspaces()? {
        let Some(session) = live(project, workspace.id)? else { continue };
        for run in ns::runs(&project.staging().join(&session))? {
            found.push(LiveRun {
                launcher: run.launcher,
                workspace: workspace.name.clone(),
                workspace_id: workspace.id,
                session: session.clone(),
                command: command_of(run.launcher),
                started: started(run.launcher),
            });
        }
    }
    Ok(found)
}

/// The command line of a launcher that is visible, ours, and a vrift.
fn command_of(pid: i32) -> Option<Vec<u8>> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = line.split(|&byte| byte == 0).next()?;
    program.ends_with(b"vrift").then_some(line)
}

/// When the process started: its age by the clock of /proc, taken from now.
fn started(pid: i32) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let up = std::fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = up.split_whitespace().next()?.parse().ok()?;
    let per_second = i64::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    let age = (up * 1000.0) as i64 - ticks * 1000 / per_second;
    Some(super::record::now_ms() - age)
}

/// How long after SIGKILL a launcher may take until its taking in is under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends live runs of one session and waits until their launchers have left it; when they
/// were the last, until what was written has been taken in.
pub fn stop(place: &Place, workspace: i64, session: &str, launcher: Option<i32>) -> Result<()> {
    let dir: PathBuf = place.staging().join(session);
    ns::stop(&dir, launcher)?;
    let began = Instant::now();
    loop {
        let runs = ns::runs(&dir)?;
        let gone = match launcher {
            Some(launcher) => runs.iter().all(|run| run.launcher != launcher),
            None => runs.is_empty(),
        };
        if gone {
            break;
        }
        for run in runs.iter().filter(|run| launcher.is_none_or(|wanted| wanted == run.launcher)) {
            ns::wake(run.launcher);
        }
        if began.elapsed() > PATIENCE {
            return Err(Error::failure("the command has ended, but its vrift process does not go on")
                .with_hint("vrift runs shows its pid; kill -9 leaves what was written to vrift recover"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // somebody else may be there, or come: only this session's end is waited for
    while ns::runs(&dir)?.is_empty() && live(place, workspace)?.as_deref() == Some(session) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
