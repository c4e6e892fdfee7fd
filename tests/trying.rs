//! `vrift try` asks on a terminal what becomes of what the command did.

mod support;
#[allow(dead_code)]
#[path = "support/terminal.rs"]
mod terminal;

use support::World;
use terminal::Terminal;

const QUESTION: &str = "[a]pply it to the directory, [k]eep it as a workspace, or [d]rop it?";

fn begun() -> World {
    let world = World::new();
    world.write("a", "1\n");
    world.exec(["true"]).ok();
    world
}

/// A command that writes is tried, and the answers are given; its status.
fn tried(world: &World, script: &str, answers: &[(&str, &str)]) -> Option<i32> {
    let mut terminal = Terminal::start(world.vrift().args(["try", "sh", "-c", script]));
    for (question, answer) in answers {
        terminal.expect(question);
        terminal.line(answer);
    }
    terminal.wait().code()
}

fn workspaces(world: &World) -> Vec<String> {
    let list: serde_json::Value =
        serde_json::from_str(&world.run(["workspace", "list", "--json"]).ok()).unwrap();
    let name = |row: &serde_json::Value| row["name"].as_str().unwrap().to_string();
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn what_is_answered_is_done() {
    needs_sessions!();
    let world = begun();
    // dropped, by name and by an empty answer; the command's status stays
    for answer in ["d", "drop", ""] {
        assert_eq!(tried(&world, "echo 2 > a; exit 3", &[(QUESTION, answer)]), Some(3));
    }
    assert_eq!((world.read("a"), workspaces(&world)), ("1\n".into(), vec!["main".into()]));
    // something else is asked again, and a name that cannot be
    let answers = [
        (QUESTION, "what"),
        (QUESTION, "k"),
        ("its name:", "main"),
        (QUESTION, "keep"),
        ("its name:", "kept"),
    ];
    assert_eq!(tried(&world, "echo 2 > a", &answers), Some(0));
    assert_eq!(world.run(["exec", "-w", "kept", "cat", "a"]).ok(), "2\n");
    assert_eq!((world.read("a"), workspaces(&world).len()), ("1\n".into(), 2));
    assert_eq!(tried(&world, "echo 3 > a; echo n > n", &[(QUESTION, "a")]), Some(0));
    assert_eq!((world.read("a"), world.read("n")), ("3\n".into(), "n\n".into()));
    assert_eq!(workspaces(&world).len(), 2);
    // applied although it failed: that was the answer
    assert_eq!(tried(&world, "echo 4 > a; exit 5", &[(QUESTION, "apply")]), Some(5));
    assert_eq!(world.read("a"), "4\n");
    // what cannot be applied is kept
    let flag = world.path().join("go");
    let script =
        format!("echo 5 > a; : > {0}.ready; while [ ! -e {0} ]; do sleep 0.01; done", flag.display());
    let mut terminal = Terminal::start(world.vrift().args(["try", "sh", "-c", &script]));
    while !world.path().join("go.ready").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    world.edit("a", "host\n");
    std::fs::write(&flag, "").unwrap();
    terminal.expect(QUESTION);
    terminal.line("a");
    terminal.expect("what it did is kept as workspace try-");
    assert_eq!(terminal.wait().code(), Some(125));
    assert_eq!((world.read("a"), workspaces(&world).len()), ("host\n".into(), 3));
}

#[test]
fn where_nothing_was_changed_nothing_is_asked() {
    needs_sessions!();
    let world = begun();
    let terminal = Terminal::start(world.vrift().args(["try", "true"]));
    terminal.expect("nothing was changed");
    assert_eq!(terminal.wait().code(), Some(0));
    assert_eq!(workspaces(&world), ["main"]);
}
