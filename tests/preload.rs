//! The preload library harms nobody (rule 24): it is what it says it is, and programs of
//! every kind start, behave and print as without it.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::World;

/// Compiles a C program; `None`, said, where that cannot be done here.
fn compile(world: &World, compiler: &str, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let text = world.path().join(format!("{name}.c"));
    fs::write(&text, source).unwrap();
    support::compile(world.path(), compiler, name, &text, flags)
}

fn library(world: &World) -> PathBuf {
    let psfs: Vec<_> = fs::read_dir(world.store.join("psfs")).unwrap().flatten().collect();
    assert_eq!(psfs.len(), 1, "written out once");
    psfs[0].path().join("x86_64.so")
}

/// Of an ELF file of 64 bits, by its section and program headers (elf(5)).
struct Elf(Vec<u8>);

impl Elf {
    fn number(&self, at: usize, bytes: usize) -> usize {
        self.0[at..at + bytes].iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte))
    }

    /// Offset, size and the linked section of every section of a type.
    fn sections(&self, kind: usize) -> Vec<(usize, usize, usize)> {
        let start = self.number(0x28, 8);
        let header = |index: usize| start + index * 64;
        let of = |at: usize| (self.number(at + 24, 8), self.number(at + 32, 8), self.number(at + 40, 4));
        (0..self.number(0x3c, 2)).map(header).filter(|at| self.number(at + 4, 4) == kind).map(of).collect()
    }

    /// Name, whether it is weak, and whether it is defined here, of every dynamic symbol.
    fn symbols(&self) -> Vec<(String, bool, bool)> {
        let (start, size, names) = self.sections(11)[0];
        let names = self.number(self.number(0x28, 8) + names * 64 + 24, 8);
        let symbol = |at: usize| {
            let name = &self.0[names + self.number(at, 4)..];
            let name = &name[..name.iter().position(|byte| *byte == 0).unwrap()];
            let weak = self.0[at + 4] >> 4 == 2;
            (String::from_utf8(name.to_vec()).unwrap(), weak, self.number(at + 6, 2) != 0)
        };
        (start..start + size).step_by(24).skip(1).map(symbol).collect()
    }

    fn dynamic_tags(&self) -> Vec<usize> {
        let (start, size, _) = self.sections(6)[0];
        (start..start + size).step_by(16).map(|at| self.number(at, 8)).collect()
    }

    /// Type and flags of every segment.
    fn segments(&self) -> Vec<(usize, usize)> {
        let (start, count) = (self.number(0x20, 8), self.number(0x38, 2));
        (0..count)
            .map(|index| start + index * 56)
            .map(|at| (self.number(at, 4), self.number(at + 4, 4)))
            .collect()
    }
}

/// What it stands in for.
const INTERPOSED: [&str; 29] = [
    "__fxstatat",
    "__fxstatat64",
    "__lxstat",
    "__lxstat64",
    "__xstat",
    "__xstat64",
    "access",
    "chroot",
    "faccessat",
    "fstatat",
    "fstatat64",
    "lstat",
    "lstat64",
    "mount",
    "move_mount",
    "open",
    "open64",
    "openat",
    "openat64",
    "pivot_root",
    "rename",
    "renameat",
    "renameat2",
    "setns",
    "stat",
    "stat64",
    "statx",
    "syscall",
    "unshare",
];

