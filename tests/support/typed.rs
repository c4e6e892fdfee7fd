//! Commands of a text, run as a new user would type them: a fresh HOME, nothing but the text to go by.
//!
//! A block of one kind of fence has commands (`$ `, and `> ` where one goes on) and the lines that they
//! print, on either stream; `…` stands for anything in a line, and as the last line for any lines.

use std::path::Path;
use std::process::Command;

use crate::support::World;

/// A command and the lines that it is to print.
pub struct Typed {
    pub command: String,
    pub prints: Vec<String>,
}

/// The commands of a text's blocks of this kind.
pub fn typed(text: &str, fence: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside && line == fence;
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            commands.push(Typed { command: command.into(), prints: Vec::new() });
        } else if let (true, Some(last)) = (inside, commands.last_mut()) {
            match line.strip_prefix("> ").filter(|_| last.prints.is_empty()) {
                Some(more) => last.command += &format!("\n{more}"),
                None => last.prints.push(line.into()),
            }
        }
    }
    commands
}

/// Whether a line is as written; `…` stands for anything.
pub fn is_as_written(line: &str, written: &str) -> bool {
    let Some((start, rest)) = written.split_once('…') else { return line == written };
    let Some(mut left) = line.strip_prefix(start) else { return false };
    let parts: Vec<&str> = rest.split('…').collect();
    let (end, between) = parts.split_last().unwrap();
    for part in between {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

/// Whether all lines are; a line that is only `…` stands for any number of them.
pub fn are_as_written(lines: &[&str], written: &[String]) -> bool {
    match written.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=lines.len()).any(|skipped| are_as_written(&lines[skipped..], rest))
        }
        Some((first, rest)) => {
            lines.first().is_some_and(|line| is_as_written(line, first)) && are_as_written(&lines[1..], rest)
        }
    }
}

/// A shell's state from one command to the next is its directory, and what it exported.
pub struct Shell<'a> {
    pub world: &'a World,
    pub at: std::path::PathBuf,
}

impl<'a> Shell<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { world, at: world.path().to_path_buf() }
    }

    /// What it prints, on either stream.
    pub fn types(&mut self, command: &str) -> String {
        let (place, state) = (self.world.path().join("place"), self.world.path().join("exported"));
        let script = format!(
            "exec 2>&1\ntest ! -e '{1}' || . '{1}'\n{command}\nended=$?\npwd > '{0}'; export -p > '{1}'\nexit $ended",
            place.display(),
            state.display()
        );
        let mut shell: Command = self.world.command_alone("/bin/sh");
        let tools = Path::new(env!("CARGO_BIN_EXE_vrift")).parent().unwrap();
        let path = std::env::join_paths(
            std::iter::once(tools.to_path_buf())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        // as it is without any setting of ours
        shell.env("PATH", path.unwrap()).env_remove("VRIFT_STORE").env_remove("VRIFT_GC_AUTO");
        // of who has git set up
        for who in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{who}_NAME"), "me").env(format!("GIT_{who}_EMAIL"), "me@localhost");
        }
        for kept in ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            shell.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        shell.env("VRIFT_SOURCE", env!("CARGO_MANIFEST_DIR")).current_dir(&self.at);
        let output = shell.args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {:?}\n{said}", output.status);
        self.at = std::fs::read_to_string(place).unwrap().trim_end().into();
        said
    }

    /// Types all of it, and compares.
    #[track_caller]
    pub fn follows(&mut self, text: &str, fence: &str) -> usize {
        let commands = typed(text, fence);
        for Typed { command, prints } in &commands {
            let said = self.types(command);
            let lines: Vec<&str> = said.lines().collect();
            let fits = are_as_written(&lines, prints);
            assert!(fits, "$ {command}\nprints\n{said}\nand is to print\n{}", prints.join("\n"));
        }
        commands.len()
    }
}
