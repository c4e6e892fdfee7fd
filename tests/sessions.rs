//! Several runs of one workspace, runs that are killed, and what the command inherits.

mod support;

use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::World;

/// A run that says `ready` and goes on until its standard input ends.
fn start(world: &World, script: &str) -> Child {
    let script = format!("{script}; echo ready; cat > /dev/null");
    let mut child = world
        .vrift()
        .args(["exec", "--", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    while line != "ready\n" {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the run ended early: {}", errors(&mut child));
    }
    child
}

fn errors(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn finish(mut child: Child) -> String {
    drop(child.stdin.take());
    let text = errors(&mut child);
    assert!(child.wait().unwrap().success(), "{text}");
    text
}

#[test]
fn a_second_run_sees_the_firsts_files_at_once_and_all_is_taken_in_once() {
    needs_sessions!();
    let world = World::new();
    let first = start(&world, "echo one > one; exec 9> lock; flock 9");
    assert_eq!(world.sh("cat one; echo two > two; flock -n lock true || echo locked").ok(), "one\nlocked\n");
    assert_eq!(world.staging().len(), 1);
    let said = finish(first);
    assert!(said.contains("3 files written"), "{said}");
    assert_eq!(world.sh("cat one two; ls; flock -n lock echo free").ok(), "one\ntwo\nlock\none\ntwo\nfree\n");
    assert!(world.staging().is_empty());
}

#[test]
fn the_opener_may_leave_before_a_joiner_does() {
    needs_sessions!();
    let world = World::new();
    let opener = start(&world, "echo opener > opener");
    let joiner = start(&world, "cat opener > joiner");
    let said = finish(opener);
    assert!(!said.contains("written"), "the opener took in: {said}");
    let said = finish(joiner);
    assert!(said.contains("2 files written"), "{said}");
    assert_eq!(world.sh("cat joiner").ok(), "opener\n");
}

/// How many heads of the workspace are of take-ins.
fn heads(world: &World) -> usize {
    world.run(["log", "--heads"]).ok().lines().filter(|line| line.ends_with(" run")).count()
}

#[test]
fn sixteen_runs_at_once_lose_nothing_and_are_taken_in_once() {
    needs_sessions!();
    let slow = std::env::var_os("VRIFT_SLOW").is_some_and(|value| value == "1");
    let world = World::new();
    world.exec(["true"]).ok();
    let there = world.path().join("there");
    for round in 0..if slow { 20 } else { 3 } {
        std::fs::create_dir(&there).unwrap();
        let before = heads(&world);
        let takers = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for run in 0..16 {
                let (world, there, takers) = (&world, there.display(), &takers);
                scope.spawn(move || {
                    // All are in the session before one may leave it.
                    let script = format!(
                        "touch {there}/{run}; until [ $(ls {there} | wc -l) = 16 ]; do sleep 0.02; done; \
                         mkdir -p d{round}; i=0; while [ $i -lt 200 ]; do echo {run}-$i > d{round}/{run}-$i; i=$((i + 1)); done"
                    );
                    let ran = world.sh(&script);
                    if ran.stderr().contains("files written") {
                        takers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    ran.ok();
                });
            }
        });
        std::fs::remove_dir_all(&there).unwrap();
        assert_eq!(takers.into_inner(), 1, "round {round}");
        assert_eq!(heads(&world), before + 1, "round {round}");
        let all = format!("ls d{round} | wc -l; cat d{round}/* | sort -u | wc -l");
        assert_eq!(world.sh(&all).ok(), "3200\n3200\n");
    }
    assert!(world.staging().is_empty());
}

#[test]
fn runs_join_and_leave_in_any_order_and_the_last_one_takes_in() {
    needs_sessions!();
    let world = World::new();
    world.exec(["true"]).ok();
    let mut random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    eprintln!("seed {random}");
    for round in 0..3 {
        let before = heads(&world);
        let (mut live, mut begun) = (Vec::new(), 0);
        while begun < 6 || !live.is_empty() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let choice = (random >> 33) as usize;
            if begun < 6 && (live.is_empty() || choice.is_multiple_of(2)) {
                live.push(start(&world, &format!("echo {begun} > r{round}-{begun}")));
                begun += 1;
            } else if begun == 6 || live.len() > 1 {
                // The others go on, and this one does not wait for them.
                let said = finish(live.remove(choice / 2 % live.len()));
                assert_eq!(said.contains("6 files written"), live.is_empty(), "{said}");
            }
        }
        assert_eq!(heads(&world), before + 1);
        assert_eq!(world.sh(&format!("cat r{round}-*")).ok(), "0\n1\n2\n3\n4\n5\n");
    }
}

#[test]
fn a_killed_launcher_takes_its_command_along_and_the_next_run_works() {
    needs_sessions!();
    let world = World::new();
    world.sh("echo before > kept").ok();
    let mut child = start(&world, "echo $$ > pid; echo half > half");
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    let ran = world.sh("cat kept; ls");
    assert!(began.elapsed() < Duration::from_secs(10));
    // The head is what it was; what the killed run wrote is named and kept.
    assert_eq!(ran.stdout(), "before\nkept\n");
    assert!(ran.stderr().contains("vrift recover"), "{}", ran.stderr());
    let orphan = world.run(["recover"]).ok();
    let orphan = orphan.split(' ').next().unwrap().to_string();
    world.run(["recover", &orphan, "--keep"]).ok();
    assert_eq!(world.sh("cat half; ls").ok(), "half\nhalf\nkept\npid\n");
    assert!(world.staging().is_empty());
}

#[test]
fn an_orphan_can_be_dropped() {
    needs_sessions!();
    let world = World::new();
    let mut child = start(&world, "echo half > half; mkdir d; chmod 0 d");
    child.kill().unwrap();
    child.wait().unwrap();
    world.exec(["true"]).ok();
    assert!(world.run(["status"]).ok().contains("orphan"));
    world.run(["recover", "--drop"]).ok();
    assert_eq!(world.sh("ls").ok(), "");
    assert!(world.staging().is_empty());
}

#[test]
fn what_a_command_leaves_running_is_ended_and_named() {
    needs_sessions!();
    let world = World::new();
    let began = Instant::now();
    let ran = world.sh("sleep 100 & echo started");
    assert_eq!(ran.stdout(), "started\n");
    assert!(ran.stderr().contains("sleep"), "{}", ran.stderr());
    assert!(began.elapsed() < Duration::from_secs(20));
    let waited = world.run(["exec", "--wait", "sh", "-c", "(sleep 0.3; echo late > late) & true"]);
    waited.ok();
    assert_eq!(world.sh("cat late").ok(), "late\n");
}

#[test]
fn a_jobserver_and_substituted_files_reach_the_command() {
    needs_sessions!();
    let world = World::new();
    let rules: String = (0..8).map(|n| format!("t{n}:\n\t@sleep 0.05; echo {n} > t{n}\n")).collect();
    let all: String = (0..8).map(|n| format!(" t{n}")).collect();
    world.write("Makefile", format!("all:{all}\n{rules}"));
    // As a sub-make of a make outside: MAKEFLAGS names its jobserver.
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let outer = world.path().join("outer.mk");
    std::fs::write(&outer, format!("all:\n\t+@cd $(DIR) && {vrift} exec -- $(MAKE) -f Makefile\n")).unwrap();
    let ran = std::process::Command::new("make")
        .args(["-j4", "-f"])
        .arg(&outer)
        .arg(format!("DIR={}", world.project.display()))
        .env("HOME", &world.home)
        .env("VRIFT_STORE", &world.store)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && !said.contains("jobserver"), "{said}");
    assert_eq!(world.sh("cat t7").ok(), "7\n");
    let script = format!("{vrift} exec -- cat <(echo substituted)");
    let ran = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(&world.project)
        .env("HOME", &world.home)
        .env("VRIFT_STORE", &world.store)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "substituted\n");
}

