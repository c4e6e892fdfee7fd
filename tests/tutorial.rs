//! The tutorial and the README's first example, as a new user would type them: a fresh HOME, nothing
//! but the text to go by. What is printed is what the text says.

mod support;

use std::path::Path;
use std::process::Command;

use support::World;

/// A command and the lines that it is to print.
struct Typed {
    command: String,
    prints: Vec<String>,
}

/// The commands of a text's blocks of this kind.
fn typed(text: &str, fence: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside && line == fence;
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            commands.push(Typed { command: command.into(), prints: Vec::new() });
        } else if let (true, Some(last)) = (inside, commands.last_mut()) {
            last.prints.push(line.into());
        }
    }
    commands
}

/// Whether a line is as written; `…` stands for anything.
fn is_as_written(line: &str, written: &str) -> bool {
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

/// A shell's state from one command to the next is its directory.
struct Shell<'a> {
    world: &'a World,
    at: std::path::PathBuf,
}

impl Shell<'_> {
    /// What it prints, on either stream.
    fn types(&mut self, command: &str) -> String {
        let place = self.world.path().join("place");
        let script = format!("exec 2>&1\n{command}\nended=$?\npwd > '{}'\nexit $ended", place.display());
        let mut shell: Command = self.world.command_alone("/bin/sh");
        let tools = Path::new(env!("CARGO_BIN_EXE_vrift")).parent().unwrap();
        let path = std::env::join_paths(
            std::iter::once(tools.to_path_buf())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        // as it is without any setting of ours
        shell.env("PATH", path.unwrap()).env_remove("VRIFT_STORE").env_remove("VRIFT_GC_AUTO");
        shell.env("VRIFT_SOURCE", env!("CARGO_MANIFEST_DIR")).current_dir(&self.at);
        let output = shell.args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {:?}\n{said}", output.status);
        self.at = std::fs::read_to_string(place).unwrap().trim_end().into();
        said
    }
}

fn source(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn has_tools() -> bool {
    let found = ["make", "cc", "git"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
    if !found {
        support::skipped("make, cc or git is missing");
    }
    found
}

#[test]
fn the_tutorial_is_true() {
    needs_sessions!();
    if !has_tools() {
        return;
    }
    let world = World::new();
    let mut shell = Shell { world: &world, at: world.path().to_path_buf() };
    let commands = typed(&source("docs/tutorial.md"), "```console");
    assert!(commands.len() > 20);
    for Typed { command, prints } in commands {
        let said = shell.types(&command);
        let lines: Vec<&str> = said.lines().collect();
        let fits = lines.len() == prints.len()
            && lines.iter().zip(&prints).all(|(line, written)| is_as_written(line, written));
        assert!(fits, "$ {command}\nprints\n{said}\nand is to print\n{}", prints.join("\n"));
    }
}

#[test]
fn the_readmes_first_example_is_true() {
    needs_sessions!();
    if !has_tools() {
        return;
    }
    let world = World::new();
    let mut shell = Shell { world: &world, at: world.path().to_path_buf() };
    shell.types("mkdir examples && cp -r \"$VRIFT_SOURCE/examples/hello\" examples/hello");
    let commands = typed(&source("README.md"), "```");
    assert!(commands.len() >= 5);
    for Typed { command, .. } in commands {
        let (command, comment) = command.split_once('#').unwrap_or((&command, ""));
        let said = shell.types(command);
        let last = said.lines().last().unwrap_or("").trim();
        match comment.trim() {
            "hello, world" => assert_eq!(last, "hello, world"),
            "make: 'hello' is up to date." => assert_eq!(last, "make: 'hello' is up to date."),
            _ => {}
        }
        if command.trim() == "ls" {
            assert!(!said.contains("main.o"), "{said}");
        }
    }
}

#[test]
fn what_troubleshooting_explains_is_said() {
    let said = source("tests/golden/mistakes.txt");
    let text = source("docs/troubleshooting.md");
    let messages: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(messages.len() > 8);
    for message in messages {
        assert!(said.lines().any(|line| is_as_written(line, message)), "{message}");
    }
}

/// The book has every page, and every page's links lead somewhere.
#[test]
fn the_book_is_whole() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = source("docs/SUMMARY.md");
    let pages = std::fs::read_dir(&docs).unwrap().flatten().map(|entry| entry.path());
    for page in pages.filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in the book");
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let is_here = file.is_empty() || file.contains("://") || docs.join(file).exists();
            assert!(is_here, "{name}: {target} leads nowhere");
        }
    }
}

#[test]
fn three_dots_stand_for_anything() {
    assert!(is_as_written("taken in 3 files, 4 B new", "taken in … files, … new"));
    assert!(!is_as_written("taken in 3 files, 4 B", "taken in … files, … new"));
    assert!(!is_as_written("hello", "hell"));
    assert!(is_as_written("a", "…") && is_as_written("", "…"));
}
