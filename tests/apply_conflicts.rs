//! An apply of what the host has changed as well.

#[allow(dead_code)]
#[path = "support/applied.rs"]
mod applied;
mod support;
#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use applied::{clean, clean_but_for_new, no_temporaries, torn};
use support::{World, listing};
use terminal::Terminal;

#[test]
fn a_path_the_host_changed_stops_everything() {
    needs_sessions!();
    let world = torn();
    let before = listing(&world.project);
    let error = world.run(["apply"]).fails(1);
    assert!(error.contains("`both` was changed on the host") && error.contains("`list`"), "{error}");
    assert!(error.contains("nothing was written") && error.contains("--on-conflict"), "{error}");
    assert_eq!(listing(&world.project), before);
    // by lines one of them merges, the other does not
    let error = world.run(["apply", "--on-conflict", "merge"]).fails(1);
    assert!(
        error.contains("`both` was changed on the host, and does not merge") && !error.contains("`list`"),
        "{error}"
    );
    assert_eq!(listing(&world.project), before);
    no_temporaries(&world);
    world.run(["apply", "--on-conflict", "merge", "list", "mine"]).ok();
    assert_eq!(world.read("list"), "one\n2\n3\n4\nfive\n");
    assert_eq!(world.run(["exec", "--no-sync", "cat", "list"]).ok(), "one\n2\n3\n4\nfive\n");
    // touched by the host, and the same
    let world = World::new();
    world.write("a", "1");
    world.sh("echo 2 > a; mkdir n; echo n > n/f").ok();
    world.edit("a", "2\n");
    world.write("n/f", "n\n");
    world.run(["apply"]).ok();
    assert_eq!(world.read("a"), "2\n");
}

#[test]
fn every_way_of_deciding_a_conflict() {
    needs_sessions!();
    let world = torn();
    world.run(["apply", "--on-conflict", "keep-host"]).ok();
    assert_eq!((world.read("both"), world.read("mine")), ("host\n".into(), "ws\n".into()));
    assert!(!world.project.join("gone").exists());
    // it is still a conflict for the next sync
    assert!(world.exec(["cat", "both"]).stderr().contains("`both` was changed on the host"));

    let world = torn();
    world.run(["apply", "--on-conflict", "overwrite"]).ok();
    assert_eq!((world.read("both"), world.read("list")), ("ws\n".into(), "one\n2\n3\n4\n5\n".into()));
    clean(&world);

    let world = torn();
    world.write("both.main", "taken");
    world.run(["apply", "--on-conflict", "both"]).ok();
    assert_eq!((world.read("both"), world.read("both.main-2")), ("host\n".into(), "ws\n".into()));
    assert_eq!(world.read("list.main"), "one\n2\n3\n4\n5\n");
    assert_eq!(world.run(["exec", "--no-sync", "cat", "both", "both.main-2"]).ok(), "host\nws\n");
    clean_but_for_new(&world);
}

#[test]
fn each_path_is_asked_for_on_a_terminal() {
    needs_sessions!();
    let world = torn();
    let error = world.run(["apply", "-i"]).fails(1);
    assert!(error.contains("no terminal"), "{error}");
    let mut terminal = Terminal::start(world.vrift().args(["apply", "-i"]));
    for (question, answer) in
        [("D d/", "y"), ("D d/f", "y"), ("D gone", "n"), ("M mine", "d"), ("+ws", ""), ("write it?", "y")]
    {
        terminal.expect(question);
        terminal.line(answer);
    }
    terminal.expect("`both` was changed on the host");
    terminal.line("o");
    terminal.expect("`list` was changed on the host");
    terminal.line("m");
    assert!(terminal.wait().success());
    assert_eq!(
        (world.read("both"), world.read("mine"), world.read("gone")),
        ("ws\n".into(), "ws\n".into(), "old\n".into())
    );
    assert_eq!(world.read("list"), "one\n2\n3\n4\nfive\n");
    assert!(!world.project.join("d").exists());
}
