//! Forks and layers, killed at every step: the next command finishes or begins anew, what
//! was taken in is there, and nothing is left over.

mod support;

use std::os::unix::fs::MetadataExt;

use support::World;

fn dirs(world: &World, name: &str) -> usize {
    let entries = std::fs::read_dir(world.project_dir().join(name)).unwrap().flatten();
    entries.filter(|entry| entry.file_type().unwrap().is_dir()).count()
}

/// A fork with layers over a base that it shares.
fn begun() -> World {
    let world = World::new();
    world.write("host.txt", "host\n");
    world.sh("mkdir d; echo main > d/m").ok();
    world.run(["fork", "f"]).ok();
    world.run(["exec", "-w", "f", "--", "sh", "-c", "seq 40 | xargs touch; echo f > d/f"]).ok();
    world.run(["exec", "-w", "f", "--", "sh", "-c", "seq 41 60 | xargs touch; echo g > d/g"]).ok();
    world
}

/// Runs a command that is to be killed at a step; false: it does not come there.
fn killed(world: &World, step: &str, args: &[&str]) -> bool {
    let output = world.vrift().env("VRIFT_FAILPOINT", step).args(args).output().unwrap();
    // as an ordinary user it is a child that is killed, and the launcher says so
    !output.status.success()
}

#[test]
fn a_session_of_a_shared_base_killed_at_every_step_loses_nothing() {
    needs_sessions!();
    // a layer; layers merged; a base of its own; an upper that cannot be the layer as it stands
    let common = "echo new > d/new; rm d/m; mkdir e; echo e > e/e";
    let scripts = [
        ("layer", common.to_string()),
        ("merge", format!("seq 100 160 | xargs touch; {common}")),
        ("base", format!("seq 200 1300 | xargs touch; {common}")),
        ("socket", format!("touch .vrift-left; {common}")),
    ];
    for (what, steps) in [
        (
            "layer",
            &["take-in.committed", "upper.marked", "upper.layered", "take-in.shown", "take-in.removed"][..],
        ),
        ("merge", &["layer.rendered", "layer.made", "sweep.settled", "sweep.removed"]),
        ("base", &["base.aside"]),
        ("socket", &["take-in.committed", "layer.rendered", "upper.layered"]),
    ] {
        let script = &scripts.iter().find(|(name, _)| *name == what).unwrap().1;
        for step in steps {
            let world = begun();
            assert!(
                killed(&world, step, &["exec", "-w", "f", "--", "sh", "-c", script]),
                "{step} was not reached"
            );
            let look = "cat d/new d/f e/e; test ! -e d/m; ls d e";
            let seen = world.run(["exec", "-w", "f", "--", "sh", "-c", look]);
            assert_eq!(seen.ok(), "new\nf\ne\nd:\nf\ng\nnew\n\ne:\ne\n", "{step}, {what}");
            assert_eq!(world.sh("cat d/m; ls d").ok(), "main\nm\n", "{step}, {what}");
            whole(&world, &format!("{step}, {what}"));
        }
    }
}

#[test]
fn going_back_to_one_base_killed_at_every_step_loses_nothing() {
    needs_sessions!();
    for step in ["fold.begun", "fold.done", "sweep.settled", "sweep.removed"] {
        let world = begun();
        world.sh("echo m2 > d/m2; rm host.txt").ok();
        assert_eq!(dirs(&world, "layers"), 2, "main has one too");
        // who is killed is whoever comes to the step: the delete, or the run that folds
        let killed =
            killed(&world, step, &["workspace", "delete", "f"]) | killed(&world, step, &["exec", "true"]);
        assert!(killed, "{step} was not reached");
        assert_eq!(world.sh("cat d/m d/m2; ls d; test ! -e host.txt").ok(), "main\nm2\nm\nm2\n", "{step}");
        if world.run(["workspace", "list"]).ok().lines().count() > 1 {
            world.run(["workspace", "delete", "f"]).ok();
            world.exec(["true"]).ok();
        }
        world.sh("echo x > x").ok();
        assert_eq!((dirs(&world, "layers"), dirs(&world, "base")), (0, 1), "{step}");
        whole(&world, step);
        world.run(["undo", "-w", "f"]).ok();
        assert_eq!(world.run(["exec", "-w", "f", "cat", "d/f", "d/g", "d/m"]).ok(), "f\ng\nmain\n", "{step}");
    }
}

#[test]
fn a_fork_that_waits_for_a_killed_fold_finishes_it() {
    needs_sessions!();
    for step in ["fold.begun", "fold.done"] {
        let world = World::new();
        world.write("a", "a\n");
        world.sh("echo one > b").ok();
        assert!(killed(&world, step, &["exec", "--", "sh", "-c", "echo two > b; rm a"]));
        world.run(["fork", "f"]).ok();
        assert_eq!(world.run(["exec", "-w", "f", "--", "sh", "-c", "cat b; test ! -e a"]).ok(), "two\n");
        assert_eq!(world.sh("cat b; test ! -e a").ok(), "two\n");
        assert_eq!((dirs(&world, "layers"), dirs(&world, "base")), (0, 1));
    }
}

#[test]
fn a_layer_that_lost_its_attributes_is_made_anew() {
    needs_sessions!();
    let world = begun();
    world.run(["exec", "-w", "f", "--", "sh", "-c", "rm -r d; mkdir d; echo n > d/n"]).ok();
    for layer in std::fs::read_dir(world.project_dir().join("layers")).unwrap().flatten() {
        if layer.file_type().unwrap().is_dir() {
            // as by a backup that knows no attributes: the opaque mark of `d` is lost too
            let copy = layer.path().with_extension("copy");
            let copied = std::process::Command::new("cp")
                .args(["-r", "--no-preserve=all"])
                .arg(layer.path())
                .arg(&copy)
                .output();
            assert!(copied.is_ok());
            vrift::os::remove::remove_tree(&layer.path()).unwrap();
            std::fs::rename(&copy, layer.path()).unwrap();
        }
    }
    assert_eq!(world.run(["exec", "-w", "f", "--", "ls", "d"]).ok(), "n\n");
}

/// No staging, no objects with a layer's mode but those that a layer shares, no stray lower.
#[track_caller]
fn whole(world: &World, step: &str) {
    world.exec(["true"]).ok();
    assert!(world.staging().is_empty(), "{step}: {:?}", world.staging());
    let rows = vrift::manifest::Manifest::open(&world.project_dir()).unwrap();
    let unused = (rows.unused_layers().unwrap().len(), rows.unused_bases().unwrap().len());
    let swept = dirs(world, "layers") + dirs(world, "base");
    assert!(unused == (0, 0) || step.starts_with("sweep"), "{step}: {unused:?} of {swept}");
    for object in world.objects() {
        let stat = object.metadata().unwrap();
        assert!(
            world.links_objects() || stat.nlink() > 1 || stat.mode() & 0o7777 == 0o444,
            "{step}: {} {:o}",
            object.display(),
            stat.mode()
        );
    }
}
