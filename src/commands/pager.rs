//! What is longer than the terminal goes through a pager: `VRIFT_PAGER`, else `PAGER`, else
//! `less -FRX`; none where that is empty or `cat`, and none where output is no terminal.
//!
//! It is started when the text does not fit any more, so what is short costs nothing.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{SigSet, Signal};

/// Text on its way to the terminal.
pub struct Pager {
    /// What runs it, by a shell.
    command: OsString,
    rows: usize,
    columns: usize,
    kept: Vec<u8>,
    started: Option<Child>,
    /// It ended before its text did: the reader has seen enough.
    gone: bool,
}

impl Pager {
    /// One for standard output, where that is a terminal and a pager is wanted.
    pub fn of_stdout() -> Option<Self> {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() || std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
            return None;
        }
        let named = ["VRIFT_PAGER", "PAGER"].iter().find_map(std::env::var_os);
        let command = named.unwrap_or_else(|| "less".into());
        if command.is_empty() || command == "cat" {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(stdout.as_fd()).ok()?;
        // one line is the prompt's
        let rows = usize::from(size.ws_row).checked_sub(1).filter(|rows| *rows > 0)?;
        let columns = usize::from(size.ws_col).max(1);
        Some(Self { command, rows, columns, kept: Vec::new(), started: None, gone: false })
    }

    pub fn write(&mut self, bytes: &[u8]) {
        if self.gone {
            return;
        }
        if self.started.is_none() {
            self.kept.extend_from_slice(bytes);
            if self.lines() <= self.rows {
                return;
            }
            self.started = self.start();
            if self.started.is_none() {
                return; // all of it is written at the end
            }
            let kept = std::mem::take(&mut self.kept);
            return self.pass_on(&kept);
        }
        self.pass_on(bytes);
    }

    /// Whether nobody reads any more.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    fn pass_on(&mut self, bytes: &[u8]) {
        let to = self.started.as_mut().and_then(|pager| pager.stdin.as_mut());
        self.gone |= to.is_none_or(|to| to.write_all(bytes).is_err());
    }

    /// Lines of the terminal that it takes, about: control sequences are counted as text.
    fn lines(&self) -> usize {
        let of = |line: &[u8]| String::from_utf8_lossy(line).chars().count() / self.columns + 1;
        self.kept.split_inclusive(|&byte| byte == b'\n').map(of).sum()
    }

    fn start(&self) -> Option<Child> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(&self.command).stdin(Stdio::piped());
        for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
            if std::env::var_os(name).is_none() {
                shell.env(name, value);
            }
        }
        let started = shell.spawn().ok()?;
        // ^C is the pager's as long as it is there: the terminal is not left to two readers
        let theirs: SigSet = [Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
        let _ = theirs.thread_block();
        Some(started)
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        match self.started.take() {
            Some(mut pager) => {
                drop(pager.stdin.take());
                let _ = pager.wait();
            }
            None => {
                let _ = std::io::stdout().lock().write_all(&self.kept);
            }
        }
    }
}
