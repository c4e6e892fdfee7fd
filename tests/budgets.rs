//! What fixed jobs cost, in what can be counted: system calls, SQLite statements, bytes
//! written to the store. A figure above its budget is a job that has become slower on every
//! machine; one far below it is a budget to be lowered.

mod support;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use support::{World, skipped};

/// Calls that are of the allocator, of threads, or of how many capabilities and processors
/// there are: their number says little, and is not the same everywhere.
const NOT_COUNTED: [&str; 26] = [
    "arch_prctl",
    "brk",
    "clone3",
    "exit",
    "exit_group",
    "futex",
    "getrandom",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "prctl",
    "prlimit64",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "wait4",
];
/// Calls that return how much they wrote.
const WRITING: [&str; 6] = ["write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile"];

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    calls: u64,
    statements: u64,
    /// Below the store's `projects/` and `objects/`.
    bytes: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, statements, bytes } = self;
        write!(out, "{calls} calls, {statements} statements, {bytes} bytes")
    }
}

/// Runs a verb; what vrift's own processes did for it. `None`: nobody can count here.
fn cost(world: &World, arguments: &[&str]) -> Option<Cost> {
    let (log, told) = (world.path().join("calls"), world.path().join("statements"));
    let _ = std::fs::remove_file(&told);
    let mut strace = world.command("strace");
    strace.args(["-f", "-y", "-s", "0", "-o"]).arg(&log).arg(env!("CARGO_BIN_EXE_vrift"));
    strace.args(arguments).env("PATH", "/usr/bin:/bin").env("VRIFT_STATEMENTS", &told);
    match strace.output() {
        Err(_) => skipped("no strace"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if said.contains("ptrace") {
                skipped(&said);
                return None;
            }
            assert!(output.status.success(), "{arguments:?}: {said}");
            let mut cost = count(&std::fs::read_to_string(log).unwrap(), &world.store);
            let told = std::fs::read_to_string(told).unwrap_or_default();
            cost.statements = told.lines().count() as u64;
            return Some(cost);
        }
    }
    None
}

/// Counts what is in a log of strace, up to where a process executes a program that is not vrift.
fn count(log: &str, store: &Path) -> Cost {
    let (mut cost, mut others, mut writers) = (Cost::default(), HashSet::new(), HashSet::new());
    let kept = ["projects", "objects"].map(|part| format!("<{}", store.join(part).display()));
    for (number, line) in log.lines().enumerate() {
        let Some((process, what)) = line.split_once(' ') else { continue };
        let what = what.trim_start();
        if others.contains(process) || what.starts_with("+++") || what.starts_with("---") {
            continue;
        }
        let returned =
            what.rsplit_once(" = ").and_then(|(_, value)| value.split(' ').next()?.parse::<i64>().ok());
        let resumed = what.strip_prefix("<... ");
        let name = resumed.unwrap_or(what).split(['(', ' ']).next().unwrap_or_default();
        if name.starts_with("execve") && returned == Some(0) && number > 0 {
            others.insert(process);
        }
        if WRITING.contains(&name) {
            if resumed.is_none() && kept.iter().any(|path| what.contains(path.as_str())) {
                writers.insert(process);
            }
            if let Some(written) = returned
                && writers.remove(process)
            {
                cost.bytes += u64::try_from(written).unwrap_or(0);
            }
        }
        cost.calls += u64::from(resumed.is_none() && !NOT_COUNTED.contains(&name));
    }
    cost
}

/// Holds a cost against its budget.
fn within(job: &str, cost: Cost, budget: Cost) {
    println!("{job}: {cost}");
    let figures = [
        ("calls", cost.calls, budget.calls),
        ("statements", cost.statements, budget.statements),
        ("bytes", cost.bytes, budget.bytes),
    ];
    for (what, is, may) in figures {
        assert!(is <= may, "{job}: {is} {what} of {may}: {cost}");
        // whether a log is written back at the end is a matter of time
        assert!(
            is * 2 >= may || what == "bytes",
            "{job}: {is} {what} are far below {may}, which is to be lowered: {cost}"
        );
    }
}

