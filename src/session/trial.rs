//! A whole run on a project and a store of its own, from registration to fold: what no
//! single probe can promise.

use std::ffi::OsString;
use std::path::Path;

use super::environment;
use super::git;
use super::leave::{Leaving, leave};
use super::open::{Options, open};
use super::project::Project;
use super::record::Alone;
use crate::cas::Store;
use crate::config::run::Wishes;
use crate::error::{Context, Error, Result};
use crate::manifest::workspace::MAIN;
use crate::ns::Command;
use crate::os::mkdir;
use crate::progress::Meter;

/// Runs `argv`, which must write something into its working directory, in a view of a
/// project made for it below `scratch`. Returns what the session had to do without.
///
/// # Errors
/// The one that a run in this place would end with.
pub fn run(scratch: &Path, argv: Vec<OsString>) -> Result<Vec<Error>> {
    let (store, cwd) = (scratch.join("store"), scratch.join("project"));
    mkdir::private(&cwd)?;
    // marked, so that no project above is taken for it
    let marker = cwd.join(crate::config::NAME);
    std::fs::write(&marker, "").context("write", &marker)?;
    let mut project = Project::find_or_register(Store::open_or_create(&store)?, &cwd, true)?;
    project.configure(&[])?;
    let meter = Meter::default();
    let options = Options {
        workspace: MAIN,
        sync: true,
        alone: Some(Alone::Discard),
        counts: false,
        psfs: false,
        snapshots: false,
        meter: &meter,
    };
    let session = open(project, &options, &|_| {})?;
    let warnings = session.link.warnings().to_vec();
    let mut env = environment::of_run((MAIN, 0), &git::settings(&session.project), None, &Wishes::default());
    environment::set_pwd(&mut env, &cwd, &[]);
    let ran = session.link.run(&Command { argv, env, cwd: cwd.clone() }).and_then(|running| running.wait());
    let departure = leave(session, Leaving::default(), None)?;
    let (status, written) = (ran?.status(), departure.taken.map_or(0, |taken| taken.written));
    let on_host = std::fs::read_dir(&cwd).context("read directory", &cwd)?.count();
    match (status, written, on_host) {
        (0, 1.., 1) => Ok(warnings),
        (0, 0, _) => Err(Error::failure("what a trial run wrote was not taken in")),
        (0, ..) => Err(Error::failure("what a trial run wrote reached the directory itself")),
        (status, ..) => Err(Error::failure(format!("the command of a trial run ended with status {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_says_what_went_wrong() {
        let try_it = |script: &str| {
            let dir = tempfile::tempdir().unwrap();
            let scratch = dir.path().canonicalize().unwrap();
            run(&scratch, ["/bin/sh", "-c", script].map(OsString::from).to_vec())
        };
        if let Err(error) = try_it("echo x > y") {
            return crate::os::skip("sessions", error);
        }
        assert!(try_it("echo x > y; exit 3").unwrap_err().to_string().contains("status 3"));
        assert!(try_it("true").unwrap_err().to_string().contains("not taken in"));
    }
}
