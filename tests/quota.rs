//! `[quota]`: a session that writes too much is ended and what it wrote is kept aside; a start
//! with too little room is refused. On filesystems small enough to be filled.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Ran, World, in_namespaces};

/// Writes so many MiB into a file, a tenth at a time, and then waits to be ended.
fn writer(megabytes: u32) -> String {
    format!(
        "trap 'echo told >> log; exit 0' TERM; i=0; while [ $i -lt 10 ]; do \
         head -c {} /dev/zero >> big; i=$((i+1)); done; while :; do sleep 0.05; done",
        megabytes * 104_858
    )
}

#[test]
fn a_session_over_its_limit_is_ended_and_what_it_wrote_is_an_orphan() {
    needs_sessions!();
    for (flags, script, says) in [
        (&["--max-staging", "8 MiB"][..], writer(20), "may stage 8.4 MB"),
        (&["--config", "quota.staging=8MiB"], writer(20), "may stage 8.4 MB"),
        (
            &["--max-files", "300"],
            "echo small > big; mkdir d; cd d; seq 600 | xargs touch; while :; do sleep 0.05; done".into(),
            "names, and may stage 300",
        ),
        (&["--max-store", "8 MiB"], writer(20), "the store takes"),
    ] {
        let world = World::new();
        world.write("a", "host\n");
        world.sh("echo before > kept").ok();
        let began = Instant::now();
        let ran = world.run(["exec"].iter().chain(flags).chain(&["--", "sh", "-c", &script]));
        let said = ran.fails(125);
        assert!(
            said.contains("was ended") && said.contains(says) && said.contains("vrift recover"),
            "{said}"
        );
        assert!(began.elapsed() < Duration::from_secs(60));
        // the head is as before, other runs work, and what was written is not lost
        let next = world.sh("cat a kept; ls");
        assert!(next.stderr().contains("vrift recover"), "{}", next.stderr());
        assert_eq!(next.ok(), "host\nbefore\na\nkept\n");
        assert!(world.run(["runs"]).ok().contains("125"));
        world.run(["recover", "--keep"]).ok();
        assert!(world.sh("[ -s big ] && echo there").ok().contains("there"));
        assert!(world.staging().is_empty());
    }
}

#[test]
fn who_stays_below_a_limit_notices_nothing() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    let limits = ["--max-staging", "64 MiB", "--max-files", "5000", "--max-store", "1 GiB"];
    let script = "head -c 20000000 /dev/zero > big; sleep 2.5; rm big; head -c 20000000 /dev/zero > again";
    let ran = world.run(["exec"].iter().chain(&limits).chain(&["--", "sh", "-c", script]));
    assert!(ran.stderr().contains("1 file written"), "{}", ran.stderr());
    ran.ok();
    for bad in [["--max-staging", "lots"], ["--max-files", "many"], ["--max-store", "1.5G"]] {
        let said = world.run(["exec", bad[0], bad[1], "true"]).fails(125);
        assert!(said.contains("hint: "), "{said}");
    }
}

#[test]
fn who_joins_is_ended_too_and_brings_its_own_limit() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    let script = "head -c 12000000 /dev/zero > big; echo up; while :; do sleep 0.05; done";
    let mut opener = world.vrift();
    opener.args(["exec", "--", "sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut opener = opener.spawn().unwrap();
    std::io::Read::read_exact(opener.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
    // what was there before it came counts
    let joiner = world.run(["exec", "--max-staging", "8 MiB", "--", "sleep", "100"]);
    let opener = Ran(opener.wait_with_output().unwrap());
    let both = [joiner.stderr(), opener.stderr()].concat();
    assert!(both.contains("was ended: it has staged 12.0 MB"), "{both}");
    assert!([joiner.code(), opener.code()].contains(&125));
    world.run(["recover", "--drop"]).ok();
    assert_eq!(world.exec(["ls"]).ok(), "a\n");
}

#[test]
fn a_start_with_too_little_room_is_refused_and_a_session_stops_at_the_floor() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    // 64 MiB, of which 3.2 are to stay free
    let script = "
        export VRIFT_STORE=$S/store
        mount -t tmpfs -o size=64m none $S || exit 77
        $V exec true || exit 9
        head -c 50000000 /dev/zero > $S/others; echo no limit:
        $V exec cat a; echo $?
        head -c 14200000 /dev/zero >> $S/others; echo too little:
        $V exec cat a 2> $S/../said; echo $?; grep -c 'are to stay free' $S/../said; grep -c 'hint: ' $S/../said
        $V status > /dev/null; echo $?
        $V --config quota.floor=off exec cat a 2> /dev/null || $V exec --config quota.floor=off cat a; echo $?
        rm $S/others; echo a session:
        $V exec sh -c 'i=0; while [ $i -lt 64 ]; do head -c 1000000 /dev/zero >> big || break; i=$((i+1)); [ $i -lt 60 ] || sleep 5; done; sleep 20' \
            2> $S/../said
        echo $?; grep -c 'was ended: it has staged' $S/../said
        $V recover --drop > /dev/null 2>&1; $V exec ls
        umount $S";
    let Some(ran) = in_namespaces(&world, script) else { return };
    let want = "no limit:\nhost\n0\ntoo little:\n125\n1\n1\n0\nhost\n0\na session:\n125\n1\na\n";
    assert_eq!(ran.stdout(), want, "{}", ran.stderr());
}

/// One statfs(2) at the start and, where something is limited, one more; a run of less than a
/// second has no others.
#[test]
fn a_limit_costs_a_start_one_call() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    world.exec(["true"]).ok();
    let calls = |flags: &[&str]| {
        let file = world.path().join("trace");
        let mut command = world.command("strace");
        command
            .args(["-f", "-e", "trace=statfs,newfstatat", "-o"])
            .arg(&file)
            .arg(env!("CARGO_BIN_EXE_vrift"));
        command.args(["exec", "--no-sync"]).args(flags).args(["--", "true"]);
        command.output().ok().filter(|output| output.status.success())?;
        let text = std::fs::read_to_string(&file).unwrap();
        let store = world.store.display().to_string();
        Some(text.lines().filter(|line| line.contains("statfs(") && line.contains(&store)).count())
    };
    let Some(usual) = calls(&[]) else { return eprintln!("skipped: no strace") };
    let limited = calls(&["--max-staging", "1GiB", "--max-files", "100000"]).unwrap();
    assert!(usual >= 1 && limited == usual + 1, "{usual} {limited}");
}