#[test]
fn it_exports_what_it_interposes_and_needs_three_functions_of_libc_alone() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    world.exec(["true"]).ok();
    let elf = Elf(fs::read(library(&world)).unwrap());
    let (mut own, foreign): (Vec<_>, Vec<_>) = elf.symbols().into_iter().partition(|symbol| symbol.2);
    own.sort();
    let names: Vec<_> = own.iter().map(|symbol| symbol.0.as_str()).collect();
    assert_eq!(names, INTERPOSED);
    let foreign: Vec<_> = foreign.iter().map(|(name, weak, _)| (name.as_str(), *weak)).collect();
    assert_eq!(foreign, [("__errno_location", true), ("__open", true), ("__openat_2", true)]);
    // DT_NEEDED, INIT, FINI, TEXTREL, FINI_ARRAY; what is done at load is in INIT_ARRAY
    let bad: Vec<_> =
        elf.dynamic_tags().into_iter().filter(|tag| [1, 12, 13, 22, 26].contains(tag)).collect();
    assert_eq!(bad, [] as [usize; 0]);
    // PT_GNU_STACK without the right to execute: else the loader would make stacks executable
    let stack = elf.segments().into_iter().find(|segment| segment.0 == 0x6474_e551).unwrap();
    assert_eq!(stack.1 & 1, 0);
    assert!(elf.segments().iter().all(|segment| segment.1 & 3 != 3), "nothing is writable and executable");
    assert!(elf.0.len() < 32_768, "{} bytes", elf.0.len());
}

/// Says hello, renames a file there and back, and fails to rename one that is not there.
const HELLO: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    char *p = malloc(10);
    errno = 0;
    printf("hello %d %d", rename(argv[1], "b"), rename("b", argv[1]));
    printf(" %d", errno);
    int gone = rename("gone", "b");
    printf(" %d %d\n", gone, errno);
    free(p);
    return 7;
}
"#;

/// With a loader, without a libc.
const BARE: &str = r#"
__asm__(".globl _start\n_start:\n mov $1,%eax\n mov $1,%edi\n lea text(%rip),%rsi\n mov $6,%edx\n syscall\n"
        " mov $60,%eax\n mov $7,%edi\n syscall\ntext: .ascii \"hello\\n\"\n");
"#;

#[test]
fn programs_of_every_kind_behave_and_print_as_without_it() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "a\n");
    let kinds: [(&str, &str, &str, &[&str]); 10] = [
        ("plain", "cc", HELLO, &[]),
        ("static", "cc", HELLO, &["-static"]),
        ("static-pie", "cc", HELLO, &["-static-pie"]),
        ("gcc-asan", "gcc", HELLO, &["-fsanitize=address"]),
        ("gcc-tsan", "gcc", HELLO, &["-fsanitize=thread"]),
        ("clang-asan", "clang", HELLO, &["-fsanitize=address"]),
        (
            "clang-shared-asan",
            "clang",
            HELLO,
            &[
                "-fsanitize=address",
                "-shared-libasan",
                "-Wl,-rpath,/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux",
            ],
        ),
        ("narrow", "cc", HELLO, &["-m32"]),
        ("musl", "musl-gcc", HELLO, &[]),
        (
            "no-libc",
            "cc",
            BARE,
            &["-nostdlib", "-pie", "-fPIE", "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2"],
        ),
    ];
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for (name, compiler, source, flags) in kinds {
        let Some(program) = compile(&world, compiler, name, source, flags) else { continue };
        let program = program.to_str().unwrap().to_owned();
        if name == "plain" {
            let suid = world.path().join("set-uid");
            fs::copy(&program, &suid).unwrap();
            fs::set_permissions(&suid, fs::Permissions::from_mode(0o4755)).unwrap();
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            commands.push(("set-uid".into(), words(&[suid.to_str().unwrap(), "a"])));
            commands.push(("no environment".into(), words(&["env", "-i", &program, "a"])));
            commands.push(("valgrind".into(), words(&["valgrind", "-q", &program, "a"])));
            // `$PLATFORM`, where it is in the name, must come through what expands variables
            fs::write(world.project.join("Makefile"), "all:\n\t@$(PROGRAM) a; true\n").unwrap();
            commands.push(("make".into(), words(&["make", "-s", &format!("PROGRAM={program}")])));
            let script = format!("eval \"$(export -p)\"; export LD_PRELOAD=\"$LD_PRELOAD\"; {program} a");
            commands.push(("shells".into(), words(&["sh", "-c", &script])));
        }
        commands.push((name.into(), vec![program, "a".into()]));
    }
    world.exec(["true"]).ok();
    for (name, words) in commands {
        let Ok(bare) = world.command(&words[0]).args(&words[1..]).output() else {
            eprintln!("skipped: {name}: no {}", words[0]);
            continue;
        };
        let inside = world.vrift().args(["-q", "exec", "--no-sync", "--"]).args(&words).output().unwrap();
        let shown = |output: &std::process::Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&output.stdout), text(&output.stderr), output.status.code())
        };
        assert!(shown(&bare).0.contains("hello"), "{name}: {bare:?}");
        assert_eq!(shown(&inside), shown(&bare), "{name}");
    }
}

