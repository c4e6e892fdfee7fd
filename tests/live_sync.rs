//! Live sync: host edits come into the view of a live session, through the mount, and what
//! the session does itself stays its own.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{World, listing, start};

/// A project with a live session, which has run the script.
fn live(script: &str) -> (World, Child) {
    let world = World::new();
    for (path, text) in [("a", "one\n"), ("b", "b\n"), ("d/x", "x\n"), ("d/y", "y\n"), ("gone", "gone\n")] {
        world.write(path, text);
    }
    let run = start(world.vrift(), &[], script);
    (world, run)
}

/// The session has ended and is taken in.
fn end(mut run: Child) {
    drop(run.stdin.take());
    assert!(run.wait().unwrap().success());
}

/// What a script says in the live session.
fn inside(world: &World, script: &str) -> String {
    world.run(["exec", "--no-sync", "--", "sh", "-c", script]).ok()
}

/// A file of the host gets another content, and a time that nothing else has.
fn edit(world: &World, path: &str, text: &str, seconds: u32) {
    world.write(path, text);
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000 + u64::from(seconds), 123);
    let file = std::fs::File::options().write(true).open(world.project.join(path)).unwrap();
    file.set_modified(time).unwrap();
}

/// The workspace is what the host has, and nothing is in conflict.
fn is_as_the_host(world: &World) {
    let status = world.run(["status"]).ok();
    assert!(status.contains("the workspace is as the directory was"), "{status}");
    assert!(!status.contains("conflict") && !status.contains("edits of the host"), "{status}");
}

#[test]
fn edits_of_every_kind_come_in_with_their_times_and_modes() {
    needs_sessions!();
    let (world, run) = live("true");
    edit(&world, "a", "two\n", 1);
    edit(&world, "n/new/deep", "deep\n", 2);
    std::fs::set_permissions(world.project.join("b"), PermissionsExt::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("a", world.project.join("link")).unwrap();
    std::fs::remove_file(world.project.join("gone")).unwrap();
    std::fs::remove_dir_all(world.project.join("d")).unwrap();
    edit(&world, "d", "a file now\n", 3);
    let said = world.run(["sync"]);
    assert!(said.stderr().contains("brought into the live session"), "{}", said.stderr());
    assert_eq!(said.code(), 0);
    let seen = inside(&world, "cat a n/new/deep d link; test -x b && ls -A && stat -c %Y.%y a d");
    let host = |path: &str| {
        let stat = Command::new("stat").args(["-c", "%Y.%y", path]).current_dir(&world.project).output();
        String::from_utf8(stat.unwrap().stdout).unwrap()
    };
    let names = ".git\na\nb\nd\nlink\nn\n";
    assert_eq!(seen, format!("two\ndeep\na file now\ntwo\n{names}{}{}", host("a"), host("d")));
    assert_eq!(world.run(["sync"]).stderr(), "vrift: nothing changed\n");
    // a file becomes a directory
    std::fs::remove_file(world.project.join("d")).unwrap();
    edit(&world, "d/again", "again\n", 4);
    world.run(["sync"]).ok();
    assert_eq!(inside(&world, "cat d/again"), "again\n");
    end(run);
    is_as_the_host(&world);
    let copy = world.path().join("copy");
    world.run(["export", "main", copy.to_str().unwrap()]).ok();
    assert_eq!(listing(&copy), listing(&world.project));
}

/// Waits until a name is moved into the working directory.
const WATCHER: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char buffer[4096] __attribute__((aligned(8)));
    int fd = inotify_init();
    if (argc < 2 || fd < 0 || inotify_add_watch(fd, ".", IN_MOVED_TO) < 0) return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        ssize_t length = read(fd, buffer, sizeof buffer);
        if (length <= 0) return 2;
        for (char *at = buffer; at < buffer + length;) {
            struct inotify_event *event = (struct inotify_event *)at;
            if (event->len && !strcmp(event->name, argv[1])) return 0;
            at += sizeof *event + event->len;
        }
    }
}
"#;

#[test]
fn what_watches_a_directory_inside_is_told() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "one\n");
    let source = world.path().join("watcher.c");
    std::fs::write(&source, WATCHER).unwrap();
    let Some(watcher) = support::compile(world.path(), "cc", "watcher", &source, &[]) else { return };
    let mut run = world.vrift();
    run.arg("exec").arg(&watcher).arg("a").stdout(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    edit(&world, "a", "two\n", 1);
    world.run(["sync"]).ok();
    assert!(run.wait().unwrap().success());
    assert_eq!(world.sh("cat a").ok(), "two\n");
}

