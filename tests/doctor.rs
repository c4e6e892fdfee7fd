//! `vrift doctor` where something is really refused: its verdict, the cause it names, the
//! commands it prints, and that a run in the same place agrees with it.

mod support;

#[path = "support/refuse.rs"]
mod refuse;

use std::path::{Path, PathBuf};
use std::process::Command;

use refuse::{docker, refuse, refuse_flags, without};
use serde_json::Value;
use support::{Ran, World, in_namespaces};

/// The checks of `doctor --json`, and whether it exits as its verdict says.
struct Page(Value);

impl Page {
    #[track_caller]
    fn of(ran: Ran) -> Self {
        let page: Value = serde_json::from_str(&ran.stdout()).unwrap_or_else(|_| panic!("{}", ran.stderr()));
        assert_eq!(ran.code() == 0, page["works"] == true, "{page:#}");
        assert!(ran.code() <= 1, "{}", ran.stderr());
        Self(page)
    }

    fn works(&self) -> bool {
        self.0["works"] == true
    }

    #[track_caller]
    fn check(&self, name: &str) -> &Value {
        let mut checks = self.0["checks"].as_array().unwrap().iter();
        checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {:#}", self.0))
    }

    /// One check's verdict, and a part of what it says.
    #[track_caller]
    fn says(&self, name: &str, verdict: &str, part: &str) {
        let check = self.check(name);
        assert_eq!(check["verdict"], verdict, "{check:#}");
        assert!(check.to_string().contains(part), "no {part:?} in {check:#}");
    }
}

fn page(world: &World) -> Page {
    Page::of(world.run(["doctor", "--json"]))
}

/// A run in the same place fails and says why with a hint, and registers nothing lasting.
#[track_caller]
fn fails(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.code(), 125, "{}", ran.stderr());
    for part in ["error: ", "hint: "].iter().chain(parts) {
        assert!(ran.stderr().contains(part), "no {part:?} in {}", ran.stderr());
    }
}

