//! What a launcher starts every ten minutes: the head follows what the live session wrote,
//! so that a crash loses no more than that.

use std::time::Duration;

use super::Status;
use crate::cli::{Checkpoint, Global};
use crate::error::{Context, Result};
use crate::session::checkpoint::{age, checkpoint};

pub fn run(global: &Global, args: &Checkpoint) -> Result<Status> {
    std::env::set_current_dir(&args.root).context("go to", &args.root)?;
    let _ = rustix::process::nice(10); // commands go first
    let project = super::known_project(global)?;
    let workspace = project.manifest.known_workspace(&args.of)?.id;
    // every launcher of a session has its own clock
    let young = |age: Duration| age < Duration::from_secs(args.younger);
    if !age(&project, workspace)?.is_some_and(young) {
        checkpoint(project, workspace)?;
    }
    Ok(0)
}
