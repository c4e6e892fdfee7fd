//! The project on another filesystem than the store, and both on one that shares blocks: xfs and
//! btrfs on loop devices, under each projection, as root and as an ordinary user. Only root can
//! mount them.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::disk::Disk;
use support::{Ran, World, listing};

const USER: u32 = 1000;

/// A filesystem of this kind; `None`, said: there can be none here.
fn disk(world: &World, kind: &str) -> Option<Disk> {
    let options: &[&str] = if kind == "xfs" { &["-q", "-m", "reflink=1"] } else { &["-q"] };
    let dir = world.path().join(kind);
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
    let made = Disk::made_by(&dir, &format!("mkfs.{kind}"), options);
    let made = made.map_err(|why| eprintln!("skipped: no {kind}: {why}")).ok()?;
    std::fs::set_permissions(&made.at, PermissionsExt::from_mode(0o1777)).unwrap();
    Some(made)
}

/// A project and a store for it, of one user, used under one projection.
struct Case<'a> {
    world: &'a World,
    project: PathBuf,
    store: PathBuf,
    user: Option<u32>,
    projection: &'a str,
}

impl Case<'_> {
    fn command(&self, words: &[&str]) -> Ran {
        let mut command = match self.user {
            Some(user) => {
                let id = user.to_string();
                let mut command = self.world.command("setpriv");
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).args(words);
                command
            }
            None => {
                let mut command = self.world.command(words[0]);
                command.args(&words[1..]);
                command
            }
        };
        command.current_dir(&self.project).env("HOME", self.store.parent().unwrap());
        command.env("VRIFT_STORE", &self.store).env("VRIFT_RUN_PROJECTION", self.projection);
        Ran(command.output().unwrap())
    }

    fn vrift(&self, words: &[&str]) -> Ran {
        self.command(&[&[env!("CARGO_BIN_EXE_vrift")], words].concat())
    }

    fn sh(&self, script: &str) -> Ran {
        self.vrift(&["exec", "--", "sh", "-ec", script])
    }

    /// What the files of the view are.
    fn files(&self) -> String {
        let script = "exec 3>&1 1>&2; exec \"$0\" exec --status-fd 3 true";
        let text = self.command(&["sh", "-c", script, env!("CARGO_BIN_EXE_vrift")]).ok();
        let opened: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(opened["projection"], self.projection, "{text}");
        opened["files"].as_str().unwrap().to_string()
    }

    fn fill(&self) {
        let make =
            "mkdir -p sub/deep; echo text > a; printf '#!/bin/sh\\necho tool\\n' > tool; chmod 750 tool
            seq 300000 > big; : > empty; ln -s a link; echo hard > h1; ln h1 h2; echo down > sub/deep/file
            setfattr -n user.x -v y a; touch -d @1000000000.123456789 big; chmod 555 sub/deep";
        self.command(&["sh", "-ec", make]).ok();
    }

    fn use_it(&self) {
        let what = format!("{} {} {:?}", self.project.display(), self.projection, self.user);
        self.fill();
        let before = listing(&self.project);
        let look = "cat a link; ./tool; wc -l < big; stat -c %a tool; stat -c %h h1; stat -c %y big; getfattr -n user.x --only-values a";
        let host = self.command(&["sh", "-ec", look]).ok();
        assert_eq!(self.sh(look).ok(), host, "{what}");
        self.sh("cp big big2; echo more >> big; rm h1; mv sub moved; ln -s tool link2; chmod 700 tool").ok();
        assert_eq!(listing(&self.project), before, "{what}");
        let seen = "tail -1 big; tail -1 big2; cat h2 moved/deep/file; readlink link2; stat -c %a tool; ls";
        let inside = self.sh(seen).ok();
        assert!(inside.starts_with("more\n300000\nhard\ndown\ntool\n700\n"), "{what}: {inside}");
        self.vrift(&["fork", "side"]).ok();
        let side = self.vrift(&["exec", "-w", "side", "--", "sh", "-ec", "cat big2 > side; tail -1 side"]);
        assert_eq!(side.ok(), "300000\n", "{what}");
        self.vrift(&["apply"]).ok();
        assert_eq!(self.command(&["sh", "-ec", seen]).ok(), inside, "{what}");
        // and the other way: what the host changes
        self.command(&["sh", "-ec", "echo edited > a; rm big2"]).ok();
        assert_eq!(self.sh("cat a; test ! -e big2").ok(), "edited\n", "{what}");
        self.vrift(&["gc", "--grace", "0"]).ok();
        self.vrift(&["verify", "--deep"]).ok();
    }
}

/// Uses a project in `on` with a store in `with`, in each way; `shares`: the store's filesystem
/// has reflinks.
fn all_ways(world: &World, on: &Path, with: &Path, shares: bool) {
    for user in [None, Some(USER)] {
        for projection in ["stub", "hardlink", "copy"] {
            let name = format!("{projection}-{}", user.unwrap_or(0));
            let top = |place: &Path, what: &str| {
                let dir = place.join(format!("{what}-{name}"));
                let _ = vrift::os::remove::remove_tree(&dir);
                std::fs::create_dir(&dir).unwrap();
                std::os::unix::fs::chown(&dir, user, user).unwrap();
                dir
            };
            let (project, home) = (top(on, "project"), top(with, "home"));
            let case = Case { world, project, store: home.join("store"), user, projection };
            if user.is_some() && case.command(&[env!("CARGO_BIN_EXE_vrift"), "--version"]).code() != 0 {
                eprintln!("skipped: an ordinary user does not get here");
                continue;
            }
            if projection == "stub"
                && case.vrift(&["exec", "true"]).stderr().contains("hint: leave --projection out")
            {
                eprintln!("skipped: this kernel follows no stubs");
                continue;
            }
            case.use_it();
            if shares && projection != "stub" {
                assert_eq!(case.files(), "reflink", "{name}");
            }
        }
    }
}

fn of_kind(kind: &str) {
    needs_sessions!();
    let world = World::new();
    std::fs::set_permissions(world.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let Some(disk) = disk(&world, kind) else { return };
    let usual = world.path().join("usual");
    std::fs::create_dir(&usual).unwrap();
    std::fs::set_permissions(&usual, PermissionsExt::from_mode(0o1777)).unwrap();
    all_ways(&world, &disk.at, &disk.at, true);
    all_ways(&world, &usual, &disk.at, true);
    all_ways(&world, &disk.at, &usual, false);
    disk.unmount().unwrap();
}

#[test]
fn with_xfs_on_either_side_all_works() {
    of_kind("xfs");
}

#[test]
fn with_btrfs_on_either_side_all_works() {
    of_kind("btrfs");
}
