//! A scripted day: an editor on the host saves, builds run inside and on the host, both
//! touch `target/`, two terminals are open. After ten rounds the workspace is what a bare
//! copy is in which the same was done, and the directory what only the host did.

mod support;
#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::World;
use terminal::Terminal;

const MAKEFILE: &str = "\
objects := $(patsubst src/%.c,target/%.o,$(sort $(wildcard src/*.c)))
target/all: $(objects)
\tcat $(objects) > $@
target/%.o: src/%.c
\ttr a-z A-Z < $< > $@
";

/// The directories that live through the day.
struct Day {
    world: World,
    /// Where the host's and the workspace's work are done in one directory.
    bare: PathBuf,
    /// Where the host's alone is done.
    host_only: PathBuf,
}

impl Day {
    fn begin() -> Self {
        let world = World::new();
        world.write("Makefile", MAKEFILE);
        world.write(".gitignore", "/target/\n");
        for name in ["one", "two", "three"] {
            world.write(&format!("src/{name}.c"), format!("{name} of round 0\n"));
        }
        world.write("target/from-before", "built on the host, before vrift\n");
        let [bare, host_only] = ["bare", "host-only"].map(|name| {
            let copy = world.path().join(name);
            let copied = Command::new("cp").arg("-a").arg(&world.project).arg(&copy).status().unwrap();
            assert!(copied.success());
            copy
        });
        Self { world, bare, host_only }
    }

    /// What the user does on the host, in all three.
    fn on_host(&self, work: impl Fn(&Path)) {
        // after what was built in the same clock tick
        std::thread::sleep(Duration::from_millis(20));
        [&self.world.project, &self.bare, &self.host_only].into_iter().for_each(|dir| work(dir));
    }

    /// What is done in a terminal, in the bare copy.
    fn in_bare(&self, script: &str) {
        let mut bash = Command::new("bash");
        bash.args(["-c", script]).current_dir(&self.bare).env_clear();
        let done = bash.env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null()).status();
        assert!(done.unwrap().success(), "{script}");
    }

    fn terminal(&self) -> Terminal {
        let mut enter = self.world.command_alone(env!("CARGO_BIN_EXE_vrift"));
        let terminal = Terminal::start(enter.arg("enter").env("SHELL", "/bin/bash"));
        terminal.expect("(vrift:main) ready> ");
        terminal
    }
}

/// As vim saves: the old file becomes a backup, a new one is written, the backup goes.
fn save_as_vim(file: &Path, text: &str) {
    let backup = file.with_extension("c~");
    fs::rename(file, &backup).unwrap();
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::metadata(&backup).unwrap().permissions()).unwrap();
    fs::remove_file(backup).unwrap();
}

/// As VS Code saves: in place.
fn save_in_place(file: &Path, text: &str) {
    fs::File::options().write(true).truncate(true).open(file).unwrap();
    fs::write(file, text).unwrap();
}

/// As many others save: a whole new file is renamed over the old one.
fn save_by_rename(file: &Path, text: &str) {
    let new = file.with_file_name(".new.swp");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// Types a command and waits until it has ended well.
fn type_in(terminal: &mut Terminal, round: u32, script: &str) {
    terminal.line(&format!("{script} && echo do''ne-{round}"));
    terminal.expect(&format!("done-{round}"));
    terminal.expect("ready> ");
}

/// Names, kinds, modes and contents; not the times, which no two builds have alike.
fn contents(root: &Path) -> Vec<String> {
    let lines = support::listing(root).into_iter();
    let inner = lines.filter(|line| !line.starts_with("\"\" ") && !line.starts_with("\".git"));
    inner
        .map(|line| {
            line.split(' ')
                .enumerate()
                .filter(|(at, _)| *at != 2)
                .map(|(_, word)| word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[test]
fn ten_rounds_are_what_they_are_in_a_bare_copy() {
    needs_sessions!();
    for program in ["make", "bash"] {
        if !Command::new(program).arg("--version").output().is_ok_and(|ran| ran.status.success()) {
            return eprintln!("skipped: no {program}");
        }
    }
    let day = Day::begin();
    day.world.write("../home/.bashrc", "PS1='ready> '\n");
    for round in 1..=10 {
        day.on_host(|dir| {
            save_as_vim(&dir.join("src/one.c"), &format!("one of round {round}\n"));
            if round % 2 == 0 {
                save_in_place(&dir.join("src/two.c"), &format!("two of round {round}\n"));
            }
        });
        let mut first = day.terminal();
        let mut second = day.terminal();
        let build = format!("make > target/log.{round}");
        type_in(&mut first, round, &build);
        day.in_bare(&build);
        // Beside it, in the other terminal: the source, the build's directory, and what was built.
        let work = format!(
            "mkdir -p target/second && cp target/all target/second/{round} && echo {round} >> notes && \
             touch target/second/.stamp && rm -f target/second/{}",
            round.max(3) - 3
        );
        type_in(&mut second, round, &work);
        day.in_bare(&work);
        // The host goes on while both are open, in the build's directory too.
        day.on_host(|dir| {
            save_by_rename(&dir.join("src/three.c"), &format!("three of round {round}\n"));
            fs::write(dir.join(format!("src/added{round}.c")), "added\n").unwrap();
            if round > 2 {
                fs::remove_file(dir.join(format!("src/added{}.c", round - 2))).unwrap();
            }
            if round == 4 {
                fs::rename(dir.join("src/two.c"), dir.join("src/zwei.c")).unwrap();
                fs::write(dir.join("src/two.c"), "two again\n").unwrap();
            }
        });
        for dir in [&day.world.project, &day.host_only] {
            let made = Command::new("make").arg("-s").current_dir(dir).status().unwrap();
            assert!(made.success());
        }
        // One terminal is left, or its window closed; the other is the last.
        if round == 5 {
            first.hang_up();
        } else {
            first.line("exit");
        }
        first.wait();
        type_in(&mut second, round + 100, "make > target/second/log");
        day.in_bare("true");
        let same = format!("cat src/one.c notes > target/second/last.{round}");
        type_in(&mut second, round + 200, &same);
        day.in_bare(&same);
        second.line("exit");
        assert!(second.wait().success());
    }
    // The other terminal's second build saw the sources as the session began with them.
    day.in_bare("rm -f target/second/log");
    let copy = day.world.path().join("copy");
    day.world.sh(&format!("rm target/second/log; cp -a . {}", copy.display())).ok();
    assert_eq!(contents(&copy), contents(&day.bare));
    assert_eq!(contents(&day.world.project), contents(&day.host_only), "the host has the host's alone");
    let status = day.world.run(["status"]).ok();
    assert!(!status.contains("conflict"), "{status}");
    assert!(day.world.staging().is_empty());
}
