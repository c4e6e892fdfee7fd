//! What a run printed, kept on request.
//!
//! While the run goes on it is in a file of its own in the project's directory; at its end it becomes
//! an object, and the run's row names that. Objects before rows (rule 1), the file goes last. Who finds
//! a file whose run is gone records it: such a run was killed.
//!
//! ```text
//! PROJECT/output/NAME.lock     held by the launcher, and by what passes the output on
//! PROJECT/output/NAME.spool    what was printed (spool.rs)
//! PROJECT/output/NAME.json     the run; written last, so a name with it is whole
//! ```

pub mod spool;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::spool::Spool;
use super::project::{Place, Project};
use crate::cas::Digest;
use crate::error::{Context, Result};
use crate::manifest::run::{Output, Run};
use crate::os::lock::{Hold, Lock};
use crate::os::mkdir;
use crate::os::remove::remove_tree;

/// Below a project's directory.
pub const DIR: &str = "output";

/// As a shell has it for SIGKILL: what a run that left its output behind ended with.
const KILLED: i32 = 137;

/// A run, as it is known when it begins.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    launcher: u32,
    workspace: String,
    session: String,
    argv: Vec<u8>,
    cwd: Vec<u8>,
    started: i64,
}

/// The output of a run that goes on. Dropped, its files go.
pub struct Kept {
    stem: PathBuf,
    lock: Option<Lock>,
}

impl Kept {
    /// Makes the files for a run that begins now.
    pub fn begin(place: &Place, run: &Run) -> Result<Self> {
        let dir = place.dir.join(DIR);
        mkdir::private(&dir)?;
        let launcher = std::process::id();
        let stem = dir.join(format!("{}-{launcher}-{}", run.session, run.started));
        let lock = Lock::wait(&stem.with_extension("lock"), Hold::Exclusive)?;
        let kept = Self { stem, lock: Some(lock) };
        drop(Spool::create(&kept.spool_path())?);
        let begun = Begun {
            launcher,
            workspace: run.workspace.clone(),
            session: run.session.clone(),
            argv: run.argv.clone(),
            cwd: run.cwd.clone(),
            started: run.started,
        };
        let (path, half) = (kept.stem.with_extension("json"), kept.stem.with_extension("half"));
        let text = serde_json::to_vec(&begun).map_err(std::io::Error::from).context("write", &half)?;
        std::fs::write(&half, text).context("write", &half)?;
        std::fs::rename(&half, &path).context("write", &path)?;
        Ok(kept)
    }

    /// Where it is written to.
    pub fn spool_path(&self) -> PathBuf {
        self.stem.with_extension("spool")
    }

    /// Who passes the output on holds it, too.
    pub fn lock(&self) -> Option<&Lock> {
        self.lock.as_ref()
    }

    /// Brings what was printed into the store and has `record` write the row that names it.
    pub fn store<T>(self, project: &Project, record: impl FnOnce(Option<Output>) -> Result<T>) -> Result<T> {
        let token = project.store.publishing()?; // until the row is there nothing is swept (rule 15)
        let bytes = spool::read(&self.spool_path())?;
        if bytes.is_empty() {
            return record(Some(Output { digest: Digest::of(&bytes), size: 0 })); // an empty content has no object
        }
        let stored = project.store.publish_bytes(&token, &bytes)?;
        if stored.new {
            project.store.add_debt(stored.size);
        }
        record(Some(Output { digest: stored.digest, size: stored.size }))
    }
}

impl Drop for Kept {
    /// The names that make it whole go first.
    fn drop(&mut self) {
        for ending in ["json", "half", "spool"] {
            let _ = std::fs::remove_file(self.stem.with_extension(ending));
        }
        if let Some(lock) = self.lock.take() {
            let _ = lock.retire(&self.stem.with_extension("lock"));
        }
    }
}

/// Records the runs that were killed and had left their output. One that cannot be read is left.
pub fn adopt(project: &Project) -> Result<()> {
    for stem in stems(project)? {
        let lock_path = stem.with_extension("lock");
        let Some(lock) = Lock::attempt(&lock_path, Hold::Exclusive)? else { continue };
        // all state anew: whoever had the lock may have recorded it
        let Some(begun) = Begun::read(&stem)? else { continue };
        let kept = Kept { stem, lock: Some(lock) };
        let ended = ended(&kept.spool_path()).unwrap_or(begun.started);
        kept.store(project, |output| {
            let Begun { workspace, session, argv, cwd, started, .. } = begun;
            let run = Run { workspace, session, argv, cwd, started, ended, status: KILLED, output };
            project.manifest.add_run(&run, None)
        })?;
    }
    Ok(())
}

/// What a run that goes on has printed so far, by its launcher's pid.
pub fn of_live(project: &Project, launcher: u32) -> Result<Option<Vec<u8>>> {
    for stem in stems(project)? {
        if Begun::read(&stem)?.is_some_and(|begun| begun.launcher == launcher) {
            return spool::read(&stem.with_extension("spool")).map(Some);
        }
    }
    Ok(None)
}

/// An output that was stored, opened.
pub fn open(project: &Project, output: &Output) -> Result<Option<File>> {
    match output.size {
        0 => Ok(None),
        _ => Ok(Some(project.store.open_object(&output.digest)?.into())),
    }
}

impl Begun {
    fn read(stem: &Path) -> Result<Option<Self>> {
        let path = stem.with_extension("json");
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => Ok(serde_json::from_slice(&read.context("read", &path)?).ok()),
        }
    }
}

/// What is there, and whole.
fn stems(project: &Project) -> Result<Vec<PathBuf>> {
    let dir = project.dir.join(DIR);
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("read", &dir)?,
    };
    let paths = entries.map(|entry| Ok(entry.context("read", &dir)?.path())).collect::<Result<Vec<_>>>()?;
    let whole = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
    Ok(paths.into_iter().filter(whole).map(|path| path.with_extension("")).collect())
}

/// Milliseconds since the epoch.
fn ended(spool: &Path) -> Option<i64> {
    let modified = spool.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// Removes what a launcher left that was killed before its run began.
pub fn remove_halves(place: &Place) {
    const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
    for entry in std::fs::read_dir(place.dir.join(DIR)).into_iter().flatten().flatten() {
        let path = entry.path();
        let old = entry.metadata().and_then(|metadata| metadata.modified());
        let old = old.is_ok_and(|old| old.elapsed().is_ok_and(|age| age > HOUR));
        let lock = path.with_extension("lock");
        if old
            && !path.with_extension("json").exists()
            && matches!(Lock::attempt(&lock, Hold::Exclusive), Ok(Some(_)))
        {
            let _ = remove_tree(&path);
            let _ = remove_tree(&lock);
        }
    }
}
