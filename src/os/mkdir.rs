//! Private directories.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::error::{Context, Result};

/// Makes a directory and its parents, mode 0700; there already is fine.
pub fn private(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).context("make directory", path)
}
