//! The preload library answers as the kernel would, or not at all (rules 28 to 30). Here it
//! looks at a tree of its own, without a session: what it does depends on its page and
//! tables alone.

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::compile;
use vrift::psfs::page::{RENAME_DOOR, STAT};
use vrift::psfs::sight::{self, Seen};
use vrift::psfs::table::{Wanted, build};
use vrift::psfs::{library, page};

/// A tree with two roots, and a directory that has what the store's cover has in a session.
struct Stage {
    dir: tempfile::TempDir,
    tree: PathBuf,
    library: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (tree, store) = (top.join("tree"), top.join("store"));
        fs::create_dir_all(tree.join("work")).unwrap();
        fs::create_dir(&store).unwrap();
        for number in 0..2 {
            fs::create_dir_all(tree.join(format!("t{number}/sub"))).unwrap();
            fs::write(tree.join(format!("t{number}/sub/file")), "x").unwrap();
        }
        let library =
            library::publish(&store).unwrap().expect("a library for this architecture").join("x86_64.so");
        Self { dir, tree, library }
    }

    fn cover(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("store").join(name)
    }

    /// Describes the tree as it is now.
    fn describe(&self) {
        let roots = [b"t0".to_vec(), b"t1".to_vec()];
        let wanted = Wanted {
            base: &self.tree,
            version: (1, 1),
            roots: &roots,
            except: &[],
            objects: None,
            coarse: false,
        };
        self.put("0.vdir", &build(&wanted).unwrap());
        let seen = |number: u32| {
            let path = self.tree.join(format!("t{number}"));
            Seen { path: std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap(), table: 0, number }
        };
        let roots = [seen(0), seen(1)];
        let mut page = sight::blank(RENAME_DOOR | STAT, &roots);
        for (number, root) in roots.iter().enumerate() {
            let at = usize::try_from(sight::place(number)).unwrap();
            page[at..at + page::SIGHT].copy_from_slice(&sight::look(&root.path).unwrap().encode());
        }
        self.put(page::NAME.to_str().unwrap(), &page);
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.cover(name);
        let aside = self.cover("aside");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, path).unwrap();
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", &self.library).current_dir(&self.tree);
        command
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/psfs").join(name);
        compile(self.dir.path(), "cc", name.trim_end_matches(".c"), &source, &["-O1", "-D_FORTIFY_SOURCE=0"])
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Whether a program that looks at a file of the tree is answered from the table: it is
/// told what the file was when it was described.
fn is_hot(stage: &Stage, path: &Path) -> bool {
    let output = stage.command(Path::new("stat")).args(["-L", "-c", "%Y"]).arg(path).output().unwrap();
    text(&output).trim() == "1000000000"
}

/// A file that was of 2001 when it was described.
fn aged(stage: &Stage) -> PathBuf {
    let path = stage.tree.join("t0/sub/file");
    let touch = |time: &str| {
        assert!(Command::new("touch").args(["-d", time]).arg(&path).status().unwrap().success());
    };
    touch("@1000000000");
    stage.describe();
    touch("@1100000000");
    path
}