#[test]
fn only_the_callers_descriptors_reach_the_command() {
    needs_sessions!();
    let world = World::new();
    let mut passed = tempfile::tempfile().unwrap();
    passed.write_all(b"passed").unwrap();
    rustix::io::fcntl_setfd(&passed, rustix::io::FdFlags::empty()).unwrap();
    let number = passed.as_raw_fd();
    let ran = world.sh("for f in /proc/self/fd/*; do readlink $f || true; done");
    let leaked: Vec<String> = ran
        .ok()
        .lines()
        .filter(|target| {
            target.contains("/store/") || target.contains("inotify") || target.contains("socket:")
        })
        .map(str::to_string)
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    assert_eq!(world.sh(&format!("wc -c < /proc/self/fd/{number}")).ok(), "6\n");
}

#[test]
fn the_store_and_the_capabilities_are_gone_inside() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    world.exec(["true"]).ok();
    let store = world.store.display();
    assert_eq!(
        world.sh(&format!("ls {store}")).ok(),
        "inside.json\npreload\nrename.sock\nrequests\nrun\nsession.page\n"
    );
    assert_ne!(world.sh(&format!("umount {store} || umount -l {store}")).code(), 0);
    assert_ne!(world.sh(&format!("touch {store}/x")).code(), 0);
    assert_ne!(world.sh(&format!("cat /proc/1/root{store}/format.json")).code(), 0);
    let status = world.sh("grep -E 'CapEff|NoNewPrivs' /proc/self/status").ok();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let effective = u64::from_str_radix(effective, 16).unwrap();
    let (admin, ptrace) = (1 << 21, 1 << 19);
    assert_eq!(effective & (admin | ptrace), 0, "{effective:x}");
    if !rustix::process::geteuid().is_root() {
        assert_eq!(effective, 0);
    }
    let who = world.sh("id -u; id -g").ok();
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!(who, format!("{user}\n{group}\n"));
}

