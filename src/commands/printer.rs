//! The one place that writes to the terminal. Standard output is data; everything else
//! goes to standard error, each line led by `vrift: `.

pub use crate::config::amount::shown as size;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use super::pager::Pager;
use crate::cli::Color;
use crate::error::{Context, Error, Result};

/// How to write.
pub struct Printer {
    quiet: bool,
    verbose: bool,
    colour_out: bool,
    colour_err: bool,
    progress: bool,
    /// What long output goes through.
    pager: Mutex<Option<Pager>>,
}

/// A meaning that colour underlines.
#[derive(Clone, Copy, Debug)]
pub enum Tone {
    Good,
    Bad,
    Warning,
    Dim,
    /// A heading.
    Strong,
    /// A place, as a hunk's.
    Note,
}

impl Printer {
    pub fn new(color: Color, quiet: bool, verbose: bool) -> Self {
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            // no-color.org: any value but the empty one
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self {
            quiet,
            verbose,
            colour_out: wanted(std::io::stdout().is_terminal()),
            colour_err: wanted(std::io::stderr().is_terminal()),
            progress: !quiet && std::io::stderr().is_terminal(),
            pager: Mutex::new(None),
        }
    }

    /// One that writes nothing while work is under way.
    pub fn without_progress(self) -> Self {
        Self { progress: false, ..self }
    }

    /// Whether work that takes long is shown while it goes on.
    pub fn shows_progress(&self) -> bool {
        self.progress
    }

    /// One that colours nothing.
    pub fn plain() -> Self {
        Self {
            quiet: false,
            verbose: false,
            colour_out: false,
            colour_err: false,
            progress: false,
            pager: Mutex::new(None),
        }
    }

    /// From now on what is long goes through a pager, until `end_pages`.
    pub fn begin_pages(&self) {
        *self.pager.lock().unwrap_or_else(PoisonError::into_inner) = Pager::of_stdout();
    }

    /// The pager is at its end, or what was short is written.
    pub fn end_pages(&self) {
        drop(self.pager.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Data that need not be text.
    pub fn out_bytes(&self, bytes: &[u8]) {
        let mut pager = self.pager.lock().unwrap_or_else(PoisonError::into_inner);
        match pager.as_mut() {
            Some(paged) => paged.write(bytes),
            None => _ = std::io::stdout().lock().write_all(bytes),
        }
        if pager.as_ref().is_some_and(Pager::is_gone) {
            drop(pager.take());
            std::process::exit(0); // who reads has seen enough
        }
    }

    /// What goes before and after a toned piece of standard output.
    pub fn around(&self, tone: Tone) -> (&'static str, &'static str) {
        if self.colour_out { (tone.start(), END) } else { ("", "") }
    }

    /// Data. A reader that went away is no error.
    pub fn out(&self, text: &str) {
        self.out_bytes(text.as_bytes());
    }

    /// One JSON document.
    pub fn json(&self, value: &serde_json::Value) {
        self.out(&format!("{value:#}\n"));
    }

    /// Something worth a line; not with --quiet.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.err(text);
        }
    }

    /// Detail; only with --verbose.
    pub fn detail(&self, text: &str) {
        if self.verbose && !self.quiet {
            self.err(text);
        }
    }

    pub fn warn(&self, text: &str) {
        self.err(&format!("{} {text}", paint(self.colour_err, Tone::Warning, "warning:")));
    }

    pub fn error(&self, error: &Error) {
        self.err(&format!("{} {error}", paint(self.colour_err, Tone::Bad, "error:")));
        if let Some(hint) = error.hint() {
            self.err(&format!("{} {hint}", paint(self.colour_err, Tone::Dim, "hint:")));
        }
    }

    /// A word for standard output, coloured where that helps.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        paint(self.colour_out, tone, text)
    }

    /// Puts the terminal's title aside before a shell sets its own.
    pub fn save_title(&self) {
        self.control("\x1b[22;2t");
    }

    /// Brings it back.
    pub fn restore_title(&self) {
        self.control("\x1b[23;2t");
    }

    /// xterm's control sequences (ctlseqs, "Window manipulation"), to terminals only.
    fn control(&self, sequence: &str) {
        let term = std::env::var_os("TERM").unwrap_or_default();
        let plain = ["", "dumb", "linux"].iter().any(|name| term == *name);
        if !plain && std::io::stderr().is_terminal() {
            let _ = std::io::stderr().lock().write_all(sequence.as_bytes());
        }
    }

    /// Whether somebody can be asked.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks for one word on the terminal, whatever its case; `None` when there will be no
    /// answer.
    pub fn ask(&self, question: &str) -> Result<Option<String>> {
        Ok(self.ask_name(question)?.map(|answer| answer.to_lowercase()))
    }

    /// Asks for one line on the terminal; `None` when there will be no answer.
    pub fn ask_name(&self, question: &str) -> Result<Option<String>> {
        if !self.can_ask() {
            return Err(Error::failure("there is no terminal to ask on"));
        }
        let _ = std::io::stderr().lock().write_all(format!("vrift: {question}").as_bytes());
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).context("read", "the answer")?;
        Ok((read > 0).then(|| line.trim().to_string()))
    }

    fn err(&self, text: &str) {
        let _ = std::io::stderr().lock().write_all(format!("vrift: {text}\n").as_bytes());
    }
}

const END: &str = "\x1b[0m";

impl Tone {
    /// The control sequence that begins it (ECMA-48, SGR).
    fn start(self) -> &'static str {
        match self {
            Tone::Good => "\x1b[32m",
            Tone::Bad => "\x1b[1;31m",
            Tone::Warning => "\x1b[33m",
            Tone::Dim => "\x1b[2m",
            Tone::Strong => "\x1b[1m",
            Tone::Note => "\x1b[36m",
        }
    }
}

fn paint(colour: bool, tone: Tone, text: &str) -> String {
    if colour { format!("{}{text}{END}", tone.start()) } else { text.to_string() }
}

/// `1 file`, `3 files`.
pub fn counted<N: std::fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    if number == N::from(1) { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// How long ago, in its largest unit.
pub fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// How long something took.
pub fn took(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(0, "file"), "0 files");
        assert_eq!(age(59_999), "59 s ago");
        assert_eq!(age(7_200_000), "2 h ago");
        assert_eq!(age(-5), "0 s ago");
        assert_eq!([took(7), took(59_990), took(60_000)], ["7 ms", "59.9 s", "1 min"]);
    }
}
