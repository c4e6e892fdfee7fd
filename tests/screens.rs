//! What somebody at a terminal sees: the next step, what a run says of itself, bars, colours, the
//! pager.

mod support;
#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use std::process::Command;

use support::World;
use terminal::Terminal;

/// vrift as it is typed, on a terminal to come.
fn typed(world: &World, words: &[&str]) -> Command {
    let mut command = world.command_alone(env!("CARGO_BIN_EXE_vrift"));
    command.args(words);
    command
}

/// What a finished command on a terminal of its own wrote there, and its status.
fn shown(mut command: Command) -> (String, i32) {
    let terminal = Terminal::start(&mut command);
    terminal.wait_for_all()
}

/// A project of so many files of 1000 bytes, no two the same.
fn files(count: usize) -> World {
    let world = World::new();
    for number in 0..count {
        world.write(&format!("d{}/f{number}", number % 7), format!("{number:01000}"));
    }
    world
}

/// The host changes them all.
fn edit_all(world: &World, count: usize) {
    world.edit("d0/f0", "new 0");
    for number in 1..count {
        world.write(&format!("d{}/f{number}", number % 7), format!("new {number}"));
    }
}

#[test]
fn vrift_alone_explains_the_next_step() {
    let world = World::new();
    world.write("Makefile", "all:\n\ttrue\n");
    let alone = || world.vrift().output().unwrap();
    let said = || String::from_utf8(alone().stdout).unwrap();
    // where it can be a project, with what builds it
    assert!(said().contains("is no project of vrift's yet"), "{}", said());
    assert!(said().contains("vrift exec make "), "{}", said());
    assert!(!world.store.exists(), "nothing is made");
    // where it cannot
    let at_home = world.vrift().current_dir(&world.home).output().unwrap();
    let at_home = String::from_utf8(at_home.stdout).unwrap();
    assert!(at_home.contains("it is your home directory"), "{at_home}");
    assert!(at_home.contains("cd your-project"), "{at_home}");
}

#[test]
fn vrift_alone_says_what_waits_in_a_project() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let said = || world.run::<&str>([]).ok();
    assert!(said().contains("it is as the directory was"), "{}", said());
    assert!(!said().contains("vrift apply"), "{}", said());
    world.sh("echo x > new").ok();
    assert!(said().contains("it differs from the directory"), "{}", said());
    assert!(said().contains("vrift apply") && said().contains("vrift undo"), "{}", said());
    // inside of one
    let inside = world.sh(env!("CARGO_BIN_EXE_vrift")).ok();
    assert!(inside.contains("This is inside a run of workspace main"), "{inside}");
    // both sides change a line
    world.write("new", "y\n");
    world.run(["sync"]).ok();
    assert!(said().contains("1 open conflict") && said().contains("vrift resolve"), "{}", said());
}

#[test]
fn a_run_says_one_line_and_the_first_one_what_it_took_in() {
    needs_sessions!();
    let world = files(20);
    let first = world.sh("echo hello > made; echo hello > twin").stderr();
    let taken = first.lines().find(|line| line.contains("taken in")).expect("what was taken in");
    assert!(taken.starts_with("vrift: taken in 20 files in "), "{first}");
    assert!(taken.ends_with("20.0 kB new to the store"), "{first}");
    let end = first.lines().last().unwrap();
    assert!(end.starts_with("vrift: 2 files written (6 B new) to workspace main in "), "{first}");
    // nothing to say
    assert_eq!(world.exec(["cat", "made"]).stderr(), "");
    // not to be said
    let quiet = world.run(["-q", "exec", "--", "sh", "-c", "echo more > made"]);
    assert_eq!((quiet.code(), quiet.stderr().as_str()), (0, ""));
}

#[test]
fn what_takes_long_has_a_bar_with_what_is_left() {
    needs_sessions!();
    let world = files(24);
    let slow = |words: &[&str], place: &str| {
        let mut command = typed(&world, words);
        command.env("VRIFT_FAILPOINT", format!("{place}:*=pause"));
        command
    };
    let bar = |command: Command, what: &str| {
        let (said, status) = shown(command);
        assert_eq!(status, 0, "{said}");
        let line = said.split(['\r', '\n']).rfind(|line| line.contains(what) && line.contains(" left"));
        let line = line.unwrap_or_else(|| panic!("no bar in {said:?}"));
        assert!(line.contains(" files/s"), "{line:?}");
        assert!(line.contains(" of "), "{line:?}");
        said
    };
    bar(slow(&["exec", "--", "true"], "object.link"), "taking in");
    let write = "for i in $(seq 24); do echo $i > n$i; done";
    bar(slow(&["exec", "--", "sh", "-c", write], "object.link"), "taking in");
    let dest = world.path().join("out");
    bar(slow(&["export", "main", dest.to_str().unwrap()], "copy.file"), "exporting");
    bar(slow(&["apply"], "copy.file"), "writing");
    edit_all(&world, 24);
    bar(slow(&["sync"], "object.link"), "taking in");
}

