//! Snapshots inside a run: `--snapshots`.

mod support;

use support::{World, listing};

fn two_snapshots() -> World {
    let world = World::new();
    world.write("src/a", "one\n");
    world.sh("mkdir -p out/deep; echo built > out/deep/x; ln -s deep/x out/l").ok();
    world.run(["commit", "v1"]).ok();
    world.sh("echo two > src/a; rm -r out; echo n > n").ok();
    world.run(["commit", "v2"]).ok();
    world
}

#[test]
fn snapshots_can_be_read_and_not_written_and_are_never_taken_in() {
    needs_sessions!();
    let world = two_snapshots();
    let before = listing(&world.project);
    let inside = |script: &str| world.run(["exec", "--snapshots", "--", "sh", "-c", script]);
    let found = inside("cd .snapshots && find . -type f | sort && cat v1/src/a v2/src/a v1/out/l").ok();
    assert_eq!(found, "./v1/out/deep/x\n./v1/src/a\n./v2/n\n./v2/src/a\none\ntwo\nbuilt\n");
    let script = "for d in .snapshots .snapshots/v1 .snapshots/v1/src; do
        if echo x 2>&- > $d/new; then exit 9; fi; done
        touch .snapshots/v1/src/a 2>&- && exit 8
        rm -rf .snapshots/v2/n 2>&- && exit 7
        cp .snapshots/v1/out/deep/x back";
    inside(script).ok();
    assert_eq!(listing(&world.project), before);
    assert_eq!(world.run(["diff", "--name-status", "v2", "main"]).ok(), "A back\n");
    // as it was, with no snapshots, when they are not asked for
    world.sh("test ! -e .snapshots").ok();
}

#[test]
fn what_was_made_for_a_snapshot_is_used_again_and_goes_with_it() {
    needs_sessions!();
    let world = two_snapshots();
    let bases = || {
        let bases = std::fs::read_dir(world.project_dir().join("base")).unwrap();
        bases.flatten().filter(|entry| entry.path().is_dir()).count()
    };
    assert_eq!(bases(), 1);
    for _ in 0..2 {
        world.run(["exec", "--snapshots", "true"]).ok();
        assert_eq!(bases(), 3);
    }
    world.run(["snapshot", "delete", "v1", "v2"]).ok();
    world.run(["exec", "--snapshots", "--", "sh", "-c", "test -z \"$(ls .snapshots)\"; echo > more"]).ok();
    assert_eq!(bases(), 1);
}

#[test]
fn a_directory_of_that_name_and_a_session_without_are_said() {
    needs_sessions!();
    let world = two_snapshots();
    let started = world.path().join("started");
    let script = format!("touch {}; while [ ! -e go ]; do sleep 0.02; done; rm go", started.display());
    let mut live = world.vrift().args(["exec", "--", "sh", "-c", &script]).spawn().unwrap();
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let error = world.run(["exec", "--snapshots", "true"]).fails(125);
    assert!(error.contains("without --snapshots") && error.contains("fork"), "{error}");
    world.sh("touch go").ok();
    assert!(live.wait().unwrap().success());
    world.sh("mkdir .snapshots && touch .snapshots/mine").ok();
    let error = world.run(["exec", "--snapshots", "true"]).fails(125);
    assert!(error.contains("`.snapshots` of its own"), "{error}");
    world.sh("test -e .snapshots/mine").ok();
}
