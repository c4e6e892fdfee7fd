//! Merging forks, and trying commands out.

mod support;

use support::{Ran, World};

fn sh_in(world: &World, workspace: &str, script: &str) -> Ran {
    world.run(["exec", "-w", workspace, "--", "sh", "-c", script])
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn begun() -> World {
    let world = World::new();
    world.write("a.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    world.write("b.txt", "b\n");
    world.exec(["true"]).ok();
    world.run(["fork", "f"]).ok();
    world
}

#[test]
fn a_merge_brings_what_changed_since_the_fork_and_then_since_the_merge() {
    needs_sessions!();
    let world = begun();
    sh_in(&world, "f", "sed -i s/1/one/ a.txt; echo n > n; rm b.txt").ok();
    world.sh("sed -i s/9/nine/ a.txt; echo m > m").ok();
    let planned = json(&world.run(["merge", "f", "--dry-run", "--json"]).ok());
    assert_eq!((planned["changes"].as_array().unwrap().len(), planned["dry_run"].as_bool()), (3, Some(true)));
    world.sh("test ! -e n").ok();
    world.run(["merge", "f"]).ok();
    let merged = "one\n2\n3\n4\n5\n6\n7\n8\nnine\nn\nm\n";
    assert_eq!(world.sh("cat a.txt n m; test ! -e b.txt").ok(), merged);
    assert_eq!(sh_in(&world, "f", "test ! -e m; tail -n 1 a.txt").ok(), "9\n");
    // nothing comes twice, and what comes later does not meet itself
    assert!(world.run(["merge", "f"]).stderr().contains("nothing to merge"));
    sh_in(&world, "f", "echo n2 > n").ok();
    world.run(["merge", "f"]).ok();
    assert_eq!(world.sh("cat n").ok(), "n2\n");
    // the other way
    world.run(["merge", "main", "--into", "f"]).ok();
    assert_eq!(sh_in(&world, "f", "cat m; tail -n 1 a.txt").ok(), "m\nnine\n");
}

#[test]
fn an_undone_merge_can_be_made_again() {
    needs_sessions!();
    let world = begun();
    sh_in(&world, "f", "echo n > n").ok();
    world.run(["merge", "f"]).ok();
    world.run(["undo"]).ok();
    world.sh("test ! -e n").ok();
    world.run(["merge", "f"]).ok();
    assert_eq!(world.sh("cat n").ok(), "n\n");
}

#[test]
fn what_both_changed_is_a_conflict_and_the_receivers_version_stays() {
    needs_sessions!();
    let world = begun();
    sh_in(&world, "f", "echo theirs > b.txt; rm a.txt").ok();
    world.sh("echo ours > b.txt; echo 10 >> a.txt").ok();
    let said = world.run(["merge", "f"]).fails(1);
    assert!(said.contains("b.txt") && said.contains("a.txt") && said.contains("2 conflicts"), "{said}");
    assert_eq!(world.sh("cat b.txt; tail -n 1 a.txt").ok(), "ours\n10\n");
    let status = json(&world.run(["status", "--json"]).ok());
    assert_eq!(status["conflicts"].as_array().unwrap().len(), 2);
    assert_eq!(status["conflicts"][0]["against"], "f");
}

#[test]
fn siblings_merge_and_mistakes_are_said() {
    needs_sessions!();
    let world = begun();
    world.run(["fork", "g"]).ok();
    sh_in(&world, "f", "echo f > f").ok();
    sh_in(&world, "g", "echo g > g; rm b.txt").ok();
    world.run(["merge", "g", "--into", "f"]).ok();
    assert_eq!(sh_in(&world, "f", "cat f g; test ! -e b.txt").ok(), "f\ng\n");
    assert_eq!(world.sh("cat b.txt").ok(), "b\n");
    assert!(world.run(["merge", "nope"]).fails(1).contains("vrift fork"));
    assert!(world.run(["merge", "main"]).fails(1).contains("into itself"));
    let ready = world.path().join("ready");
    let script = format!("echo late > late; : > '{}'; cat", ready.display());
    let mut live = world.vrift();
    live.args(["exec", "-w", "f", "--", "sh", "-c", &script]);
    let mut live = live.stdin(std::process::Stdio::piped()).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(world.run(["merge", "g", "--into", "f"]).fails(1).contains("live run"));
    // what a live run has not ended with is not merged, and that is said
    let merged = world.run(["merge", "f"]);
    assert!(merged.stderr().contains("live run"), "{}", merged.stderr());
    assert_eq!(world.sh("cat f g; test ! -e late").ok(), "f\ng\n");
    drop(live.stdin.take());
    live.wait().unwrap();
}

#[test]
fn a_command_is_tried_and_dropped_kept_or_applied() {
    needs_sessions!();
    let world = begun();
    let tried = world.run(["try", "sh", "-c", "echo x > x; rm b.txt; exit 3"]);
    assert_eq!(tried.code(), 3);
    let said = tried.stderr();
    assert!(said.contains("A x") && said.contains("D b.txt") && said.contains("--keep"), "{said}");
    world.sh("test ! -e x && test -e b.txt").ok();
    let names =
        |world: &World| json(&world.run(["workspace", "list", "--json"]).ok()).as_array().unwrap().len();
    assert_eq!(names(&world), 2);
    world.run(["try", "--keep", "t", "sh", "-c", "echo x > x"]).ok();
    assert_eq!(sh_in(&world, "t", "cat x").ok(), "x\n");
    world.sh("test ! -e x").ok();
    assert!(world.run(["try", "--keep", "t", "true"]).code() != 0);
    world.run(["try", "--apply", "sh", "-c", "echo y > y; rm b.txt"]).ok();
    assert_eq!(world.read("y"), "y\n");
    assert!(!world.project.join("b.txt").exists());
    assert_eq!(world.sh("cat y; test ! -e b.txt").ok(), "y\n");
    // one that failed is not applied
    assert_eq!(world.run(["try", "--apply", "sh", "-c", "echo z > z; exit 4"]).code(), 4);
    assert!(!world.project.join("z").exists());
    assert_eq!(names(&world), 3);
}
