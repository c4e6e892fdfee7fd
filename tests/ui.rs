//! `vrift ui` on a pseudo-terminal: what is on the screen, and what keys do to the project.

#[path = "support/screen.rs"]
mod screen;
mod support;
#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use std::time::{Duration, Instant};

use screen::Screen;
use support::World;
use terminal::Terminal;

const HEIGHT: u16 = 24;
const WIDTH: u16 = 90;

/// The view in a world, and its terminal.
struct View(Terminal, (u16, u16));

impl View {
    fn open(world: &World, words: &[&str]) -> Self {
        let mut command = world.command_alone(env!("CARGO_BIN_EXE_vrift"));
        command.arg("ui").args(words);
        let terminal = Terminal::start(&mut command);
        terminal.resize(HEIGHT, WIDTH);
        Self(terminal, (HEIGHT, WIDTH))
    }

    fn text(&self) -> String {
        Screen::after(&self.0.all(), self.1.0.into(), self.1.1.into()).text()
    }

    /// Waits until the screen shows it.
    #[track_caller]
    fn sees(&self, text: &str) {
        let began = Instant::now();
        while !self.text().contains(text) {
            assert!(began.elapsed() < Duration::from_secs(20), "no {text:?} on\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn keys(&mut self, keys: &str) {
        self.0.send(keys);
    }

    /// Ended: its terminal is as before.
    #[track_caller]
    fn ends(self, wanted: i32) {
        let (all, status) = self.0.wait_for_all();
        assert_eq!(status, wanted, "{all:?}");
        let last = all.rfind("\x1b[?1049l").expect("the other screen is back");
        assert!(all.rfind("\x1b[?1049h").is_some_and(|first| first < last));
        assert!(all.rfind("\x1b[?25h") > all.rfind("\x1b[?25l"), "the cursor is shown");
    }
}

fn world() -> World {
    let world = World::new();
    world.write("greet.c", "one\ntwo\n");
    world.write("gone.c", "gone\n");
    world.exec(["sh", "-c", "echo three >> greet.c; rm gone.c; echo new > made.c"]).ok();
    world.run(["fork", "feature"]).ok();
    world.exec(["true"]).ok();
    world
}

#[test]
fn it_shows_workspaces_changes_and_runs_and_a_diff_on_enter() {
    needs_sessions!();
    let world = world();
    let mut view = View::open(&world, &[]);
    view.sees("q end");
    let text = view.text();
    for wanted in [
        "workspaces (2)",
        "changes (3)",
        "runs (",
        "main",
        "feature",
        "M greet.c",
        "D gone.c",
        "A made.c",
        "exit 0",
    ] {
        assert!(text.contains(wanted), "{wanted} on\n{text}");
    }
    view.keys("jj\x1b[A\x1b[A\r"); // D, A, M by name order: the first
    view.sees("q back");
    view.keys("q");
    view.sees("q end");
    view.keys("gG\x1b[H");
    for _ in 0..3 {
        if view.text().contains("+three") {
            break;
        }
        view.keys("\r");
        view.sees("q back");
        if view.text().contains("+three") {
            break;
        }
        view.keys("qj");
        view.sees("q end");
    }
    view.sees("+three");
    view.keys("q");
    view.sees("q end");
    view.keys("q");
    view.ends(0);
}

#[test]
fn it_applies_and_discards_only_when_asked_twice() {
    needs_sessions!();
    let world = world();
    let mut view = View::open(&world, &[]);
    view.sees("A made.c");
    // the workspace as a whole, from its pane
    view.keys("\x1b[Za");
    view.sees("all 3 changes of main?");
    view.keys("n");
    view.sees("nothing was done");
    assert!(!world.project.join("made.c").exists());
    // one path
    view.keys("\t");
    for _ in 0..3 {
        view.keys("a");
        view.sees("[y]es");
        if view.text().contains("directory: made.c?") {
            break;
        }
        view.keys("n");
        view.sees("nothing was done");
        view.keys("j");
        view.sees("q end");
    }
    view.keys("y");
    view.sees("1 path written");
    assert_eq!(world.read("made.c"), "new\n");
    assert!(world.project.join("gone.c").exists());
    view.sees("changes (2)");
    view.keys("\x1b[Zd");
    view.sees("all 2 changes of main?");
    view.keys("y");
    view.sees("2 paths discarded");
    view.sees("changes (0)");
    view.keys("q");
    view.ends(0);
    assert_eq!(world.read("greet.c"), "one\ntwo\n");
    assert_eq!(world.exec(["cat", "greet.c", "gone.c"]).ok(), "one\ntwo\ngone\n");
    world.run(["undo"]).ok();
    assert_eq!(world.exec(["--", "tail", "-n1", "greet.c"].iter().skip(1)).ok(), "three\n");
}

#[test]
fn what_the_host_would_run_by_itself_is_named_before() {
    needs_sessions!();
    let world = World::new();
    world.sh("printf '#!/bin/sh\\n' > tool; chmod +x tool; echo x > plain").ok();
    let mut view = View::open(&world, &[]);
    view.sees("changes (2)");
    view.keys("\x1b[Za");
    view.sees("all 2 changes of main?");
    view.sees("tool (a new executable)");
    view.keys("y");
    view.sees("2 paths written");
    view.keys("q");
    view.ends(0);
}

#[test]
fn it_fits_any_size_and_follows_what_others_do() {
    needs_sessions!();
    let world = world();
    let mut view = View::open(&world, &["-w", "feature"]);
    view.sees("workspace feature");
    for (height, width) in [(8, 40), (1, 1), (3, 10), (50, 200), (24, 90)] {
        view.0.resize(height, width);
        view.1 = (height, width);
        std::thread::sleep(Duration::from_millis(150));
    }
    view.sees("workspaces (2)");
    view.0.resize(10, 50);
    view.1 = (10, 50);
    view.sees("changes (3)");
    view.keys("\t");
    view.sees("runs (");
    world.run(["exec", "-w", "feature", "--", "sh", "-c", "echo later > later.c"]).ok();
    view.keys("\x1b[Z");
    view.sees("A later.c");
    view.keys("\x03");
    view.ends(0);
}

#[test]
fn hostile_names_and_texts_do_nothing_to_the_terminal() {
    needs_sessions!();
    let world = World::new();
    world.write("x", "x\n");
    let script = r#"printf 'a\033]0;owned\007b\033[2Jc\n' > "$(printf 'n\033]0;owned\007\nm')"; : > "$(printf 'bad\377')""#;
    world.sh(script).ok();
    let mut view = View::open(&world, &[]);
    view.sees("changes (2)");
    view.sees("bad\\xff");
    for keys in ["\r", "qj", "\r", "q"] {
        view.keys(keys);
        std::thread::sleep(Duration::from_millis(200));
    }
    view.sees("q end");
    assert!(!view.0.all().contains("\x1b]0;owned"));
    view.keys("q");
    view.ends(0);
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    needs_sessions!();
    let world = world();
    for signal in [nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGINT] {
        let view = View::open(&world, &[]);
        view.sees("q end");
        let id = nix::unistd::Pid::from_raw(view.0.child.id().try_into().unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
        view.ends(0);
    }
    let refused = world.run(["ui"]);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr().contains("ui needs a terminal"), "{}", refused.stderr());
}

/// A page of what is typed and what is shown then.
struct Page {
    text: String,
    world: World,
}

impl Page {
    fn typed(&mut self, about: &str, lines: &[&[&str]]) {
        self.text += &format!("## {about}\n\n```text\n");
        for words in lines {
            let ran = self.world.run(*words);
            let quoted = words.iter().map(|word| match word.contains([' ', '>']) {
                true => format!("'{word}'"),
                false => (*word).to_string(),
            });
            let line: Vec<String> = std::iter::once("vrift".to_string()).chain(quoted).collect();
            self.text += &format!("$ {}\n", line.join(" "));
            let said = ran.stdout() + &ran.stderr();
            self.text += &self.steady(&said);
        }
        self.text += "```\n\n";
    }

    /// Without what differs from time to time, as wide as it was.
    fn steady(&self, said: &str) -> String {
        let top = self.world.path().display().to_string();
        let said = said.replace(&format!("{top}/project"), "/home/me/hello").replace(&top, "/home/me");
        said.lines().map(|line| steady_line(line) + "\n").collect()
    }
}

/// Digests, durations, ages and sizes on disk are made the same.
fn steady_line(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut out: Vec<char> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let word: String = chars[at..].iter().take_while(|c| !c.is_whitespace()).collect();
        let begins = at == 0 || chars[at - 1].is_whitespace();
        let word = word.trim_end_matches([':', ',', ';']).to_string();
        let is_digest = word.len() >= 10 && word.chars().all(|c| c.is_ascii_hexdigit());
        let rest: String = chars[at..].iter().collect();
        let is_time = |unit: &str| {
            word.chars().all(|c| c.is_ascii_digit() || c == '.')
                && !word.is_empty()
                && rest[word.len()..]
                    .strip_prefix(unit)
                    .is_some_and(|after| !after.starts_with(char::is_alphanumeric))
        };
        if begins && is_digest {
            out.extend("0123456789abcdef".chars().cycle().take(word.len()));
            at += word.len();
        } else if begins && (is_time(" ms") || is_time(" s")) {
            let unit = if is_time(" ms") { 3 } else { 2 };
            let is_age = rest[word.len() + unit..].starts_with(" ago");
            let (new, old) = (if is_age { "1 s" } else { "2 ms" }, word.len() + unit);
            let blanks = out.iter().rev().take_while(|c| **c == ' ').count();
            if blanks > 1 {
                // in a column: its end stays where it is
                out.truncate(out.len() - blanks);
                out.extend(std::iter::repeat_n(' ', (blanks + old).saturating_sub(new.len())));
            }
            out.extend(new.chars());
            at += old;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out.into_iter().collect()
}

#[test]
fn the_page_of_screens_is_what_is_shown() {
    needs_sessions!();
    let world = World::new();
    world.write("Makefile", "hello: hello.c\n\tcp hello.c hello\n");
    world.write("hello.c", "int main(void) { return 0; }\n");
    let mut page = Page { text: String::new(), world };
    page.text += "# Screens\n\nWhat vrift shows, from the first command on. The page is made by a test (`tests/ui.rs`); times and digests are made the same.\n\n";
    page.typed("In a directory that vrift does not know", &[&[]]);
    page.typed("The first run, and the next", &[&["exec", "make"], &["exec", "make"]]);
    page.typed("What the workspace has", &[&["status"], &["diff", "--stat"], &["diff"]]);
    page.typed("What waits", &[&[]]);
    page.typed(
        "Sealed, forked, changed",
        &[
            &["commit", "-m", "it builds"],
            &["fork", "shorter"],
            &["exec", "-w", "shorter", "--", "sh", "-c", "echo 'int main(void) {}' > hello.c && make"],
            &["workspace", "list"],
            &["diff", "--name-status", "main", "shorter"],
            &["log"],
        ],
    );
    page.world.run(["exec", "--", "sh", "-c", "echo '// inside' >> hello.c"]).ok();
    page.world.edit("hello.c", "int main(void) { return 0; }\n// outside\n");
    page.typed("Both sides changed a line", &[&["sync"], &["status"], &["resolve", "--workspace"]]);
    page.typed("What has run", &[&["runs"]]);
    page.typed("Written to the directory", &[&["apply", "--dry-run"], &["apply"]]);
    page.world.sh("echo more >> notes").ok();
    page.world.sh("echo '// later' >> hello.c").ok();
    let mut view = View::open(&page.world, &[]);
    view.sees("changes (2)");
    let whole = view.text();
    view.keys("g\r");
    view.sees("+// later");
    let diff = view.text();
    view.keys("qq");
    view.ends(0);
    for (about, text) in [("vrift ui", whole), ("vrift ui, enter on a change", diff)] {
        page.text += &format!("## {about}\n\n```text\n{}```\n\n", page.steady(&text));
    }
    page.text += "## vrift stats --html\n\nOne page, nothing to fetch; it follows what the browser is set to.\n\n\
        ![light](img/stats-light.png)\n\n![dark](img/stats-dark.png)\n";
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screens.md");
    let text = page.text.trim_end().to_string() + "\n";
    if std::env::var_os("VRIFT_BLESS").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
    let first = text.lines().zip(wanted.lines()).find(|(is, was)| is != was);
    assert!(
        text == wanted,
        "docs/screens.md is another one, first at {first:?}: VRIFT_BLESS=1 cargo test --test ui"
    );
}
