//! What happens in a run, told twice: to people by the printer, to programs as lines of
//! JSON by the descriptor of `--status-fd` (the events are described at the option).

use std::os::fd::OwnedFd;

use serde_json::{Value, json};

use super::printer::Printer;
use crate::error::Result;
use crate::os::passed;

/// Where a run's events go.
pub struct Events<'a> {
    printer: &'a Printer,
    fd: Option<OwnedFd>,
}

impl<'a> Events<'a> {
    /// Takes the descriptor, which must be open, from those the command would inherit.
    pub fn new(printer: &'a Printer, status_fd: Option<i32>) -> Result<Self> {
        let fd = status_fd.map(|fd| passed::claim("--status-fd", fd)).transpose()?;
        Ok(Self { printer, fd })
    }

    /// One line; a reader that went away, or is too slow for a non-blocking descriptor,
    /// does not disturb the run.
    pub fn send(&self, event: &str, members: Value) {
        let Some(fd) = &self.fd else { return };
        let mut line = json!({ "event": event });
        if let (Value::Object(line), Value::Object(members)) = (&mut line, members) {
            line.extend(members);
        }
        let text = format!("{line}\n");
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match rustix::io::write(fd, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or(&[]),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    pub fn warn(&self, text: &str) {
        self.printer.warn(text);
        self.send("warning", json!({ "message": text }));
    }

    pub fn say(&self, text: &str) {
        self.printer.say(text);
    }
}
