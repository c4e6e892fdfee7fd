//! The main job: a run's output is there in the next one, and the host is as it was.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use support::{World, listing};

fn hello() -> World {
    World::with_copy_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello"))
}

#[test]
fn a_build_is_kept_and_the_directory_is_untouched() {
    needs_sessions!();
    let world = hello();
    let before = listing(&world.project);
    let first = world.exec(["make"]);
    assert!(first.stdout().contains("main.c"), "{}", first.stdout());
    assert!(first.stderr().contains("the directory itself is unchanged"), "{}", first.stderr());
    assert!(world.exec(["make"]).ok().contains("up to date"));
    assert!(world.exec(["ls"]).ok().contains("hello\n"));
    assert_eq!(world.exec(["./hello", "you"]).ok(), "hello, you\n");
    assert_eq!(listing(&world.project), before);
    assert!(world.staging().is_empty());
}

#[test]
fn objects_are_bare_read_only_and_stored_once() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "same");
    world.sh("cp a b; cp a c; chmod 600 c; chmod 0 b; echo more > d; chmod 755 d").ok();
    let objects = world.objects();
    assert_eq!(objects.len(), 2, "{objects:?}");
    for object in objects {
        let metadata = object.metadata().unwrap();
        if !world.links_objects() {
            assert_eq!((metadata.mode() & 0o7777, metadata.nlink()), (0o444, 1), "{}", object.display());
        }
        assert_eq!(metadata.mode() & 0o7022, 0, "{}", object.display());
    }
    assert_eq!(world.store.metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(world.sh("stat -c %a a b c d").ok(), "644\n0\n600\n755\n");
}