#[test]
fn what_the_session_changed_stays_and_is_a_conflict_at_its_end() {
    needs_sessions!();
    let (world, run) = live("echo inside > a; rm b; echo new > d/new");
    edit(&world, "a", "host\n", 1);
    edit(&world, "b", "host\n", 2);
    edit(&world, "d/x", "host\n", 3);
    std::fs::remove_file(world.project.join("d/y")).unwrap();
    let said = world.run(["sync"]);
    for path in ["`a`", "`b`"] {
        let line = format!("{path} was changed on the host and in the live session");
        assert!(said.stderr().contains(&line), "{}", said.stderr());
    }
    let here = "cat a; ls -A d; cat d/x; test ! -e b";
    assert_eq!(inside(&world, here), "inside\nnew\nx\nhost\n");
    // sealed, the conflict is recorded, and the session's version still stands in its view
    world.run(["commit", "--no-sync", "-q"]).ok();
    let json = world.run(["sync", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["live"]["written"], serde_json::json!([]));
    assert_eq!(inside(&world, here), "inside\nnew\nx\nhost\n");
    end(run);
    let status = world.run(["status"]).ok();
    assert!(status.contains("conflict `a`") && status.contains("conflict `b`"), "{status}");
    world.run(["resolve", "--workspace", "a", "b"]).ok();
    assert_eq!(world.sh("cat a; test ! -e b").ok(), "inside\n");
}

#[test]
fn what_came_in_can_be_changed_inside_and_taken_back() {
    needs_sessions!();
    let (world, run) = live("true");
    edit(&world, "a", "two\n", 1);
    edit(&world, "b", "two\n", 2);
    world.run(["sync"]).ok();
    // another line at the same place, and the content that was there before
    inside(&world, "echo three > a; echo b > b; touch -d @1600000000 b");
    end(run);
    let status = world.run(["status"]).ok();
    assert!(!status.contains("conflict"), "{status}");
    assert!(status.contains("M a\n") && status.contains("M b\n"), "{status}");
    assert_eq!(world.sh("cat a b").ok(), "three\nb\n");
    assert_eq!(world.read("a"), "two\n");
}

#[test]
fn a_file_that_is_open_for_writing_inside_is_left_alone() {
    needs_sessions!();
    let (world, run) = live("exec 3<> a");
    edit(&world, "a", "host\n", 1);
    edit(&world, "b", "host\n", 2);
    let said = world.run(["sync"]);
    assert!(said.stderr().contains("being written"), "{}", said.stderr());
    assert_eq!(inside(&world, "cat a b; ls -A"), "one\nhost\n.git\na\nb\nd\ngone\n");
    end(run);
    // it was opened only
    assert_eq!(world.sh("cat a").ok(), "host\n");
    is_as_the_host(&world);
}

#[test]
fn git_own_directories_and_hard_links_wait() {
    needs_sessions!();
    let world = World::new();
    world.write(".gitignore", "target/\n");
    world.write("target/o", "o");
    world.write("h", "1\n");
    std::fs::hard_link(world.project.join("h"), world.project.join("h2")).unwrap();
    let run = start(world.vrift(), &[], "true");
    world.write("target/o", "host");
    world.write(".git/config", "[core]\n");
    edit(&world, "h", "2\n", 1);
    edit(&world, "f", "f\n", 2);
    let said = world.run(["sync"]);
    assert!(said.stderr().contains("`h` does not come into the live session"), "{}", said.stderr());
    assert_eq!(inside(&world, "cat target/o h h2 f; ls .git"), "o1\n1\nf\n");
    end(run);
    assert_eq!(world.sh("cat h h2; ls .git").ok(), "2\n2\nconfig\n");
    assert_eq!(world.project.join("h").metadata().unwrap().nlink(), 2);
}

#[test]
fn a_kill_at_any_step_loses_nothing_and_makes_no_conflict() {
    needs_sessions!();
    if !cfg!(debug_assertions) {
        return; // no failpoints
    }
    for again in [true, false] {
        for point in ["live.planned", "live.made", "live.swapped", "live.away", "live.written"] {
            let (world, run) = live("echo own > own");
            edit(&world, "a", "two\n", 1);
            edit(&world, "n/new", "new\n", 2);
            std::fs::remove_file(world.project.join("gone")).unwrap();
            let killed = world.vrift().arg("sync").env("VRIFT_FAILPOINT", point).output().unwrap();
            assert!(!killed.status.success(), "{point} was not met");
            if again {
                world.run(["sync"]).ok();
                assert_eq!(inside(&world, "cat a n/new; test ! -e gone"), "two\nnew\n", "{point}");
            }
            end(run);
            let status = world.run(["status"]).ok();
            assert!(!status.contains("conflict"), "{point}: {status}");
            assert!(status.ends_with("A own\n"), "{point}: {status}");
            let names = ".git\na\nb\nd\nn\nown\n";
            assert_eq!(world.sh("cat a n/new; ls -A").ok(), format!("two\nnew\n{names}"), "{point}");
            world.run(["verify"]).ok();
        }
    }
}

#[test]
fn a_run_follows_edits_as_they_happen() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "one\n");
    let wait = |what: &str| format!("i=0; until {what}; do i=$((i+1)); test $i -lt 2000; sleep 0.05; done");
    let script = format!(
        "set -e; echo ready; {}; echo first; {}; echo second",
        wait("grep -q two a"),
        wait("test -e n/m/deep -a ! -e a")
    );
    let mut run = world.vrift();
    run.args(["exec", "--watch", "--", "sh", "-c", &script]).stdout(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let mut out = BufReader::new(run.stdout.take().unwrap());
    let mut next = |what: &str| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), what);
    };
    next("ready");
    edit(&world, "a", "two\n", 1);
    next("first");
    edit(&world, "n/m/deep", "deep\n", 2);
    std::fs::remove_file(world.project.join("a")).unwrap();
    next("second");
    assert!(run.wait().unwrap().success());
    is_as_the_host(&world);
}

