//! Forks: workspaces that share what shows them, and do not see each other.

mod support;

use std::path::Path;

use support::{World, listing};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// `vrift exec -w NAME -- sh -c SCRIPT`.
fn sh_in(world: &World, workspace: &str, script: &str) -> support::Ran {
    world.run(["exec", "-w", workspace, "--", "sh", "-c", script])
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn layers(world: &World) -> Vec<String> {
    names(&world.project_dir().join("layers"))
}

fn bases(world: &World) -> Vec<String> {
    names(&world.project_dir().join("base"))
}

fn begun() -> World {
    let world = World::new();
    world.write("src/a.txt", "host\n");
    world.write("src/b.txt", "host b\n");
    world.sh("mkdir -p out/deep && echo one > out/x && echo d > out/deep/f").ok();
    world
}

#[test]
fn a_fork_and_its_parent_do_not_see_each_other() {
    needs_sessions!();
    let world = begun();
    world.run(["fork", "f"]).ok();
    assert_eq!(sh_in(&world, "f", "cat src/a.txt out/x").ok(), "host\none\n");
    assert_eq!((layers(&world).len(), bases(&world).len()), (0, 1));
    sh_in(&world, "f", "echo two > out/x; rm src/a.txt; echo new > n; rm -r out/deep; mkdir out/deep").ok();
    assert_eq!(sh_in(&world, "f", "cat out/x n; ls out/deep; test ! -e src/a.txt").ok(), "two\nnew\n");
    assert_eq!(world.sh("cat out/x src/a.txt out/deep/f; test ! -e n").ok(), "one\nhost\nd\n");
    assert_eq!((layers(&world).len(), bases(&world).len()), (1, 1), "the upper is a layer");
    world.sh("echo main > out/x; echo m > m").ok();
    assert_eq!(layers(&world).len(), 2, "main shares its base, so it has a layer too");
    assert_eq!(world.sh("cat out/x m").ok(), "main\nm\n");
    assert_eq!(sh_in(&world, "f", "cat out/x; test ! -e m").ok(), "two\n");
    // alone again, main goes back to folding
    world.run(["workspace", "delete", "f"]).ok();
    assert_eq!(world.sh("cat out/x m src/a.txt").ok(), "main\nm\nhost\n");
    assert_eq!((layers(&world).len(), bases(&world).len()), (0, 1));
    assert!(world.staging().is_empty());
}

#[test]
fn a_fork_of_a_fork_shares_its_layers() {
    needs_sessions!();
    let world = begun();
    world.run(["fork", "f"]).ok();
    sh_in(&world, "f", "echo two > out/x; ln out/x out/y; rm -r src").ok();
    world.run(["fork", "g", "--from", "f"]).ok();
    assert_eq!(sh_in(&world, "g", "cat out/x out/y; test out/x -ef out/y; test ! -e src").ok(), "two\ntwo\n");
    assert_eq!(layers(&world).len(), 1);
    sh_in(&world, "g", "mkdir src; echo g > src/g; echo three > out/x").ok();
    assert_eq!(sh_in(&world, "g", "ls src; cat out/x out/y").ok(), "g\nthree\ntwo\n");
    assert_eq!(sh_in(&world, "f", "cat out/x; test ! -e src").ok(), "two\n");
    world.run(["workspace", "delete", "f"]).ok();
    assert_eq!(sh_in(&world, "g", "ls src; cat out/x out/y").ok(), "g\nthree\ntwo\n");
}

#[test]
fn what_lies_in_layers_is_exact() {
    needs_sessions!();
    let world = World::new();
    world.write("a/one", "1");
    world.write("a/two", "2");
    world.sh("ln -s one a/link; mkdir -p e/m/p/ty; echo f > e/f; touch empty").ok();
    world.run(["fork", "f"]).ok();
    world.run(["fork", "keep"]).ok();
    let script = "chmod 640 a/two; chmod 000 a/one; mkfifo a/pipe; ln -sf two a/link; rmdir e/m/p/ty; echo x > e/m/p/ty; \
        rm e/f; mkdir e/f; touch e/f/in; chmod 1777 e; setfattr -n user.overlay.redirect -v /x a/two 2> /dev/null; \
        setfattr -n user.mine -v y e/f 2> /dev/null; : > empty2; rm empty; mkdir empty; chmod 555 empty; \
        truncate -s 3M sparse; touch -d '2001-02-03 04:05:06.123456789' a/two e/m a";
    // a socket keeps the upper from being a layer as it stands
    for (name, extra) in
        [("f", ""), ("keep", "; python3 -c 'import socket as s; s.socket(s.AF_UNIX).bind(\"sock\")'")]
    {
        let copy = |to: &str| {
            let to = world.path().join(format!("{name}-{to}"));
            sh_in(
                &world,
                name,
                &format!(
                    "cp -a . '{0}'; rm -f '{0}'/sock; chmod u+r '{0}'/a/one; touch -d @9 '{0}'",
                    to.display()
                ),
            )
            .ok();
            listing(&to).into_iter().filter(|line| !line.contains(".git")).collect::<Vec<_>>()
        };
        let copies = world.path().join(format!("{name}-inside"));
        let inside = format!(
            "{script}{extra}; cp -a . '{0}'; rm -f '{0}'/sock; chmod u+r '{0}'/a/one; touch -d @9 '{0}'",
            copies.display()
        );
        sh_in(&world, name, &inside);
        let inside: Vec<_> = listing(&copies).into_iter().filter(|line| !line.contains(".git")).collect();
        assert_eq!(copy("after"), inside, "{name}");
        let xattr = sh_in(&world, name, "getfattr -d --absolute-names a/two e/f 2> /dev/null || true").ok();
        if !xattr.is_empty() {
            assert!(
                xattr.contains("user.overlay.redirect=\"/x\"") && xattr.contains("user.mine=\"y\""),
                "{xattr}"
            );
        }
    }
    assert_eq!(layers(&world).len(), 2);
    assert_eq!(world.sh("cat a/one a/two; ls -d empty e/m/p/ty").ok(), "12e/m/p/ty\nempty\n");
}

#[test]
fn many_small_sessions_end_in_few_layers_and_too_many_names_in_a_base() {
    needs_sessions!();
    let world = begun();
    world.run(["fork", "f"]).ok();
    for round in 0..12 {
        sh_in(&world, "f", &format!("echo {round} > n{round}; echo {round} > out/x; rm -f n{}", round - 3))
            .ok();
        assert!(layers(&world).len() <= 4, "{:?}", layers(&world));
        let read = sh_in(&world, "f", "cat out/x; ls n* | wc -l").ok();
        assert_eq!(read, format!("{round}\n{}\n", (round + 1).min(3)));
    }
    assert_eq!(bases(&world).len(), 1);
    // more than a layer may hold: a base of its own
    sh_in(&world, "f", "mkdir many; cd many; seq 1200 | xargs touch").ok();
    assert_eq!((layers(&world).len(), bases(&world).len()), (0, 2));
    assert_eq!(sh_in(&world, "f", "cat out/x; ls many | wc -l; ls n*").ok(), "11\n1200\nn10\nn11\nn9\n");
    assert_eq!(world.sh("cat out/x; test ! -e many").ok(), "one\n");
    // objects that a layer shared are as all others are
    for object in world.objects() {
        use std::os::unix::fs::MetadataExt;
        let stat = object.metadata().unwrap();
        if !world.links_objects() {
            assert_eq!((stat.mode() & 0o7777, stat.nlink()), (0o444, 1), "{}", object.display());
        }
    }
}

#[test]
fn a_fork_begins_at_any_root() {
    needs_sessions!();
    let world = begun();
    world.run(["commit", "v1"]).ok();
    world.sh("echo two > out/x; rm -r src").ok();
    world.run(["commit", "v2"]).ok();
    for (name, root, seen) in
        [("a", "v1", "one\na.txt\nb.txt\n"), ("b", "v2~1", "one\na.txt\nb.txt\n"), ("c", "main", "two\n")]
    {
        world.run(["fork", name, "--from", root]).ok();
        assert_eq!(sh_in(&world, name, "cat out/x; ls src 2> /dev/null || true").ok(), seen, "{root}");
    }
    world.run(["fork", "d", "--from", "host"]).ok();
    assert_eq!(sh_in(&world, "d", "ls; cat src/a.txt").ok(), "src\nhost\n");
    for (args, word) in [
        (vec!["fork", "a"], "a workspace `a` already"),
        (vec!["fork", "v1"], "a snapshot `v1` already"),
        (vec!["fork", "x@1"], "cannot name"),
        (vec!["fork", "host"], "cannot name"),
        (vec!["fork", "x", "--from", "nope"], "there is no root"),
        (vec!["fork", "x", "-w", "nope"], "there is no workspace"),
        (vec!["fork", "x", "--from", "@live"], "no live run"),
        (vec!["commit", "a"], "a workspace `a` already"),
    ] {
        let error = world.run(args.clone()).fails(1);
        assert!(error.contains(word), "{args:?}: {error}");
    }
    let error = world.run(["exec", "-w", "nope", "true"]).fails(125);
    assert!(error.contains("vrift fork"), "{error}");
}

#[test]
fn host_edits_come_to_a_fork_when_it_is_asked_to() {
    needs_sessions!();
    let world = begun();
    world.run(["fork", "f"]).ok();
    sh_in(&world, "f", "echo mine > mine").ok();
    world.edit("src/a.txt", "edited\n");
    assert_eq!(sh_in(&world, "f", "cat src/a.txt").ok(), "host\n");
    assert_eq!(world.sh("cat src/a.txt").ok(), "edited\n");
    world.run(["sync", "-w", "f"]).ok();
    assert_eq!(sh_in(&world, "f", "cat src/a.txt mine out/x").ok(), "edited\nmine\none\n");
    assert!(world.run(["sync", "-w", "g"]).fails(1).contains("no workspace"));
}

#[test]
fn a_run_on_an_old_state_leaves_nothing() {
    needs_sessions!();
    let world = begun();
    world.run(["commit", "v1"]).ok();
    world.sh("echo two > out/x").ok();
    let old = world.run(["exec", "--from", "v1", "--", "sh", "-c", "cat out/x; echo z > z"]);
    assert_eq!(old.ok(), "one\n");
    assert_eq!(world.sh("cat out/x; test ! -e z").ok(), "two\n");
    let list = json(&world.run(["workspace", "list", "--json"]).ok());
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!((layers(&world).len(), bases(&world).len()), (0, 1));
    world.run(["exec", "--fork", "new", "--", "sh", "-c", "echo n > n"]).ok();
    assert_eq!(sh_in(&world, "new", "cat n out/x").ok(), "n\ntwo\n");
    world.sh("test ! -e n").ok();
}

#[test]
fn workspaces_are_listed_renamed_deleted_and_brought_back() {
    needs_sessions!();
    let world = begun();
    world.run(["fork", "f"]).ok();
    sh_in(&world, "f", "echo two > out/x; echo n > n").ok();
    world.run(["commit", "-w", "f", "c1"]).ok();
    let list = json(&world.run(["workspace", "list", "--json"]).ok());
    let f = &list[1];
    assert_eq!(
        (f["name"].as_str(), f["changed"].as_u64(), f["ahead"].as_u64()),
        (Some("f"), Some(2), Some(1))
    );
    assert_eq!((f["parent"].as_str(), f["live"].is_null()), (Some("main"), true));
    let text = world.run(["workspace", "list"]).ok();
    assert!(text.contains("main") && text.contains("2 files changed") && text.contains("1 commit"), "{text}");
    world.run(["workspace", "rename", "f", "g"]).ok();
    assert_eq!(sh_in(&world, "g", "cat out/x").ok(), "two\n");
    assert!(world.run(["workspace", "rename", "g", "main"]).fails(1).contains("already"));
    assert!(world.run(["workspace", "rename", "main", "x"]).fails(1).contains("cannot be renamed"));
    assert!(world.run(["workspace", "delete", "main"]).fails(1).contains("cannot be deleted"));
    world.run(["workspace", "delete", "g"]).ok();
    assert!(sh_in(&world, "g", "true").fails(125).contains("no workspace"));
    world.run(["undo", "-w", "g"]).ok();
    assert_eq!(sh_in(&world, "g", "cat out/x n").ok(), "two\nn\n");
    world.run(["undo", "-w", "g"]).ok();
    assert_eq!(sh_in(&world, "g", "cat out/x; test ! -e n").ok(), "one\n");
    // a name that was deleted may be used again
    world.run(["workspace", "delete", "g"]).ok();
    world.run(["fork", "g"]).ok();
    assert_eq!(sh_in(&world, "g", "cat out/x").ok(), "one\n");
}

#[test]
fn a_live_workspace_is_deleted_only_when_it_is_stopped() {
    needs_sessions!();
    let world = begun();
    world.run(["fork", "f"]).ok();
    let ready = world.path().join("ready");
    let script = format!("echo w > w; echo new > out/x; : > '{}'; sleep 100", ready.display());
    let mut live = world.vrift().args(["exec", "-w", "f", "--", "sh", "-c", &script]).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for args in [&["workspace", "delete", "f"][..], &["workspace", "rename", "f", "g"]] {
        assert!(world.run(args).fails(1).contains("live run"));
    }
    // main is not disturbed, and sees nothing
    assert_eq!(world.sh("cat out/x; test ! -e w").ok(), "one\n");
    let list = json(&world.run(["workspace", "list", "--json"]).ok());
    // with what it has written so far
    assert!(list[1]["live"].is_string() && list[1]["changed"] == 2, "{list}");
    assert_eq!((list[0]["live"].is_null(), &list[0]["changed"]), (true, &json("2")));
    world.run(["workspace", "delete", "--stop", "f"]).ok();
    live.wait().unwrap();
    world.run(["undo", "-w", "f"]).ok();
    assert_eq!(sh_in(&world, "f", "cat w").ok(), "w\n");
}

#[test]
fn merged_and_old_workspaces_are_pruned() {
    needs_sessions!();
    let world = begun();
    for name in ["same", "ahead", "merged"] {
        world.run(["fork", name]).ok();
    }
    sh_in(&world, "ahead", "echo a > a").ok();
    sh_in(&world, "merged", "echo m > m").ok();
    world.run(["merge", "merged"]).ok();
    assert_eq!(world.run(["workspace", "prune", "--dry-run"]).ok(), "same\nmerged\n");
    assert_eq!(world.run(["workspace", "prune", "--older", "1d"]).ok(), "");
    assert_eq!(world.run(["workspace", "prune"]).ok(), "same\nmerged\n");
    assert_eq!(json(&world.run(["workspace", "list", "--json"]).ok()).as_array().unwrap().len(), 2);
    world.run(["workspace", "prune", "--older", "soon"]).fails(2);
}

#[test]
fn what_became_the_workspaces_own_stays_in_a_fork_that_syncs_later() {
    needs_sessions!();
    let world = begun();
    world.write("dist/x", "built\n");
    world.exec(["true"]).ok();
    world.run(["fork", "f"]).ok();
    world.write("vrift.toml", "[paths]\nown = [\"dist\"]\n");
    world.exec(["true"]).ok();
    world.run(["sync", "-w", "f"]).ok();
    assert_eq!(sh_in(&world, "f", "cat dist/x vrift.toml | head -n 2").ok(), "built\n[paths]\n");
    assert_eq!(world.sh("cat dist/x").ok(), "built\n");
}

#[test]
fn layers_that_take_each_other_back_show_what_is_below() {
    needs_sessions!();
    let world = World::new();
    world.write("d/x", "x");
    world.exec(["true"]).ok();
    world.run(["fork", "f"]).ok();
    world.run(["exec", "-w", "f", "--", "sh", "-c", "echo y > d/x"]).ok();
    world.run(["restore", "-w", "f", "main"]).ok();
    world.run(["exec", "-w", "f", "--", "true"]).ok();
    assert_eq!(world.run(["exec", "-w", "f", "--", "cat", "d/x"]).ok(), "x");
    let said = world.run(["verify", "--deep"]);
    assert_eq!(said.code(), 0, "{}", said.stdout());
}