/// A project of a hundred files in ten directories, taken in and run.
fn world() -> World {
    let world = World::new();
    for number in 0..100 {
        world.write(&format!("d{}/f{number}", number % 10), format!("file {number}\n"));
    }
    world.exec(["true"]).ok();
    world.exec(["true"]).ok();
    world
}

#[test]
fn a_log_is_counted_up_to_the_command() {
    let log = "7 execve(\"/vrift\", ...) = 0\n\
        7 brk(NULL) = 0x1\n\
        7 pwrite64(5</s/projects/a/manifest.db-wal>, \"\"..., 4096, 32) = 4096\n\
        7 write(1<pipe:[3]>, \"\"..., 8) = 8\n\
        8 write(6</s/objects/ab/c>, \"\"..., 10 <unfinished ...>\n\
        7 close(3</s/projects>) = 0\n\
        8 <... write resumed>) = 10\n\
        8 execve(\"/usr/bin/true\", ...) = 0\n\
        8 openat(AT_FDCWD, \"/etc/ld.so.cache\") = 3\n\
        8 +++ exited with 0 +++\n";
    let counted = count(log, Path::new("/s"));
    assert_eq!((counted.calls, counted.bytes), (6, 4106), "{counted}");
}

#[test]
fn a_start_costs_what_it_may() {
    needs_sessions!();
    let world = world();
    let Some(cost) = cost(&world, &["-q", "exec", "--no-sync", "--", "/bin/true"]) else { return };
    within("start", cost, Cost { calls: 545, statements: 22, bytes: 5500 });
}

#[test]
fn a_fork_and_its_first_run_cost_what_they_may() {
    needs_sessions!();
    let world = world();
    let words = ["-q", "exec", "--no-sync", "--fork", "f", "--", "/bin/true"];
    let Some(cost) = cost(&world, &words) else { return };
    within("fork", cost, Cost { calls: 580, statements: 39, bytes: 31_000 }); // its number is a row of its own
}

#[test]
fn a_commit_of_three_changes_costs_what_it_may() {
    needs_sessions!();
    let world = world();
    let words = ["exec", "--no-sync", "--", "touch", "d1/f1", "d2/f2", "d3/f3"];
    world.run(words).ok();
    let Some(cost) = cost(&world, &["-q", "commit", "--no-sync", "-m", "three"]) else { return };
    within("commit", cost, Cost { calls: 250, statements: 23, bytes: 18_000 });
}

#[test]
fn a_first_take_in_costs_what_it_may() {
    let world = World::new();
    for number in 0..100 {
        world.write(&format!("d{}/f{number}", number % 10), format!("file {number}\n"));
    }
    let Some(cost) = cost(&world, &["-q", "sync"]) else { return };
    within("take-in", cost, Cost { calls: 2400, statements: 108, bytes: 165_000 });
}

#[test]
fn the_end_of_a_run_that_wrote_costs_what_it_may() {
    needs_sessions!();
    let world = world();
    // long enough for the log to be written back, always
    let writing = "sleep 0.4; mkdir out; for n in $(seq 100); do echo new $n >out/$n; done";
    let words = ["-q", "exec", "--no-sync", "--", "/bin/sh", "-c", writing];
    let Some(cost) = cost(&world, &words) else { return };
    within("end", cost, Cost { calls: 4200, statements: 78, bytes: 125_000 });
}

#[test]
fn a_sync_of_nothing_costs_what_it_may() {
    needs_sessions!();
    let world = world();
    // what was written in the tick of the first walk is read once more
    std::thread::sleep(std::time::Duration::from_millis(50));
    world.run(["sync"]).ok();
    let Some(cost) = cost(&world, &["-q", "sync"]) else { return };
    // the number of the walk, before and after
    within("sync", cost, Cost { calls: 460, statements: 16, bytes: 160 });
}
