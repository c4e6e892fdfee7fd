//! A collection that nobody asked for, started by the launcher that ended a session.
//!
//! No daemon: a process that holds no terminal, no descriptor and no directory of its
//! starter's, collects if that is still due when it has the lock, and ends.

use std::ffi::OsString;
use std::path::Path;

use crate::config::keys;
use crate::error::Result;
use crate::ns::{self, Command};
use crate::session::project::Project;

/// Starts one if it is due and not switched off. Where it is not due this costs reading a
/// number.
pub fn start_if_due(project: &Project) -> Result<()> {
    let store = &project.store;
    if !store.debt().is_due() || project.config.flag(keys::GC_AUTO) == Some(false) {
        return Ok(());
    }
    let words = ["vrift", "--store"].map(OsString::from).into_iter();
    let words = words.chain([store.root().as_os_str().to_os_string()]);
    let argv = words.chain(["gc", "--auto"].map(OsString::from)).collect();
    let env = std::env::vars_os().collect();
    ns::start_detached(&Command { argv, env, cwd: Path::new("/").to_path_buf() })
}