#[test]
fn all_is_well_where_runs_work_and_nothing_is_left() {
    needs_sessions!();
    let world = World::new();
    let page = page(&world);
    assert!(page.works());
    page.says("a run", "ok", "taken in");
    page.says("store", "ok", "made by the first run");
    assert!(!world.store.exists(), "asking makes no store");
    let left: Vec<_> = std::fs::read_dir(world.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    // what is not green says what to do
    for check in page.0["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] != "ok") {
        let helps = !check["hint"].is_null() || !check["fix"].as_array().unwrap().is_empty();
        assert!(helps, "{check:#}");
    }
    world.exec(["true"]).ok();
    let text = world.run(["doctor"]).ok();
    assert!(
        text.lines().all(|line| ["ok ", "note", "   "].iter().any(|word| line.starts_with(word))),
        "{text}"
    );
    world.run(["doctor", "--fix"]).ok();
    let hidden = std::fs::read_dir(&world.store).unwrap().flatten();
    assert!(hidden.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
}

#[test]
fn a_forbidden_user_namespace_is_named_with_its_sysctl() {
    let world = World::new();
    let set = "echo 0 > /proc/sys/user/max_user_namespaces || exit 77";
    let Some(ran) = in_namespaces(&world, &format!("{set}; $V doctor --json")) else { return };
    let page = Page::of(ran);
    page.says("user namespace", "fails", "`user.max_user_namespaces` is 0");
    page.says("user namespace", "fails", "sysctl -w user.max_user_namespaces=15000");
    page.says("a run", "fails", "No space left");
    let fix = in_namespaces(&world, &format!("{set}; $V doctor --fix")).unwrap();
    assert_eq!(fix.code(), 1);
    let script = fix.stdout();
    assert!(script.contains("\nsysctl -w user.max_user_namespaces=15000\n"), "{script}");
    assert_eq!(script.matches("\nsysctl -w").count(), 1, "each command once: {script}");
    // A script, as it says.
    let parsed = Command::new("sh").args(["-n", "-c", &script]).status().unwrap();
    assert!(parsed.success(), "{script}");
    let run = in_namespaces(&world, &format!("{set}; $V exec true")).unwrap();
    fails(&run, &["No space left", "user.max_user_namespaces=15000"]);
    assert!(world.objects().is_empty(), "nothing is taken in for a run that cannot be");
}

#[test]
fn a_containers_filter_is_named_and_not_taken_for_an_old_kernel() {
    let world = World::new();
    let mut command = world.vrift();
    command.args(["doctor", "--json"]);
    without(&mut command, &docker());
    let page = Page::of(Ran(command.output().unwrap()));
    page.says("clone3", "ok", "a seccomp filter");
    page.says("user namespace", "fails", "clone: Operation not permitted: a seccomp filter");
    page.says("user namespace", "fails", "--security-opt seccomp=contrib/seccomp.json");
    let mut command = world.vrift();
    command.args(["exec", "true"]);
    without(&mut command, &docker());
    fails(&Ran(command.output().unwrap()), &["seccomp"]);
}

#[test]
fn each_step_that_is_refused_is_named() {
    needs_sessions!();
    let new_user = libc::CLONE_NEWUSER;
    let of = |rules: &[refuse::Refusal]| {
        let world = World::new();
        let mut command = world.vrift();
        command.args(["doctor", "--json"]);
        without(&mut command, rules);
        Page::of(Ran(command.output().unwrap()))
    };
    // clone3 alone: clone does its work
    let page = of(&[refuse(libc::SYS_clone3, libc::ENOSYS)]);
    assert!(page.works());
    page.says("clone3", "ok", "clone is used");
    // only the unshare of a take-in
    let page = of(&[refuse_flags(libc::SYS_unshare, libc::EPERM, 0, new_user)]);
    page.says("user namespace", "ok", "works");
    assert_ne!(page.check("unshare")["verdict"], "ok");
    // too many of them, as an outer namespace's limit says it
    let clones =
        [libc::SYS_unshare, libc::SYS_clone].map(|call| refuse_flags(call, libc::EUSERS, 0, new_user));
    let page = of(&[&clones[..], &[refuse(libc::SYS_clone3, libc::ENOSYS)]].concat());
    page.says("user namespace", "fails", "32 levels");
    // a security module that lets namespaces be made and mounts not
    let page = of(&[refuse(libc::SYS_mount, libc::EACCES)]);
    page.says("user namespace", "ok", "works");
    page.says("mount namespace", "fails", "mount(MS_SLAVE): Permission denied: a security module");
    // pid namespaces alone
    let new_pid = [libc::SYS_unshare, libc::SYS_clone]
        .map(|call| refuse_flags(call, libc::EPERM, 0, libc::CLONE_NEWPID));
    let page = of(&[&new_pid[..], &[refuse(libc::SYS_clone3, libc::ENOSYS)]].concat());
    page.says("mount namespace", "ok", "works");
    assert_ne!(page.check("pid namespace")["verdict"], "ok");
    // a filesystem without locks, one whose locks do not work, and one without user attributes
    let page = of(&[refuse(libc::SYS_flock, libc::ENOLCK)]);
    page.says("locks", "ok", "lock files: flock(2) is refused here (No locks available)");
    assert!(page.works());
    let page = of(&[refuse(libc::SYS_flock, libc::EIO)]);
    page.says("locks", "fails", "Input/output error");
    let page = of(&[refuse(libc::SYS_fsetxattr, libc::EOPNOTSUPP)]);
    page.says("user xattrs", "fails", "not supported");
    let page =
        of(&[refuse_flags(libc::SYS_openat, libc::EOPNOTSUPP, 2, libc::O_TMPFILE & !libc::O_DIRECTORY)]);
    page.says("unnamed files", "fails", "not supported");
    // no watch: what was written is copied, and a run works
    let page = of(&[refuse(libc::SYS_inotify_init1, libc::EMFILE)]);
    page.says("inotify", "note", "copied");
    assert!(page.works());
}

#[test]
fn a_covered_proc_is_a_note_that_names_what_covers_it() {
    needs_sessions!();
    let world = World::new();
    let script = "mount -t tmpfs none /proc/sys/kernel || exit 77; $V doctor --json";
    let Some(ran) = in_namespaces(&world, script) else { return };
    let page = Page::of(ran);
    page.says("fresh /proc", "note", "/proc/sys/kernel");
    page.says("a run", "note", "/proc");
    assert!(page.works());
}

#[test]
fn a_store_in_memory_full_or_of_few_inodes_is_said() {
    needs_sessions!();
    let world = World::new();
    let of = |options: &str, fill: &str| {
        let script = format!(
            "mount -t tmpfs -o {options} none $S || exit 77; {fill}; VRIFT_STORE=$S/store $V doctor --json"
        );
        in_namespaces(&world, &script).map(Page::of)
    };
    let Some(page) = of("size=64m", "true") else { return };
    page.says("store", "note", "on tmpfs");
    assert!(page.works());
    let full = of("size=1m", "head -c 2000000 /dev/zero > $S/big 2>/dev/null").unwrap();
    full.says("space", "fails", "0 B");
    assert!(!full.works());
    let inodes = of("size=64m,nr_inodes=12", "i=0; while touch $S/$i; do i=$((i+1)); done").unwrap();
    inodes.says("space", "fails", "0 inodes");
    assert!(!inodes.works());
    let read_only = of("size=64m", "mount -o remount,bind,ro $S || exit 77").unwrap();
    read_only.says("a run", "fails", "Read-only file system");
}

#[test]
fn a_store_on_an_overlay_or_without_attributes_is_refused_by_both() {
    let world = World::new();
    let overlay = "mkdir -p $S/l $S/u $S/w $S/m; mount -t tmpfs none $S/u || exit 77; mkdir $S/u/u $S/u/w; \
                   mount -t overlay -o lowerdir=$S/l,upperdir=$S/u/u,workdir=$S/u/w,userxattr none $S/m || exit 77";
    let ramfs = "mkdir -p $S/m; mount -t ramfs none $S/m || exit 77";
    for (mount, name) in [(overlay, "overlay"), (ramfs, "ramfs")] {
        let Some(ran) = in_namespaces(&world, &format!("{mount}; VRIFT_STORE=$S/m/store $V doctor --json"))
        else {
            continue;
        };
        let page = Page::of(ran);
        assert!(page.check("store")["found"].as_str().unwrap().contains(name), "{:#}", page.0);
        assert!(!page.works(), "{:#}", page.0);
        page.says("overlay", "fails", "--store DIR");
        let run = in_namespaces(&world, &format!("{mount}; VRIFT_STORE=$S/m/store $V exec true")).unwrap();
        fails(&run, &["--store DIR"]);
    }
}

#[test]
fn a_store_that_is_no_directory_or_somebody_elses_is_said() {
    let world = World::new();
    std::fs::write(world.path().join("file"), "x").unwrap();
    let doctor = |store: &Path| Page::of(world.run(["doctor", "--json", "--store", store.to_str().unwrap()]));
    let page = doctor(&world.path().join("file"));
    page.says("store", "fails", "is no directory");
    let said = world.run(["doctor", "--store", "../file/below"]).fails(1);
    assert!(said.contains("file/below`: Not a directory") && said.contains("hint: "), "{said}");
    if !rustix::process::geteuid().is_root() {
        let foreign: PathBuf = "/usr/share".into();
        doctor(&foreign).says("store", "fails", "belongs to uid 0");
    }
}

#[test]
fn limits_that_hurt_are_said() {
    needs_sessions!();
    let world = World::new();
    let of = |limit: &str| {
        let mut command = world.command("bash");
        command.args(["-c", &format!("ulimit {limit}; exec $0 doctor --json"), env!("CARGO_BIN_EXE_vrift")]);
        Page::of(Ran(command.output().unwrap()))
    };
    of("-Sn 64").says("open files", "note", "ulimit -n");
    of("-f 2000").says("file size", "note", "2.0 MB");
    let none = of("-n 12");
    assert!(!none.works());
    none.says("a run", "fails", "Too many open files");
}
