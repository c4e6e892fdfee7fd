//! What a run wrote reaches the disk soon after it, though nobody waits for that.
//!
//! A session's end is not synced. The launcher that ended it starts a process of its own that
//! sleeps a while, so that many short runs are written out at once, and does one syncfs
//! (rule 17). While it sleeps it holds nothing open in the store: `STORE/durable.due` says
//! that it will come. Whoever finds that file young leaves it to that one: the file goes
//! before the syncfs begins, which then covers all that was written while the file was there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cas::Store;
use crate::cas::durable::Durable;
use crate::config::{amount, keys};
use crate::error::{Context, Result};
use crate::ns::{self, Command};
use crate::os::idle::be_idle;
use crate::session::project::Project;

const DUE: &str = "durable.due";
/// How long after a run, when nothing is configured.
const AFTER: Duration = Duration::from_secs(10);
/// Who has not come so long after it should have was ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has what was written until now written out in a while, unless somebody will do that.
pub fn start(project: &Project) -> Result<()> {
    let after = match project.config.text(keys::DURABLE_AFTER) {
        Some(text) => amount::time(text)?,
        None => Some(AFTER),
    };
    let Some(after) = after else { return Ok(()) };
    let due = due(project.store.root());
    match std::fs::OpenOptions::new().write(true).create_new(true).open(&due) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let age = due.metadata().and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age < after + PATIENCE) {
                return Ok(());
            }
            std::fs::write(&due, "").context("write", &due)?;
        }
        Err(error) => return Err(error).context("write", &due),
    }
    let root = project.store.root().as_os_str().to_os_string();
    let words = ["vrift".into(), "--store".into(), root, "flush".into(), "--after".into()];
    let argv: Vec<OsString> = words.into_iter().chain([after.as_secs().to_string().into()]).collect();
    let env = std::env::vars_os().collect();
    ns::start_detached(&Command { argv, env, cwd: Path::new("/").to_path_buf() })
}

/// Sleeps, and writes out.
pub fn run(root: &Path, after: Duration) -> Result<()> {
    be_idle();
    std::thread::sleep(after);
    let Some(store) = Store::open(root)? else { return Ok(()) };
    let durable = Durable::begin(&store)?;
    crate::os::remove::remove_tree(&due(root))?;
    durable.write_out()
}

fn due(store: &Path) -> PathBuf {
    store.join(DUE)
}
