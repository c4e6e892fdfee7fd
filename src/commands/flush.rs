//! What a launcher starts after a run that wrote something: it is on the disk soon.

use std::time::Duration;

use super::Status;
use crate::cli::{Flush, Global};
use crate::error::Result;
use crate::paths as places;
use crate::session::flush;

pub fn run(global: &Global, args: &Flush) -> Result<Status> {
    flush::run(&places::store(global.store.as_deref())?, Duration::from_secs(args.after))?;
    Ok(0)
}
