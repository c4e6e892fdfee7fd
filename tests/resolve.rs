//! Conflicts are kept until they are decided, one way or the other.

mod support;

use support::{Ran, World};

/// `both` changed on both sides at one line, `list` at different ones later, `gone` changed
/// inside and deleted on the host; all taken over.
fn torn() -> World {
    let world = World::new();
    world.write("both", "1\n2\n3\n");
    world.write("d/gone", "old\n");
    world.sh("sed -i s/2/inside/ both; echo changed > d/gone").ok();
    world.edit("both", "1\nhost\n3\n");
    std::fs::remove_dir_all(world.project.join("d")).unwrap();
    let ran = world.sh("true");
    assert!(ran.stderr().contains("`both` was changed on the host"), "{}", ran.stderr());
    world
}

fn open(world: &World) -> usize {
    let status: serde_json::Value = serde_json::from_str(&world.run(["status", "--json"]).ok()).unwrap();
    status["conflicts"].as_array().unwrap().len()
}

#[test]
fn each_run_says_it_and_both_versions_can_be_seen() {
    needs_sessions!();
    let world = torn();
    for _ in 0..2 {
        let ran = world.sh("cat both; test ! -e d");
        assert!(ran.stderr().contains("2 open conflicts: `both`, `d/gone`"), "{}", ran.stderr());
        assert_eq!(ran.ok(), "1\nhost\n3\n");
    }
    let patch = world.run(["diff", "--conflict", "both"]).ok();
    assert!(patch.contains("-host\n") && patch.contains("+inside\n"), "{patch}");
    let patch = world.run(["diff", "--conflict", "d"]).ok();
    assert!(patch.contains("new file mode") && patch.contains("+changed\n"), "{patch}");
    let error = world.run(["diff", "--conflict", "other"]).fails(1);
    assert!(error.contains("no open conflict at `other`"), "{error}");
    let sealed = world.run(["commit", "v1"]);
    assert!(sealed.stderr().contains("sealed with 2 conflicts open"), "{}", sealed.stderr());
    let row: serde_json::Value =
        serde_json::from_str(&world.run(["snapshot", "show", "v1", "--json"]).ok()).unwrap();
    assert_eq!(row["conflicts"], 2);
}

#[test]
fn either_version_is_taken_and_undo_opens_the_conflict_again() {
    needs_sessions!();
    let world = torn();
    world.run(["resolve", "both", "--workspace"]).ok();
    assert_eq!(open(&world), 1);
    assert_eq!(world.sh("cat both").ok(), "1\ninside\n3\n");
    world.run(["undo"]).ok();
    assert_eq!(open(&world), 2);
    assert_eq!(world.sh("cat both").ok(), "1\nhost\n3\n");
    // a version in a directory that is gone
    world.run(["resolve", "--workspace"]).ok();
    assert_eq!(world.sh("cat both d/gone").ok(), "1\ninside\n3\nchanged\n");
    let said = world.run(["resolve", "--host"]);
    assert!(said.stderr().contains("no open conflict"), "{}", said.stderr());
    assert_eq!(said.code(), 0);
    // what was decided can be applied: the host's version is known
    world.run(["apply"]).ok();
    assert_eq!((world.read("both"), world.read("d/gone")), ("1\ninside\n3\n".into(), "changed\n".into()));

    let world = torn();
    world.run(["resolve", "--host"]).ok();
    assert_eq!(open(&world), 0);
    assert_eq!(world.sh("cat both; ls").ok(), "1\nhost\n3\nboth\n");
}