#[test]
fn watching_says_what_came_in_and_ends_when_asked() {
    needs_sessions!();
    let (world, run) = live("true");
    let mut watch = world.vrift();
    watch.args(["sync", "--watch", "--json"]).stdout(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut out = BufReader::new(watch.stdout.take().unwrap());
    edit(&world, "a", "two\n", 1);
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["live"]["written"], serde_json::json!(["a"]));
    // it may have been looked at while it was written
    while inside(&world, "cat a") != "two\n" {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it has ended");
    }
    // what it watches goes on when directories move
    std::fs::rename(world.project.join("d"), world.project.join("e")).unwrap();
    line.clear();
    out.read_line(&mut line).unwrap();
    edit(&world, "e/x", "moved\n", 3);
    while inside(&world, "cat e/x 2>/dev/null || true") != "moved\n" {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it has ended");
    }
    let asked = rustix::process::Pid::from_child(&watch);
    rustix::process::kill_process(asked, rustix::process::Signal::TERM).unwrap();
    assert!(!watch.wait().unwrap().success());
    end(run);
    is_as_the_host(&world);
}

#[test]
fn a_run_that_is_alone_gets_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "one\n");
    let run = start(world.vrift(), &["--discard"], "true");
    edit(&world, "a", "two\n", 1);
    let said = world.run(["sync"]);
    assert!(said.stderr().contains("nothing comes into its view"), "{}", said.stderr());
    let error = world.run(["exec", "--watch", "--discard", "true"]).fails(2);
    assert!(error.contains("--discard"), "{error}");
    end(run);
    assert_eq!(world.sh("cat a").ok(), "two\n");
}

#[test]
fn a_live_file_has_a_path_from_outside() {
    needs_sessions!();
    let (world, run) = live("echo inside > a; mkdir -p d/n; echo deep > d/n/f");
    let path = |file: &str| world.run(["path", file]).ok().trim_end().to_string();
    assert_eq!(std::fs::read_to_string(path("a")).unwrap(), "inside\n");
    assert_eq!(world.read("a"), "one\n");
    let mut text = String::new();
    let below = world.vrift().args(["path", "n/f"]).current_dir(world.project.join("d")).output().unwrap();
    let below = String::from_utf8(below.stdout).unwrap();
    std::fs::File::open(Path::new(below.trim_end())).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "deep\n");
    assert!(world.run(["path", "none"]).fails(1).contains("none"));
    end(run);
    assert!(world.run(["path", "a"]).fails(1).contains("no live run"));
}
