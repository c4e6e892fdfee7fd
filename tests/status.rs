//! What `vrift status` tells, and that it changes nothing.

mod support;

use serde_json::{Value, json};
use support::World;

fn status(world: &World) -> Value {
    serde_json::from_str(&world.run(["status", "--json"]).ok()).unwrap()
}

#[test]
fn edits_of_the_host_are_shown_and_not_taken_over() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "target/\n");
    for path in ["a", "b", "dir/c", "target/x"] {
        world.write(path, "1");
    }
    world.exec(["true"]).ok();
    assert_eq!(status(&world)["host"], json!([]));
    let objects = world.objects();
    world.edit("a", "edited");
    world.write("new/d", "new");
    world.write("target/x", "not followed");
    std::fs::remove_file(world.project.join("b")).unwrap();
    std::fs::remove_dir_all(world.project.join("dir")).unwrap();
    let host = json!([
        { "status": "M", "path": "a" },
        { "status": "D", "path": "b" },
        { "status": "D", "path": "dir/" },
        { "status": "A", "path": "new/" },
    ]);
    assert_eq!(status(&world)["host"], host);
    let told = world.run(["status"]).ok();
    assert!(told.contains("not taken over yet") && told.contains("  M a\n"), "{told}");
    assert!(!world.run(["status", "--no-sync"]).ok().contains("not taken over"), "not looked for");
    // Nothing was stored, and a look changes nothing that a later one sees.
    assert_eq!(world.objects(), objects);
    assert_eq!(status(&world)["host"], host);
    assert_eq!(world.run(["exec", "--no-sync", "cat", "a", "b"]).ok(), "11");
    world.run(["sync"]).ok();
    assert_eq!(status(&world)["host"], json!([]));
}

#[test]
fn a_commit_on_the_host_is_an_edit_of_its_repository() {
    needs_sessions!();
    let world = World::new();
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    world.write("a", "1");
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        assert!(world.command("git").args(who).args(args).status().unwrap().success());
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    world.exec(["true"]).ok();
    git(&["commit", "-q", "--allow-empty", "-m", "second"]);
    assert_eq!(status(&world)["host"], json!([{ "status": "M", "path": ".git/" }]));
}

#[test]
fn changes_since_the_last_snapshot_and_live_runs_are_shown() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "1");
    world.sh("echo made > b").ok();
    assert_eq!(status(&world)["since"], Value::Null);
    world.run(["commit", "one"]).ok();
    assert_eq!(status(&world)["since"], json!({ "snapshot": "one", "changes": [] }));
    assert!(world.run(["status"]).ok().contains("nothing has changed since snapshot one"));
    world.sh("echo more > c").ok();
    let since = json!({ "snapshot": "one", "changes": [{ "status": "A", "path": "c" }] });
    assert_eq!(status(&world)["since"], since);
    let told = world.run(["status"]).ok();
    assert!(told.contains("1 path changed since snapshot one: vrift diff one"), "{told}");
    assert!(told.contains("A b\n") && told.contains("A c\n"), "{told}");

    let script = "touch ../ready; while [ ! -e ../go ]; do sleep 0.05; done";
    let mut live = world.vrift().args(["exec", "sh", "-c", script]).spawn().unwrap();
    while !world.path().join("ready").exists() {
        assert!(live.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let now = status(&world);
    assert_eq!(now["runs"][0]["run"], json!(live.id()));
    assert!(now["runs"][0]["command"].to_string().contains("touch ../ready"), "{now}");
    assert!(world.run(["status"]).ok().contains(", 1 run\n"));
    std::fs::write(world.path().join("go"), "").unwrap();
    assert!(live.wait().unwrap().success());
    assert_eq!(status(&world)["runs"], json!([]));
}