#[test]
fn a_collection_has_a_bar() {
    let world = files(14);
    world.run(["sync"]).ok();
    world.run(["project", "forget", "."]).ok();
    let mut gc = typed(&world, &["gc", "--grace", "0"]);
    gc.env("VRIFT_FAILPOINT", "gc.object:*=pause");
    let (said, status) = shown(gc);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("removing [") && said.contains(" of 14 files"), "{said:?}");
}

#[test]
fn a_bar_is_for_terminals_and_for_what_takes_long() {
    needs_sessions!();
    let world = files(10);
    let (said, _) = shown(typed(&world, &["sync"]));
    assert!(!said.contains("taking in"), "{said:?}");
    edit_all(&world, 24);
    let mut slow = world.vrift();
    slow.arg("sync").env("VRIFT_FAILPOINT", "object.link:*=pause");
    let said = String::from_utf8(slow.output().unwrap().stderr).unwrap();
    assert!(!said.contains("taking in") && !said.contains('\r'), "{said:?}");
}

#[test]
fn an_interrupt_while_a_bar_is_drawn_loses_nothing() {
    needs_sessions!();
    let world = files(24);
    world.exec(["true"]).ok();
    edit_all(&world, 24);
    let mut command = typed(&world, &["sync"]);
    command.env("VRIFT_FAILPOINT", "object.link:*=pause");
    let mut terminal = Terminal::start(&mut command);
    terminal.expect("taking in");
    terminal.send("\x03");
    let (_, status) = terminal.wait_for_all();
    assert_ne!(status, 0);
    assert!(world.run(["verify", "--deep"]).stderr().contains("all is well"));
    assert_eq!(world.exec(["cat", "d3/f3"]).ok(), "new 3");
}

/// A pager that says how much it got, and is told from a terminal's own output.
const COUNTING: &str = "echo paged $(wc -l) lines";

#[test]
fn what_is_long_goes_through_a_pager_and_what_is_short_does_not() {
    needs_sessions!();
    let world = files(3);
    world.sh("for i in $(seq 60); do echo $i > n$i; done").ok();
    let diff = |pager: &str, name: &str| {
        let mut command = typed(&world, &["diff", "--name-status"]);
        command.env(name, pager);
        shown(command)
    };
    let (said, status) = diff(COUNTING, "VRIFT_PAGER");
    assert_eq!((said.trim(), status), ("paged 60 lines", 0));
    assert!(diff(COUNTING, "PAGER").0.contains("paged 60 lines"));
    for none in ["", "cat"] {
        assert_eq!(diff(none, "VRIFT_PAGER").0.lines().count(), 60);
    }
    // the reader has seen enough
    assert_eq!(diff("head -n 1", "VRIFT_PAGER").1, 0);
    // short
    let mut short = typed(&world, &["workspace", "list"]);
    short.env("VRIFT_PAGER", COUNTING);
    assert!(!shown(short).0.contains("paged"));
    // no terminal
    let mut piped = world.vrift();
    piped.args(["diff", "--name-status"]).env("VRIFT_PAGER", COUNTING);
    assert_eq!(String::from_utf8(piped.output().unwrap().stdout).unwrap().lines().count(), 60);
}

#[test]
fn less_is_the_pager_and_an_interrupt_is_its_own() {
    needs_sessions!();
    if Command::new("less").arg("--version").output().is_err() {
        return support::skipped("no less");
    }
    let world = files(3);
    world.sh("for i in $(seq 60); do echo $i > n$i; done").ok();
    let mut diff = typed(&world, &["diff", "--name-status"]);
    let mut terminal = Terminal::start(&mut diff);
    terminal.expect("n10");
    terminal.expect(":");
    terminal.send("\x03");
    terminal.expect(":"); // what is typed before the signal is dealt with is thrown away
    terminal.send("G");
    terminal.expect("n9");
    terminal.send("q");
    assert_eq!(terminal.wait_for_all().1, 0);
}

#[test]
fn colours_are_for_terminals_and_can_be_switched() {
    needs_sessions!();
    let world = files(2);
    world.sh("echo x > new; rm d0/f0").ok();
    let verbs: [&[&str]; 5] = [&["status"], &["diff"], &["runs"], &["workspace", "list"], &["stats"]];
    for verb in verbs {
        let (on_terminal, _) = shown(typed(&world, verb));
        assert!(on_terminal.contains("\x1b["), "{verb:?}: {on_terminal:?}");
        let mut without = typed(&world, verb);
        without.env("NO_COLOR", "1");
        assert!(!shown(without).0.contains("\x1b["), "{verb:?}");
        assert!(!world.run(verb).ok().contains('\x1b'), "{verb:?}");
        let always: Vec<&str> = verb.iter().copied().chain(["--color", "always"]).collect();
        assert!(world.run(&always).ok().contains("\x1b["), "{verb:?}");
    }
}