#[test]
fn what_was_preloaded_before_stays_and_comes_first() {
    needs_sessions!();
    let world = World::new();
    let other =
        "#include <errno.h>\nint rename(const char *a, const char *b) { errno = ENOTTY; return -1; }\n";
    let Some(other) = compile(&world, "cc", "other.so", other, &["-shared", "-fPIC"]) else { return };
    let Some(hello) = compile(&world, "cc", "hello", HELLO, &[]) else { return };
    let other = other.to_str().unwrap();
    let run = |words: &[&str]| {
        let mut vrift = world.vrift();
        vrift.env("LD_PRELOAD", other).env("ASAN_OPTIONS", "color=never").arg("exec").arg("--").args(words);
        String::from_utf8(vrift.output().unwrap().stdout).unwrap()
    };
    let store = world.store.display();
    let expected = format!(
        "{other}:{store}/preload/{} color=never:verify_asan_link_order=0\n",
        vrift::psfs::environment::name()
    );
    assert_eq!(run(&["sh", "-c", "echo $LD_PRELOAD $ASAN_OPTIONS"]), expected);
    assert_eq!(run(&[hello.to_str().unwrap(), "a"]), "hello -1 -1 25 -1 25\n");
    // a run within the run has it once
    let vrift = env!("CARGO_BIN_EXE_vrift");
    assert_eq!(run(&[vrift, "exec", "--", "sh", "-c", "echo $LD_PRELOAD $ASAN_OPTIONS"]), expected);
}

#[test]
fn a_store_that_ld_preload_cannot_name_goes_without() {
    needs_sessions!();
    let mut world = World::new();
    for name in ["a store", "a:store", "a$store"] {
        world.store = world.path().join(name);
        assert_eq!(world.sh("echo $LD_PRELOAD; ls -A \"$VRIFT_STORE\" | grep -c preload").stdout(), "\n0\n");
        let written = fs::read_dir(world.store.join("psfs")).map_or(0, Iterator::count);
        assert_eq!(written, 0, "{name}");
    }
}

/// Renames directories of the lower in every surrounding that a program may have made.
const CORNERS: &str = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
static int fds(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}
static void say(const char *what, int answer) { dprintf(100, "%s %d\n", what, answer); }
static int answer;
static void handler(int s) { answer = rename("b", "c"); }
static void *thread(void *p) { answer = rename("c", "d"); return p; }
int main(void) {
    int before = fds();
    sigset_t blocked, after;
    sigemptyset(&blocked); sigaddset(&blocked, SIGUSR2);
    sigprocmask(SIG_SETMASK, &blocked, 0);
    dup2(1, 100);
    close(0); close(1); close(2);
    errno = 77;
    say("closed", rename("a", "b"));
    say("errno kept", errno == 77);
    say("still closed", fcntl(0, F_GETFD) == -1 && fcntl(1, F_GETFD) == -1 && fcntl(2, F_GETFD) == -1);
    sigprocmask(SIG_SETMASK, 0, &after);
    say("mask kept", !sigismember(&after, SIGUSR1) && sigismember(&after, SIGUSR2));
    size_t size = sysconf(_SC_MINSIGSTKSZ) + 3072;
    stack_t stack = { .ss_sp = malloc(size), .ss_size = size };
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
    sigaltstack(&stack, 0); sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    say("handler", answer);
    pthread_t id; pthread_attr_t attr;
    pthread_attr_init(&attr); pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
    pthread_create(&id, &attr, thread, 0); pthread_join(id, 0);
    say("thread", answer);
    int status;
    pid_t child = vfork();
    if (child == 0) _exit(rename("d", "e") == 0 ? 5 : 6);
    waitpid(child, &status, 0);
    say("vfork", WEXITSTATUS(status));
    child = fork();
    if (child == 0) _exit(rename("e", "f") == 0 ? 5 : 6);
    waitpid(child, &status, 0);
    say("fork", WEXITSTATUS(status));
    say("nothing leaked", fds() - before == -2);
    struct rlimit limit = { 3, 3 };
    setrlimit(RLIMIT_NOFILE, &limit);
    say("no descriptors", rename("z", "y") == -1 && errno == EXDEV);
    say("bad pointer", rename((char *)8, "y") == -1 && errno == EFAULT);
    say("long name", rename("f", getenv("LONG")) == -1 && errno == ENAMETOOLONG);
    return 0;
}
"#;

