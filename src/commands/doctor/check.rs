//! One line of the page, and how it is shown.

use serde_json::{Value, json};

use super::super::printer::{Printer, Tone};
use crate::error::Error;
use crate::os::refusal::Why;

/// What one trial found.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: &'static str,
    pub found: String,
    pub verdict: Verdict,
    /// What to do about it, in words.
    pub hint: Option<String>,
    /// For a shell, in this order.
    pub commands: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Runs work, with less.
    Note,
    /// A run would fail.
    Bad,
}

impl Check {
    pub fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, found: found.into(), verdict: Verdict::Good, hint: None, commands: Vec::new() }
    }

    /// Something is missing; how bad that is, `verdict` says.
    pub fn lacking(name: &'static str, found: impl Into<String>, verdict: Verdict) -> Self {
        Self { verdict, ..Self::good(name, found) }
    }

    /// A failure, with its own hint.
    pub fn failed(name: &'static str, error: &Error, verdict: Verdict) -> Self {
        let hint = error.hint().map(str::to_string);
        Self { hint, ..Self::lacking(name, error.to_string(), verdict) }
    }

    /// With the machine's reason and remedy.
    #[must_use]
    pub fn because(mut self, why: Why) -> Self {
        if !self.found.ends_with(&why.cause) {
            self.found = format!("{}: {}", self.found, why.cause);
        }
        self.hint = why.advice;
        self.commands = why.commands;
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    fn word(&self) -> (&'static str, Tone) {
        match self.verdict {
            Verdict::Good => ("ok", Tone::Good),
            Verdict::Note => ("note", Tone::Warning),
            Verdict::Bad => ("fails", Tone::Bad),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name, "verdict": self.word().0, "found": self.found,
            "hint": self.hint, "fix": self.commands,
        })
    }

    pub fn line(&self, printer: &Printer) -> String {
        let (word, tone) = self.word();
        let mut line =
            format!("{} {:<16} {}\n", printer.toned(tone, &format!("{word:<5}")), self.name, self.found);
        for more in self.hint.iter().chain(&self.commands) {
            line += &format!("      {}\n", printer.toned(Tone::Dim, more));
        }
        line
    }

    /// As comments of a shell script.
    pub fn comments(&self) -> String {
        let about = format!("{}: {}", self.name, self.found);
        let words = std::iter::once(&about).chain(&self.hint);
        words.flat_map(|text| text.lines()).map(|line| format!("# {line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_comments_and_commands_stay() {
        let check = Check::lacking("store", "no\nspace", Verdict::Bad).hint("free some").command("df -h /x");
        assert_eq!(check.comments(), "# store: no\n# space\n# free some\n");
        assert_eq!(check.json()["verdict"], "fails");
        assert_eq!(check.json()["fix"][0], "df -h /x");
    }
}
