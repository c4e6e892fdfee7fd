//! How much a fork has over a base that it shares, and what a full disk does to it.

mod support;

use std::fs::File;

use support::{World, in_namespaces};

fn dirs(world: &World, name: &str) -> usize {
    let entries = std::fs::read_dir(world.project_dir().join(name)).unwrap().flatten();
    entries.filter(|entry| entry.file_type().unwrap().is_dir()).count()
}

/// Layers and bases of a project with a fork `f`.
fn stack(world: &World) -> (usize, usize) {
    (dirs(world, "layers"), dirs(world, "base"))
}

fn forked(names: usize) -> World {
    let world = World::new();
    std::fs::create_dir(world.project.join("many")).unwrap();
    for number in 0..names {
        File::create(world.project.join(format!("many/{number}"))).unwrap();
    }
    world.write("host", "host\n");
    world.exec(["true"]).ok();
    world.run(["fork", "f"]).ok();
    world
}

fn sh(world: &World, script: &str) -> String {
    world.run(["exec", "--no-sync", "-w", "f", "sh", "-c", script]).ok()
}

/// A file of the host with so many bytes of nothing, taken over by the fork.
fn take_over(world: &World, name: &str, bytes: u64) {
    File::create(world.project.join(name)).unwrap().set_len(bytes).unwrap();
    world.run(["sync", "-w", "f"]).ok();
    let size = sh(world, &format!("stat -c %s {name}; cat host"));
    assert_eq!(size, format!("{bytes}\nhost\n"));
}

#[test]
fn more_than_a_tenth_of_the_names_make_a_base() {
    needs_sessions!();
    // a small base may have a thousand over it
    let world = forked(10);
    sh(&world, "mkdir new; cd new; seq 900 | xargs touch");
    assert_eq!(stack(&world), (1, 1));
    sh(&world, "cd new; seq 1000 1150 | xargs touch; rm ../many/3");
    assert_eq!(stack(&world), (0, 2));
    assert_eq!(sh(&world, "ls new | wc -l; ls many | wc -l"), "1051\n9\n");
    // a larger one a tenth
    let world = forked(12_000);
    sh(&world, "mkdir new; cd new; seq 1100 | xargs touch");
    assert_eq!(stack(&world), (1, 1));
    sh(&world, "cd new; seq 2000 2150 | xargs touch");
    assert_eq!(stack(&world), (0, 2));
    assert_eq!(sh(&world, "ls new | wc -l; ls many | wc -l"), "1251\n12000\n");
    assert_eq!(world.sh("ls many | wc -l; test ! -e new").ok(), "12000\n");
}

#[test]
fn what_a_sync_would_copy_beyond_64_mebibytes_makes_a_base() {
    needs_sessions!();
    let world = forked(10);
    take_over(&world, "small", 60 << 20);
    assert_eq!(stack(&world), (1, 1));
    take_over(&world, "large", (64 << 20) + 1);
    assert_eq!(stack(&world), (0, 2));
}

#[test]
fn more_than_256_mebibytes_held_twice_make_a_base() {
    needs_sessions!();
    let world = forked(10);
    for number in 1..=4u64 {
        take_over(&world, &format!("part{number}"), (63 << 20) + number);
        assert_eq!(dirs(&world, "base"), 1, "{number}");
    }
    take_over(&world, "part5", (63 << 20) + 5);
    assert_eq!(stack(&world), (0, 2));
    // what a run writes is its own object: however much it is, nothing is held twice
    let world = forked(10);
    sh(&world, "truncate -s 300M large");
    assert_eq!(stack(&world), (1, 1));
    assert_eq!(sh(&world, "stat -c %s large"), "314572800\n");
}

#[test]
fn a_base_that_goes_killed_at_its_removal_loses_nothing() {
    needs_sessions!();
    let world = forked(10);
    sh(&world, "mkdir new; cd new; seq 1100 | xargs touch; echo f > f");
    assert_eq!(stack(&world), (0, 2));
    let mut delete = world.vrift();
    delete.env("VRIFT_FAILPOINT", "sweep.base").args(["workspace", "delete", "f"]);
    let gone = delete.output().unwrap();
    let killed = if gone.status.success() {
        // the next one that sweeps comes there
        let mut run = world.vrift();
        run.env("VRIFT_FAILPOINT", "sweep.base").args(["exec", "sh", "-c", "echo y > y"]);
        !run.output().unwrap().status.success()
    } else {
        true
    };
    assert!(killed, "the removal of a base was not reached");
    assert_eq!(world.sh("cat host; ls many | wc -l").ok(), "host\n10\n");
    if world
        .run(["workspace", "list"])
        .ok()
        .lines()
        .any(|line| line.contains(" f ") || line.starts_with("f "))
    {
        world.run(["workspace", "delete", "f"]).ok();
    }
    world.sh("echo x > x").ok();
    assert_eq!(dirs(&world, "base"), 1);
    let rows = vrift::manifest::Manifest::open(&world.project_dir()).unwrap();
    assert!(rows.unused_bases().unwrap().is_empty());
    drop(rows);
    world.run(["undo", "-w", "f"]).ok();
    assert_eq!(sh(&world, "ls new | wc -l; cat new/f"), "1101\nf\n");
}

#[test]
fn a_full_disk_is_said_and_the_fork_goes_on_when_there_is_room() {
    needs_sessions!();
    let world = World::new();
    // 6 MB on the host, 6 MB in the store, and no room for the third copy, in a layer
    let script = "mount -t tmpfs -o size=15m none $S || exit 77; mkdir -p $S/p/.git; cd $S/p || exit 1; \
        export VRIFT_STORE=$S/store; echo a > a; $V -q exec true || exit 77; $V -q fork f; \
        $V -q exec -w f sh -c 'echo f > f; rm a' || exit 2; \
        head -c 6000000 /dev/urandom > big; $V -q sync -w f || exit 3; \
        if $V -q exec --no-sync -w f true 2> $S/../said; then echo no failure; fi; \
        grep -c 'No space left' $S/../said; \
        $V -q exec --no-sync cat a || exit 4; \
        mount -o remount,size=60m none $S || exit 77; \
        $V -q exec --no-sync -w f sh -c 'cat f; test ! -e a; stat -c %s big'; \
        $V -q export f $S/out || exit 5; cmp $S/out/big big && echo same; ls $S/out";
    let Some(ran) = in_namespaces(&world, script) else { return };
    assert_eq!(ran.ok(), "1\na\nf\n6000000\nsame\nbig\nf\n");
}