#[test]
fn it_works_in_handlers_small_stacks_vfork_and_without_descriptors() {
    needs_sessions!();
    let world = World::new();
    let Some(corners) = compile(&world, "cc", "corners", CORNERS, &[]) else { return };
    for dir in ["a", "z"] {
        world.write(&format!("{dir}/sub/file"), "x");
    }
    let long = "x".repeat(256);
    let script = format!(
        "LONG={long} {0}; for d in b c d e f; do mkdir -p in/$d; done; ls -d ? f/sub/file",
        corners.display()
    );
    let expected = "closed 0\nerrno kept 1\nstill closed 1\nmask kept 1\nhandler 0\nthread 0\nvfork 5\nfork 5\n\
                    nothing leaked 1\nno descriptors 1\nbad pointer 1\nlong name 1\nf\nf/sub/file\nz\n";
    assert_eq!(world.sh(&script).ok(), expected);
}

/// System calls of a program that strace counts.
fn calls(world: &World, options: &[&str], program: &Path, times: &str) -> Option<usize> {
    let out = world.path().join("strace");
    let words = ["strace", "-f", "-o", out.to_str().unwrap(), program.to_str().unwrap(), times];
    let ran = world.run(["exec"].iter().chain(options).chain(&["--"]).chain(&words));
    if ran.code() == 127 {
        return None;
    }
    ran.ok();
    Some(fs::read_to_string(out).unwrap().lines().count())
}

#[test]
fn a_file_is_renamed_by_one_system_call() {
    needs_sessions!();
    let world = World::new();
    let source = "#include <stdio.h>\n#include <stdlib.h>\nint main(int c, char **v) {\n\
        for (int n = atoi(v[1]); n > 0; n--) if (rename(\"a\", \"b\") || rename(\"b\", \"a\")) return 1; return 0; }";
    let Some(program) = compile(&world, "cc", "loop", source, &[]) else { return };
    world.write("a", "a\n");
    let of = |options: &[&str], times: &str| calls(&world, options, &program, times);
    for options in [&[][..], &["--rename", "off"]] {
        let (Some(none), Some(many)) = (of(options, "0"), of(options, "100")) else {
            eprintln!("skipped: no strace");
            return;
        };
        assert_eq!(many - none, 200, "{options:?}");
    }
}

#[test]
fn long_paths_and_many_slashes_lead_to_the_right_directory() {
    needs_sessions!();
    let world = World::new();
    let mut path = String::new();
    for depth in 0..20 {
        path += &format!("{}/", format!("{depth:02}").repeat(15 + depth * 5));
    }
    assert!(path.len() > 2000);
    world.write(&format!("{path}d/file"), "x");
    let doubled = path.replace('/', "///");
    let script =
        format!("mv {path}d moved && mv moved ./{doubled}e && cat {path}e/file && ! test -e {path}d");
    assert_eq!(world.sh(&script).ok(), "x");
}