#[test]
fn every_call_says_what_the_kernel_says() {
    let stage = Stage::new();
    let Some(differ) = stage.program("differ.c") else { return };
    let mut list = Vec::new();
    let mut add = |path: &Path| {
        list.extend_from_slice(path.as_os_str().as_bytes());
        list.push(0);
    };
    let (mut links, mut names, mut odd) = (0, 2, 0);
    let mut followed = Vec::new();
    for dir in 0..202 {
        let at = stage.tree.join(format!("t{}/dir-{dir}/nested", dir % 2));
        fs::create_dir_all(&at).unwrap();
        add(&at);
        add(at.parent().unwrap());
        names += 2;
        for number in 0..99 {
            let path = at.join(format!("some-longer-name.{number}"));
            match number {
                0 => symlink("some-longer-name.1", &path).unwrap(),
                1 => fs::write(&path, vec![b'x'; dir * 1000]).unwrap(),
                2 => fs::hard_link(at.join("some-longer-name.1"), &path).unwrap(),
                3 => symlink("nowhere", &path).unwrap(),
                4 if dir == 0 => {
                    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                        .unwrap()
                }
                _ => fs::write(&path, "").unwrap(),
            }
            if number == 0 || number == 3 {
                links += 1;
                followed.push(path.clone());
            }
            odd += u64::from(number == 4 && dir == 0);
            names += 1;
            add(&path);
            add(&at.join(format!("no-such-name.{number}")));
        }
    }
    add(&stage.tree.join("t0"));
    add(&stage.tree.join("t1"));
    let list_path = stage.dir.path().join("list");
    fs::write(&list_path, &list).unwrap();
    // The access time of a link moves when it is followed for the first time (relatime, mount(8)).
    std::thread::sleep(std::time::Duration::from_millis(50));
    for link in &followed {
        fs::read_link(link).unwrap();
    }
    stage.describe();
    let output = stage.command(&differ).arg(&list_path).output().unwrap();
    let said = text(&output);
    let absent = 202 * 99;
    assert!(names > 20_000);
    for line in said.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let (there, cold) = match words[0] {
            // of a link as last component, and of what is neither file nor directory, only that it is there
            "lstat" | "fstatat-nofollow" | "__lxstat" | "statx-nofollow" | "statx-no-automount"
            | "statx-by-number" => (names - odd, odd),
            "access" | "faccessat" => (names - links, links),
            "access-readable" | "open" | "openat" => (0, names),
            _ => (names - links - odd, links + odd),
        };
        assert_eq!(
            [number(2), number(4), number(6), number(8)],
            [there, absent, cold, 0],
            "{line}\n{output:?}"
        );
    }
    assert_eq!(said.lines().count(), 22);
    // a million of them stay below 150 MB
    let table = fs::metadata(stage.cover("0.vdir")).unwrap().len();
    assert!(table / names < 150, "{table} bytes for {names} names");
}

#[test]
fn an_answer_takes_nothing_but_memory() {
    let stage = Stage::new();
    let Some(corners) = stage.program("corners.c") else { return };
    stage.describe();
    let (there, absent) = (stage.tree.join("t0/sub/file"), stage.tree.join("t1/sub/no"));
    let run = |more: &[&str]| {
        text(&stage.command(&corners).arg(&there).arg(&absent).arg("work").args(more).output().unwrap())
    };
    let expected = "getpid by number 1\nfailure by number 1\nmmap by number 1\nbad pointer 1\nno buffer 1\ncreate 1\ncreate at 1\n\
        open 1\nstrict 5\nstrict and cold 9\nhot 1\nrelative 1\nflags 1\nmore of statx 1\nsynced statx 1\neffective ids 1\neaccess 1\nwriting 1\ncreating 1\n\
        readable 1\nhandler 1\nsmall stack 1\nthreads 1\nvfork 5\nafter vfork 1\nforks 500\n";
    assert_eq!(run(&[]), expected);
}

#[test]
fn what_may_change_the_mounts_ends_all_answers() {
    let stage = Stage::new();
    let Some(corners) = stage.program("corners.c") else { return };
    let there = aged(&stage);
    let run = stage.command(&corners).arg(&there).args(["none", "work", "changed"]).output().unwrap();
    let expected = "nothing 0\nchroot 1\nunshare 1\nsetns 1\nmount 1\nmount by number 1\npivot_root by number 1\nclone by number 1\n";
    assert_eq!(text(&run), expected);
}

