//! Every change of kind, by every way that brings one state to another: the file, the
//! directory (empty or not), the symbolic link, the FIFO and nothing, before and after.

mod support;

use std::process::Command;

use support::{World, listing};

const KINDS: [&str; 6] = ["file", "dir", "full", "link", "fifo", "none"];

/// How a kind is made; `again`: the same kind, otherwise.
fn make(name: &str, kind: &str, again: bool) -> String {
    let mark = if again { "2" } else { "1" };
    match kind {
        "file" => format!("echo {mark} > {name}; "),
        "dir" => format!("mkdir -p {name}; chmod 7{mark}0 {name}; "),
        "full" => format!("mkdir -p {name}/in; echo {mark} > {name}/in/f; ln -s {mark} {name}/l{mark}; "),
        "link" => format!("ln -s to{mark} {name}; "),
        "fifo" => format!("mkfifo -m 6{mark}0 {name}; "),
        _ => String::new(),
    }
}

fn pairs() -> Vec<(String, &'static str, &'static str)> {
    let all = KINDS.iter().flat_map(|before| KINDS.iter().map(move |after| (*before, *after)));
    all.filter(|pair| *pair != ("none", "none")).map(|(a, b)| (format!("{a}-{b}"), a, b)).collect()
}

/// All but `.git`; the root's own line apart.
fn tree(world: &World, name: &str) -> Vec<String> {
    let to = world.path().join(name);
    world.run(["exec", "--no-sync", "cp", "-a", ".", to.to_str().unwrap()]).ok();
    listing(&to).into_iter().skip(1).filter(|line| !line.starts_with("\".git")).collect()
}

#[test]
fn all_pairs_are_told_applied_and_restored() {
    needs_sessions!();
    let world = World::new();
    let before: String = pairs().iter().map(|(name, kind, _)| make(name, kind, false)).collect();
    let made = Command::new("sh").args(["-c", &before]).current_dir(&world.project).status().unwrap();
    assert!(made.success());
    world.run(["commit", "before"]).ok();
    let old = tree(&world, "old");
    let after: String =
        pairs().iter().map(|(name, _, kind)| format!("rm -rf {name}; {}", make(name, kind, true))).collect();
    world.sh(&after).ok();
    let new = tree(&world, "new");
    let told = world.run(["diff", "--name-status"]).ok();
    for (name, before, after) in pairs() {
        let is_dir = |kind: &str| matches!(kind, "dir" | "full");
        let letter = match (before, after) {
            ("none", "full") | ("full", "none") => continue, // what is in it says so
            ("none", _) => 'A',
            (_, "none") => 'D',
            ("dir", "dir") | ("fifo", "fifo") => 'm',
            (a, b) if is_dir(a) && is_dir(b) => continue,
            (a, b) if a == b => 'M',
            _ => 'T',
        };
        let slash = if is_dir(before) && after == "none"
            || is_dir(after) && before == "none"
            || letter == 'm' && is_dir(after)
        {
            "/"
        } else {
            ""
        };
        let line = format!("{letter} {name}{slash}");
        assert!(
            told.lines().any(|told| told == line || told.starts_with(&format!("{line} "))),
            "{line}\n{told}"
        );
    }
    let host = || -> Vec<String> {
        listing(&world.project).into_iter().skip(1).filter(|line| !line.starts_with("\".git")).collect()
    };
    assert_eq!(host(), old);
    world.run(["apply"]).ok();
    assert_eq!(host(), new);
    assert!(world.run(["diff", "--name-status"]).ok().is_empty());
    // back in the workspace, and from there to the host
    world.run(["restore", "before"]).ok();
    assert_eq!(tree(&world, "restored"), old);
    world.run(["apply"]).ok();
    assert_eq!(host(), old);
    world.run(["undo"]).ok();
    assert_eq!(tree(&world, "undone"), new);
}
