//! `VRIFT_LOG=FILE`: what this process does, for who looks for a fault. A line each: seconds since it began,
//! its process id, a word, and what it is about. Several processes may add to one file; `/dev/stderr` is one.
//!
//! ```text
//!  0.000211 4711 begin    "vrift" "exec" "make"
//!  0.001904 4711 lock     /s/projects/p/sync.lock exclusive, after 0.000006 s
//!  0.009127 4711 step     mount proc at /proc
//!  0.113034 4711 at       take-in.linked
//! ```
//!
//! The words are `begin`, `session`, `sync`, `step` (of the mount plan, as in `--dry-run`), `lock`, `at` (a change of state,
//! by the name of its failpoint) and `end`. Only the process that opened the file writes, and children that
//! say so: init and commands are in other mount namespaces, and close what is not theirs.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use crate::error::{Context, Result};

struct Log {
    file: File,
    began: Instant,
    /// Who may write: its descriptor is still this file.
    writer: AtomicI32,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Opens the file that the environment names. Once, before anything else is done.
pub fn begin() -> Result<()> {
    let Some(path) = std::env::var_os("VRIFT_LOG").filter(|path| !path.is_empty()) else { return Ok(()) };
    let path = Path::new(&path);
    let file = File::options().append(true).create(true).open(path).context("open the log", path)?;
    let writer = AtomicI32::new(me());
    let _ = LOG.set(Log { file, began: Instant::now(), writer });
    line("begin", format_args!("{:?}", std::env::args_os().collect::<Vec<_>>()));
    Ok(())
}

/// A child that was forked, and has all that its parent has open, writes too.
pub fn go_on() {
    if let Some(log) = LOG.get() {
        log.writer.store(me(), Ordering::Relaxed);
    }
}

/// When something begins that may take long; `None` where nothing is written.
pub fn now() -> Option<Instant> {
    LOG.get().map(|_| Instant::now())
}

/// A line: one write. What cannot be written is left out.
pub fn line(word: &str, text: impl Display) {
    let Some(log) = LOG.get() else { return };
    if log.writer.load(Ordering::Relaxed) != me() {
        return;
    }
    let text = text.to_string().replace('\n', "\\n");
    let line = format!("{:>9.6} {} {word:<8} {text}\n", log.began.elapsed().as_secs_f64(), me());
    let _ = (&log.file).write_all(line.as_bytes());
}

fn me() -> i32 {
    rustix::process::getpid().as_raw_pid()
}