#[test]
fn another_mount_or_root_directory_is_cold() {
    let stage = Stage::new();
    let there = aged(&stage);
    assert!(is_hot(&stage, &there));
    let unshare = |options: &str, script: &str| {
        let script =
            format!("{script} && LD_PRELOAD={} stat -L -c %Y {}", stage.library.display(), there.display());
        Command::new("unshare").args([options, "sh", "-c", &script]).output().unwrap()
    };
    let probe = Command::new("unshare").args(["-Urm", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        support::skipped("no user namespaces");
        return;
    }
    // the same device, inode and path, by a mount of its own (rule 29)
    assert_eq!(text(&unshare("-Urm", "true")), "1100000000\n");
    assert_eq!(text(&unshare("-Ur", "true")), "1000000000\n");
    let over = format!("mount --bind {0}/t1 {0}/t0", stage.tree.display());
    let output = unshare("-Urm", &format!("{over} && touch -d @1200000000 {}", there.display()));
    assert_eq!(text(&output), "1200000000\n");
}

#[test]
fn a_root_that_is_not_as_described_is_cold() {
    let stage = Stage::new();
    let there = aged(&stage);
    assert!(is_hot(&stage, &there));
    fs::write(stage.tree.join("t0/new"), "").unwrap();
    assert!(!is_hot(&stage, &there), "the root's mtime is another");
    stage.describe();
    fs::set_permissions(stage.tree.join("t0"), fs::Permissions::from_mode(0o700)).unwrap();
    let other = stage.tree.join("t1/sub/file");
    assert!(Command::new("touch").args(["-d", "@1000000000"]).arg(&other).status().unwrap().success());
    stage.describe();
    assert!(Command::new("touch").args(["-d", "@1100000000"]).arg(&other).status().unwrap().success());
    assert!(is_hot(&stage, &other));
    // a root is known by its inode, not by its path alone
    fs::rename(stage.tree.join("t1"), stage.tree.join("t2")).unwrap();
    fs::create_dir_all(stage.tree.join("t1/sub")).unwrap();
    fs::copy(stage.tree.join("t2/sub/file"), &other).unwrap();
    assert!(!is_hot(&stage, &other));
}

#[test]
fn broken_tables_and_pages_make_everything_cold() {
    let stage = Stage::new();
    let there = aged(&stage);
    assert!(is_hot(&stage, &there));
    let (table, page) =
        (fs::read(stage.cover("0.vdir")).unwrap(), fs::read(stage.cover("session.page")).unwrap());
    for (name, right) in [("0.vdir", &table), ("session.page", &page)] {
        let changed = |at: usize| {
            let mut bytes = right.clone();
            bytes[at] ^= 0x55;
            bytes
        };
        let longer = [&right[..], b"x"].concat();
        let mut wrong =
            vec![Vec::new(), right[..1].to_vec(), changed(0), changed(7), vec![0; 4096], vec![0xff; 4096]];
        if name == "0.vdir" {
            wrong.extend([
                right[..right.len() - 1].to_vec(),
                longer,
                changed(8),
                changed(20),
                changed(24),
                changed(113),
            ]);
        } else {
            wrong.extend([
                right[..40].to_vec(),
                right[..right.len() / 2].to_vec(), // names are at the end
                changed(24),
                changed(32),
                changed(40),
                changed(64),
                changed(72),
            ]);
        }
        for bytes in wrong {
            stage.put(name, &bytes);
            assert!(!is_hot(&stage, &there), "{name} {:?}", &bytes[..bytes.len().min(130)]);
        }
        stage.put(name, right);
        assert!(is_hot(&stage, &there));
        fs::remove_file(stage.cover(name)).unwrap();
        assert!(!is_hot(&stage, &there));
        stage.put(name, right);
    }
}

/// Bytes of a table that are not checked when it is opened are whatever they are: nobody crashes.
#[test]
fn a_broken_body_harms_nobody() {
    let stage = Stage::new();
    stage.describe();
    let right = fs::read(stage.cover("0.vdir")).unwrap();
    let mut state = 88_172_645_463_325_252u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..40 {
        let mut bytes = right.clone();
        for _ in 0..1 + random() % 60 {
            let at = 120 + random() % (bytes.len() - 120);
            bytes[at] = u8::try_from(random() % 256).unwrap();
        }
        stage.put("0.vdir", &bytes);
        let mut ls = stage.command(Path::new("ls"));
        let output = ls
            .args(["-la", "--time-style=full-iso"])
            .args(["t0", "t0/sub", "t1/sub/file", "t1/no"].map(|path| stage.tree.join(path)))
            .output()
            .unwrap();
        assert!(output.status.code().is_some(), "{output:?}");
    }
}

#[test]
fn before_and_beside_other_libraries_it_does_no_harm() {
    let stage = Stage::new();
    let there = aged(&stage);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/psfs/early.c");
    let Some(early) = compile(stage.dir.path(), "cc", "early.so", &source, &["-shared", "-fPIC"]) else {
        return;
    };
    let mut allocators: Vec<PathBuf> = ["libjemalloc.so.2", "libmimalloc.so.2", "libmimalloc.so.2.0"]
        .iter()
        .map(|name| Path::new("/usr/lib/x86_64-linux-gnu").join(name))
        .filter(|path| path.exists())
        .collect();
    if allocators.is_empty() {
        eprintln!("skipped: no other allocators here");
    }
    allocators.push(early);
    for other in &allocators {
        for order in [[other, &stage.library], [&stage.library, other]] {
            let preload = format!("{}:{}", order[0].display(), order[1].display());
            let mut command = stage.command(Path::new("sh"));
            command.env("LD_PRELOAD", &preload).env("EARLY", &there);
            let script = format!("stat -L -c %Y {}; echo ${{EARLY_SAID:-}}", there.display());
            let said = text(&command.args(["-c", &script]).output().unwrap());
            let is_early = other.ends_with("early.so");
            assert_eq!(said, format!("1000000000\n{}\n", if is_early { "there" } else { "" }), "{preload}");
        }
    }
    // it is the last to be looked through, and needs nobody
    let output = stage.command(Path::new("true")).env("LD_DEBUG", "libs,scopes").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let calls: Vec<&str> = said.lines().filter(|line| line.contains("calling init:")).collect();
    assert!(calls.iter().any(|line| line.contains("x86_64.so")), "{said}");
}

/// In the section that answers nothing is decoded as a system call or a locked instruction.
/// It calls nothing but itself and where errno is, and leaves for what asks the kernel only by
/// a jump, when it has no more to do.
#[test]
fn the_disassembly_of_what_answers_has_no_system_call() {
    let stage = Stage::new();
    let dump = |section: &str| {
        let output = Command::new("objdump")
            .args(["-d", "--no-show-raw-insn", "-j", section])
            .arg(&stage.library)
            .output();
        output.ok().filter(|output| output.status.success()).map(|output| text(&output))
    };
    let (Some(answering), Some(other)) = (dump("psfs_answer"), dump("psfs_cold")) else {
        eprintln!("skipped: no objdump");
        return;
    };
    let instructions = |text: &str| -> Vec<(u64, String)> {
        let lines = text.lines().filter_map(|line| line.split_once(":\t"));
        lines
            .filter_map(|(at, what)| Some((u64::from_str_radix(at.trim(), 16).ok()?, what.to_owned())))
            .collect()
    };
    let (inside, outside) = (instructions(&answering), instructions(&other));
    assert!(inside.len() > 300, "{answering}");
    let first = |list: &[(u64, String)]| list.iter().map(|(at, _)| *at).min().unwrap();
    let last = |list: &[(u64, String)]| list.iter().map(|(at, _)| *at).max().unwrap();
    let is_call =
        |what: &str| ["syscall", "sysenter", "int "].iter().any(|name| what.trim_start().starts_with(name));
    assert!(outside.iter().any(|(_, what)| is_call(what)), "the kernel is asked somewhere");
    for (at, what) in &inside {
        assert!(!is_call(what), "{at:x}: {what}");
        let locks = what.starts_with("lock ") || what.starts_with("xchg") && what.contains('(');
        assert!(!locks, "{at:x}: {what}");
        let Some((operation, target)) = what.split_once(' ') else { continue };
        if !operation.starts_with('j') && operation != "call" {
            continue;
        }
        // by a register or the offset table: __errno_location
        let target = target.trim();
        let Ok(to) = u64::from_str_radix(target.split(' ').next().unwrap(), 16) else {
            assert!(operation == "call" && target.starts_with('*'), "{at:x}: {what}");
            continue;
        };
        let stays = (first(&inside)..=last(&inside)).contains(&to);
        let goes_cold = (first(&outside)..=last(&outside)).contains(&to);
        assert!(stays || goes_cold && operation == "jmp", "{at:x}: {what}");
    }
}