#[test]
fn a_descriptor_that_left_the_session_cannot_change_an_object() {
    needs_sessions!();
    let world = World::new();
    // A server outside of the session receives a writable descriptor and keeps it.
    let socket = world.path().join("socket");
    let server = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let script = format!(
        "import socket, array\nf = open('out', 'w'); f.write('good'); f.flush()\n\
         s = socket.socket(socket.AF_UNIX); s.connect({:?})\n\
         s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [f.fileno()]))])\n\
         s.recv(1)\n",
        socket.to_str().unwrap()
    );
    world.write("send.py", script);
    let receiver = std::thread::spawn(move || {
        let (stream, _) = server.accept().unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0u8; 1];
        let mut parts = [std::io::IoSliceMut::new(&mut byte)];
        let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
        rustix::net::recvmsg(&stream, &mut parts, &mut control, flags).unwrap();
        let fd = control.drain().find_map(|message| match message {
            rustix::net::RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        (&stream).write_all(b"y").unwrap();
        fd.unwrap()
    });
    let python = std::process::Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no python3");
        return;
    }
    let ran = world.exec(["python3", "send.py"]);
    assert!(ran.stderr().contains("still open somewhere"), "{}", ran.stderr());
    let mut file = std::fs::File::from(receiver.join().unwrap());
    file.write_all(b"EVIL").unwrap();
    drop(file);
    assert_eq!(world.sh("cat out").ok(), "good");
}

#[test]
fn what_a_killed_take_in_had_linked_is_an_object_like_all_others() {
    needs_sessions!();
    let world = World::new();
    let mut child = start(&world, "echo linked > out; chmod 600 out");
    child.kill().unwrap();
    child.wait().unwrap();
    world.exec(["true"]).ok(); // waits for the session's end
    // As a take-in leaves it that is killed between linking and its commit.
    let staging = world.staging().pop().unwrap();
    let object = world.store.join("objects").join(vrift::cas::Digest::of(b"linked\n").object_path());
    std::fs::create_dir_all(object.parent().unwrap()).unwrap();
    std::fs::hard_link(staging.join("upper/out"), &object).unwrap();
    std::fs::write(staging.join("closed"), "").unwrap();
    assert_eq!(world.sh("cat out; stat -c %a out").ok(), "linked\n600\n");
    use std::os::unix::fs::MetadataExt;
    let mode = if world.links_objects() { 0o600 } else { 0o444 };
    assert_eq!(object.metadata().unwrap().mode() & 0o7777, mode);
}
