//! Programs of the host that vrift starts; it works without them, with less.

use std::process::{Command, Stdio};

use rustix::fs::{Access, access};

use super::check::{Check, Verdict};
use super::subject::Subject;
use crate::session::shell;

pub fn checks(_: &Subject) -> Vec<Check> {
    vec![git(), user_shell()]
}

fn git() -> Check {
    let ran = Command::new("git").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match ran {
        Ok(output) if output.status.success() => {
            Check::good("git", String::from_utf8_lossy(&output.stdout).trim().to_string())
        }
        _ => Check::lacking("git", "not found: a moved project is known by its inode only", Verdict::Note)
            .hint("install git, or put it on PATH"),
    }
}

/// `enter` starts it.
fn user_shell() -> Check {
    let shell = shell::of_user();
    let shown = shell.to_string_lossy().into_owned();
    match access(std::path::Path::new(&shell), Access::EXEC_OK) {
        Ok(()) => Check::good("shell", shown),
        Err(errno) => Check::lacking("shell", format!("{shown}: {errno}"), Verdict::Note)
            .hint("vrift enter starts $SHELL: set it to a shell that is there"),
    }
}