#[test]
fn exit_statuses_are_the_commands_own() {
    needs_sessions!();
    let world = World::new();
    assert_eq!(world.sh("exit 7").code(), 7);
    assert_eq!(world.sh("kill -TERM $$").code(), 143);
    let missing = world.exec(["no-such-command"]);
    assert!(missing.fails(127).contains("no-such-command"));
    world.write("plain", "text");
    assert!(world.exec(["./plain"]).fails(126).contains("plain"));
    world.write("script", "exit 5");
    std::fs::set_permissions(world.project.join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(world.exec(["./script"]).code(), 5);
    assert_eq!(world.run(["exec"]).code(), 2);
    assert_eq!(world.run(["exec", "-w", "other", "true"]).code(), 125);
    assert_eq!(world.run(["exec", "make-me-a-flag", "--version"]).code(), 127);
}

#[test]
fn what_failed_runs_wrote_is_kept_too() {
    needs_sessions!();
    let world = World::new();
    assert_eq!(world.sh("echo half > half; exit 3").code(), 3);
    assert_eq!(world.sh("cat half").ok(), "half\n");
}

#[test]
fn deletions_renames_and_changes_of_kind_stay() {
    needs_sessions!();
    let world = World::new();
    for name in ["gone", "dir/inner/file", "dir/other", "was-file", "was-dir/x", "moved", "opaque/old"] {
        world.write(name, name);
    }
    world
        .sh("rm gone; rm -r dir/inner; rm was-file; mkdir was-file; echo in > was-file/in; rm -r was-dir; \
             echo file > was-dir; mv moved moved-away; rm -r opaque; mkdir opaque; echo new > opaque/new; \
             mkdir -p empty/deep; ln -s nowhere link; mkfifo fifo; ln was-dir hard")
        .ok();
    for _ in 0..2 {
        let found = world.sh("find . -path ./.git -prune -o -printf '%y %P\n' | LC_ALL=C sort").ok();
        let expected = "d \nd dir\nd empty\nd empty/deep\nd opaque\nd was-file\nf dir/other\nf hard\nf moved-away\n\
                        f opaque/new\nf was-dir\nf was-file/in\nl link\np fifo\n";
        assert_eq!(found, expected);
        assert_eq!(world.sh("stat -c %h hard was-dir").ok(), "2\n2\n");
    }
    assert!(world.project.join("gone").exists() && world.project.join("was-dir/x").exists());
}

#[test]
fn times_modes_and_xattrs_are_kept_to_the_nanosecond() {
    needs_sessions!();
    let world = World::new();
    world.write("d/old", "x");
    world
        .sh("touch -d '2001-02-03 04:05:06.123456789' d/old; chmod 2755 d; chmod 4711 d/old; \
             ln -s x l; touch -h -d '1969-12-31 23:59:58.5' l; setfattr -n user.note -v hi d/old 2>/dev/null || \
             echo no-setfattr; touch -d '2010-01-01 00:00:00.000000001' d .")
        .ok();
    let shown =
        world.sh("stat -c '%a %.Y' d/old d l .; getfattr --only-values -n user.note d/old 2>/dev/null").ok();
    let expected = world.sh("echo").ok(); // a run in between changes nothing
    assert_eq!(expected, "\n");
    assert!(shown.starts_with("4711 981173106.123456789\n2755 1262304000.000000001\n777 -1.5"), "{shown}");
    assert!(shown.contains("755 1262304000.000000001\n") || shown.contains("775 1262304000.000000001\n"));
}

#[test]
fn the_working_directory_and_pwd_are_the_callers() {
    needs_sessions!();
    let world = World::new();
    world.write("sub/dir/file", "x");
    let mut command = world.vrift();
    let dir = world.project.join("sub/dir");
    let ran =
        command.current_dir(&dir).env("PWD", &dir).args(["exec", "--", "sh", "-c", "pwd; echo $PWD; ls"]);
    let ran = support::Ran(ran.output().unwrap());
    let dir = dir.display();
    assert_eq!(ran.ok(), format!("{dir}\n{dir}\nfile\n"));
    let ran = world.run(["-C", "sub", "exec", "pwd"]);
    assert_eq!(ran.ok(), format!("{}\n", world.project.join("sub").display()));
}

#[test]
fn git_finds_a_repository_above_the_project() {
    needs_sessions!();
    let world = World::new();
    std::fs::remove_dir(world.project.join(".git")).unwrap();
    world.write("part/vrift.toml", "");
    let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(&world.project).status();
    assert!(git.unwrap().success());
    let ran = world.run(["-C", "part", "exec", "git", "rev-parse", "--show-toplevel"]);
    assert!(ran.stderr().contains("/project/part`"), "{}", ran.stderr());
    assert_eq!(ran.ok(), format!("{}\n", world.project.display()));
}

#[test]
fn a_run_that_writes_nothing_leaves_nothing_and_says_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    world.exec(["true"]).ok();
    let objects = world.objects().len();
    let ran = world.exec(["cat", "a"]);
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("x", ""));
    assert_eq!(world.objects().len(), objects);
    assert!(world.staging().is_empty());
}

#[test]
fn the_plan_can_be_seen_without_doing_it() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    let plan = world.run(["exec", "--dry-run", "true"]).ok();
    let steps: Vec<&str> = plan.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(steps, ["slave-mounts", "overlay", "watch", "cover", "fresh-proc"]);
    assert!(world.objects().is_empty());
}

#[test]
fn inside_a_run_exec_just_runs() {
    needs_sessions!();
    let world = World::new();
    let vrift = env!("CARGO_BIN_EXE_vrift");
    assert_eq!(world.sh(&format!("{vrift} exec -- echo nested")).ok(), "nested\n");
    assert_eq!(world.sh(&format!("{vrift} exec -- sh -c 'exit 9'")).code(), 9);
    let refused = world.sh(&format!("{vrift} exec -w other -- true"));
    assert!(refused.stderr().contains("leave the run first"), "{}", refused.stderr());
    assert_eq!(refused.code(), 125);
    assert_ne!(world.sh(&format!("{vrift} undo")).code(), 0);
}