#[test]
fn a_conflict_is_merged_by_lines_by_hand_or_in_a_run() {
    needs_sessions!();
    let world = torn();
    let error = world.run(["resolve", "both", "--merge"]).fails(1);
    assert!(error.contains("`both` cannot be merged: both sides changed the same lines"), "{error}");
    let error = world.run(["resolve", "d/gone", "--edit"]).fails(1);
    assert!(error.contains("one side deleted it"), "{error}");
    let edit = |editor: &str| {
        let ran = world
            .vrift()
            .args(["resolve", "both", "--edit"])
            .env_remove("VISUAL")
            .env("EDITOR", editor)
            .output();
        Ran(ran.unwrap())
    };
    let error = edit("true").fails(1);
    assert!(error.contains("still has conflict markers"), "{error}");
    let error = edit("false").fails(1);
    assert!(error.contains("the editor failed"), "{error}");
    assert_eq!(open(&world), 2);
    edit("sed -i -e '/^[<=>|]/d' -e /2/d -e s/host/both/").ok();
    assert_eq!(world.sh("cat both").ok(), "1\ninside\nboth\n3\n");
    assert_eq!(open(&world), 1);
    world.sh("mkdir -p d; echo mine > d/gone").ok();
    world.run(["resolve", "--view"]).ok();
    assert_eq!(world.sh("cat d/gone").ok(), "mine\n");
    assert_eq!(open(&world), 0);
    assert_eq!(world.sh("true").stderr(), "");
}

#[test]
fn a_way_must_be_named_and_a_live_run_is_waited_for() {
    needs_sessions!();
    let world = torn();
    assert_eq!(world.run(["resolve"]).code(), 2);
    assert_eq!(world.run(["resolve", "--host", "--workspace"]).code(), 2);
    let flag = world.path().join("go");
    let script = format!(": > {0}.ready; while [ ! -e {0} ]; do sleep 0.01; done", flag.display());
    let mut live = world.vrift().args(["exec", "sh", "-c", &script]).spawn().unwrap();
    while !world.path().join("go.ready").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let error = world.run(["resolve", "--host"]).fails(1);
    assert!(error.contains("has a live run"), "{error}");
    assert_eq!(open(&world), 2);
    std::fs::write(&flag, "").unwrap();
    assert!(live.wait().unwrap().success());
    world.run(["resolve", "--host"]).ok();
}

#[test]
fn a_second_conflict_at_a_path_keeps_the_first() {
    needs_sessions!();
    let world = torn();
    world.sh("printf '1\\nagain\\n3\\n' > both").ok();
    world.edit("both", "1\nhost again\n3\n");
    assert!(world.sh("true").stderr().contains("`both` was changed on the host"));
    // one path, all versions
    assert_eq!(open(&world), 2);
    let status = world.run(["status"]).ok();
    assert!(status.contains("`both` (against host, and 1 earlier one kept)"), "{status}");
    let patch = world.run(["diff", "--conflict", "both"]).ok();
    for line in ["-host again\n", "+again\n", "-host\n", "+inside\n"] {
        assert!(patch.contains(line), "{line}: {patch}");
    }
    // collecting garbage takes none of them
    world.run(["gc", "--grace", "0"]).ok();
    assert_eq!(world.run(["diff", "--conflict", "both"]).ok(), patch);
    let resolved = world.run(["resolve", "both", "--workspace"]);
    assert!(resolved.stderr().contains("`both` was in conflict 2 times"), "{}", resolved.stderr());
    resolved.ok();
    assert_eq!((open(&world), world.sh("cat both").ok()), (1, "1\nagain\n3\n".into()));
    world.run(["undo"]).ok();
    assert_eq!(world.run(["diff", "--conflict", "both"]).ok(), patch);
    // a time that was decided before stays decided by what decided it
    world.run(["resolve", "both", "--workspace"]).ok();
    world.sh("sed -i s/again/third/ both").ok();
    world.edit("both", "1\nhost third\n3\n");
    world.exec(["true"]).ok();
    world.run(["resolve", "both", "--host"]).ok();
    assert_eq!(open(&world), 1);
    world.run(["undo"]).ok();
    let status: serde_json::Value = serde_json::from_str(&world.run(["status", "--json"]).ok()).unwrap();
    let both = status["conflicts"].as_array().unwrap().iter().find(|row| row["path"] == "both").unwrap();
    assert_eq!(both["kept"], 1, "{status}");
}