#[test]
fn neither_a_dry_run_nor_an_unknown_workspace_registers_a_project() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    world.run(["exec", "--dry-run", "true"]).ok();
    let fresh = world.run(["exec", "-w", "topic", "true"]).fails(125);
    assert!(fresh.contains("no workspace `topic`") && fresh.contains("vrift fork topic"), "{fresh}");
    assert!(world.run(["commit", "-w", "topic"]).fails(1).contains("vrift fork topic"));
    assert_eq!(world.run(["project", "list"]).ok(), "");
    world.exec(["true"]).ok();
    let known = world.run(["exec", "-w", "topic", "true"]).fails(125);
    assert!(known.contains("the workspaces are: main") && known.contains("vrift fork topic"), "{known}");
}

#[test]
fn a_root_directory_of_mode_zero_locks_nobody_out() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    world.exec(["chmod", "000", "."]).ok();
    let listed = world.exec(["ls"]);
    let root = rustix::process::geteuid().is_root();
    assert_eq!(listed.code() == 0, root, "{}", listed.stderr());
    // by its name, as outside: `.` cannot be searched
    world.exec(["chmod".as_ref(), "755".as_ref(), world.project.as_os_str()]).ok();
    assert_eq!(world.exec(["ls"]).ok(), "a\n");
}

#[test]
fn pwd_is_the_link_by_which_the_caller_came() {
    needs_sessions!();
    let world = World::new();
    let link = world.path().join("link");
    std::os::unix::fs::symlink(&world.project, &link).unwrap();
    let (real, shown) = (world.project.display(), link.display());
    let mut there = world.vrift();
    there.current_dir(&link).env("PWD", &link).args(["exec", "--", "sh", "-c", "echo $PWD; pwd -P"]);
    assert_eq!(support::Ran(there.output().unwrap()).ok(), format!("{shown}\n{real}\n"));
    let mut from_outside = world.vrift();
    from_outside.current_dir("/").env("PWD", "/").arg("-C").arg(&link).args(["exec", "printenv", "PWD"]);
    assert_eq!(support::Ran(from_outside.output().unwrap()).ok(), format!("{shown}\n"));
}

#[test]
fn a_lower_whose_xattrs_were_lost_is_made_anew() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "not zeros");
    world.exec(["true"]).ok();
    // What a backup without xattrs gives back.
    let base = world.project_dir().join("base/1");
    let copy = base.with_file_name("copy");
    let mut copy_command = std::process::Command::new("cp");
    copy_command.args(["-r", "--preserve=mode,timestamps"]).arg(&base).arg(&copy);
    assert!(copy_command.status().unwrap().success());
    std::fs::remove_dir_all(&base).unwrap();
    std::fs::rename(&copy, &base).unwrap();
    assert_eq!(world.exec(["cat", "a"]).ok(), "not zeros");
}

#[test]
fn a_log_has_each_step_and_is_the_launchers_alone() {
    needs_sessions!();
    let world = World::new();
    let log = world.path().join("log");
    let mut command = world.vrift();
    command.args(["exec", "--", "sh", "-c", "echo x >f; exit 3"]).env("VRIFT_LOG", &log);
    assert_eq!(command.status().unwrap().code(), Some(3));
    let text = std::fs::read_to_string(&log).unwrap();
    let words: Vec<&str> = text.lines().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!((words[0], *words.last().unwrap()), ("begin", "end"), "{text}");
    for line in [
        "session  opens ",
        "sync     walked 2 directories",
        "step     ",
        "lock     ",
        "at       take-in.removed",
        "status 3",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // a log in the project is the directory's own: nothing inside writes to the view's
    let ran =
        world.vrift().args(["exec", "--no-sync", "--", "cat", "f"]).env("VRIFT_LOG", "log").output().unwrap();
    assert!(ran.status.success() && world.project.join("log").exists());
    let listed = world.run(["exec", "--no-sync", "--", "ls"]).ok();
    assert_eq!(listed, "f\n");
    let nowhere = world.vrift().args(["status"]).env("VRIFT_LOG", "/nowhere/log").output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("cannot open the log `/nowhere/log`"));
}
