//! Directories of a lower are renamed as on a bare directory: by the preload library and
//! the mover (rules 24 and 25).

#[path = "support/renaming.rs"]
mod renaming;
mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use renaming::{RENAME, compile};
use support::{World, listing};

/// Everything a tree can hold, below `dir`.
fn fixture(dir: &Path) {
    fs::create_dir_all(dir.join("sub/deep")).unwrap();
    fs::write(dir.join("file"), "content\n").unwrap();
    fs::write(dir.join("empty"), "").unwrap();
    fs::write(dir.join("sub/script"), "#!/bin/sh\n").unwrap();
    fs::write(dir.join("sub/secret"), "secret\n").unwrap();
    fs::write(dir.join("sub/deep/big"), vec![7u8; 300_000]).unwrap();
    symlink("../file", dir.join("sub/link")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.join("fifo")).status().unwrap().success());
    let chmod = |name: &str, mode| {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod("sub/script", 0o755);
    chmod("sub/secret", 0o400);
    chmod("sub/deep", 0o555);
    for (name, time) in [("file", "1"), ("sub/deep", "3"), ("sub", "2"), ("", "4")] {
        let date = format!("@100{time}.12345678{time}");
        assert!(Command::new("touch").arg("-d").arg(date).arg(dir.join(name)).status().unwrap().success());
    }
}

/// What the view has, copied out of it.
fn view(world: &World, name: &str) -> PathBuf {
    let out = world.path().join(name);
    world.exec(["cp", "-a", ".", out.to_str().unwrap()]).ok();
    out
}

#[test]
fn a_directory_of_the_lower_is_renamed_with_all_that_is_in_it() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    fixture(&world.project.join("old"));
    fs::create_dir(world.project.join("elsewhere")).unwrap();
    let script = format!("{0} rename old elsewhere/new; ! test -e old; ls -A elsewhere", rename.display());
    assert_eq!(world.sh(&script).ok(), "done\nnew\n");
    // in the same run it is seen as in the next one, and as a rename on the host leaves it
    let next = view(&world, "next");
    fs::rename(world.project.join("old"), world.project.join("elsewhere/new")).unwrap();
    assert_eq!(listing(&next.join("elsewhere/new")), listing(&world.project.join("elsewhere/new")));
    assert!(next.join("elsewhere/new/fifo").symlink_metadata().unwrap().file_type().is_fifo());
    assert!(!next.join("old").exists());
}

#[test]
fn without_the_library_the_kernels_answer_stays() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    let Some(fixed) = compile(&world, "cc", "static", RENAME, &["-static"]) else { return };
    fixture(&world.project.join("old"));
    let off = world.run(["exec", "--rename", "off", "--", rename.to_str().unwrap(), "rename", "old", "new"]);
    assert_eq!(off.ok(), "EXDEV\n");
    let preload = world.run(["exec", "--rename", "off", "--", "sh", "-c", "echo $LD_PRELOAD$ASAN_OPTIONS"]);
    assert_eq!(preload.ok(), "\n");
    assert_eq!(world.exec([fixed.to_str().unwrap(), "rename", "old", "new"]).ok(), "EXDEV\n");
}

/// Cases in directories of their own: all of them exist when the run begins.
const CASES: &[(&str, &str)] = &[
    ("rename d new", "nothing there"),
    ("at d other/new", "another parent"),
    ("rename d/ new/", "slashes at the end"),
    ("rename ./d//sub .//new", "slashes and dots between"),
    ("rename d none", "an empty directory"),
    ("rename d full", "one that is not empty"),
    ("rename d file", "a file"),
    ("rename d link", "a link to a directory"),
    ("rename link new", "a link is not a directory"),
    ("rename link/ new", "but with a slash"),
    ("rename d d/sub/new", "into itself"),
    ("rename d/sub d", "over its parent"),
    ("rename d d", "onto itself"),
    ("rename d/. new", "dot"),
    ("rename d/sub/.. new", "dots"),
    ("rename d other/..", "onto dots"),
    ("rename gone new", "nothing to rename"),
    ("rename d gone/new", "no such parent"),
    ("rename d file/new", "a parent that is a file"),
    ("rename locked/in new", "out of a parent without the right to write"),
    ("rename d locked/new", "into such a one"),
    ("rename d/sub/deep new", "a directory that may not be written, to another parent"),
    ("rename d/sub/deep d/sub/new", "to the same one"),
    ("noreplace d new", "nothing to replace"),
    ("noreplace d none", "an empty directory that stays"),
    ("noreplace d full", "a full one"),
    ("exchange d full", "two directories"),
    ("exchange d other/../full", "by another way"),
    ("exchange d file", "a directory and a file"),
    ("exchange file d", "a file and a directory"),
    ("exchange link d", "a link and a directory"),
    ("exchange d gone", "nothing to exchange with"),
    ("exchange d d/sub", "with what is in it"),
    ("exchange d/sub d", "with what it is in"),
];

#[test]
fn the_answers_are_the_kernels() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    let mut script = String::new();
    for (number, (case, _)) in CASES.iter().enumerate() {
        let dir = world.project.join(format!("case{number:02}"));
        fixture(&dir.join("d"));
        for empty in ["none", "other", "full/in", "locked/in"] {
            fs::create_dir_all(dir.join(empty)).unwrap();
        }
        fs::write(dir.join("file"), "a file\n").unwrap();
        symlink("full", dir.join("link")).unwrap();
        fs::set_permissions(dir.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
        script += &format!("(cd case{number:02}; echo \"{case}: $({} {case})\")\n", rename.display());
    }
    let bare = world.path().join("bare");
    assert!(Command::new("cp").arg("-a").arg(&world.project).arg(&bare).status().unwrap().success());
    let expected = Command::new("sh").arg("-c").arg(&script).current_dir(&bare).output().unwrap();
    let expected = String::from_utf8(expected.stdout).unwrap();
    let answers = world.sh(&script).ok();
    for ((expected, answer), (_, what)) in expected.lines().zip(answers.lines()).zip(CASES) {
        assert_eq!(answer, expected, "{what}");
    }
    assert_eq!(answers.lines().count(), CASES.len());
    let next = view(&world, "next");
    for (number, (name, _)) in CASES.iter().enumerate() {
        let case = format!("case{number:02}");
        // what a rename gives a new time has another one here
        let tree = |root: &Path| -> Vec<String> {
            let untimed = ["\"\"", "\"other\"", "\"locked\"", "\"full\"", "\"d\"", "\"d/sub\""];
            let line = |line: String| match untimed.iter().find(|name| line.starts_with(&format!("{name} ")))
            {
                Some(name) => (*name).to_owned(),
                None => line,
            };
            listing(&root.join(&case)).into_iter().map(line).collect()
        };
        assert_eq!(tree(&next), tree(&bare), "{name}");
    }
}

#[test]
fn both_parents_get_a_new_time_and_nothing_else_does() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    for dir in ["from/d/in", "to"] {
        fs::create_dir_all(world.project.join(dir)).unwrap();
    }
    for dir in ["from/d/in", "from/d", "from", "to", "."] {
        let touched = Command::new("touch").args(["-d", "@1000"]).arg(world.project.join(dir)).status();
        assert!(touched.unwrap().success());
    }
    let script = format!(
        "{} rename from/d to/d && for d in from to; do test $(stat -c %Y $d) -gt 1000 && echo new; done; \
         stat -c '%n %Y' . to/d to/d/in",
        rename.display()
    );
    assert_eq!(world.sh(&script).ok(), "done\nnew\nnew\n. 1000\nto/d 1000\nto/d/in 1000\n");
}

#[test]
fn links_made_in_the_session_stay_links_and_open_files_stay_open() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    world.write("d/lower", "lower\n");
    let script = format!(
        "echo a >d/a; ln d/a d/b; ln d/a outside; exec 3>>d/a 4<d/lower
         {} rename d e; echo more >&3; cat outside <&4; cat <&4
         stat -c '%n %h' e/a e/b outside; stat -c %i e/a e/b outside | sort -u | wc -l",
        rename.display()
    );
    assert_eq!(world.sh(&script).ok(), "done\na\nmore\nlower\ne/a 3\ne/b 3\noutside 3\n1\n");
    let next = view(&world, "next");
    let inode = |name: &str| next.join(name).metadata().unwrap().ino();
    assert_eq!([inode("e/a"), inode("e/a")], [inode("e/b"), inode("outside")]);
}

#[test]
fn of_many_that_rename_one_directory_one_succeeds() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    fixture(&world.project.join("old"));
    let script = format!(
        "for n in 1 2 3 4 5 6 7 8; do {} rename old new$n & done; wait; echo; ls -d new* | wc -l; ! test -e old",
        rename.display()
    );
    let said = world.sh(&script).ok();
    let (answers, count) = said.split_once("\n\n").unwrap();
    let mut answers: Vec<_> = answers.lines().collect();
    answers.sort_unstable();
    assert_eq!(answers, [["ENOENT"; 7].as_slice(), &["done"]].concat());
    assert_eq!(count, "1\n");
}

#[test]
fn whoever_is_killed_no_file_is_lost() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    for number in 0..400 {
        world.write(&format!("old/{}/{number}", number % 7), format!("{number}\n"));
    }
    // the mover, then who asked it, again and again; and what there is of both names is put together
    let script = format!(
        "mover() {{ for comm in /proc/[0-9]*/comm; do read name <$comm && test $name = vrift-mover && echo $comm; done 2>/dev/null; }}
         for victim in mover mover caller mover caller mover; do
             {} rename old new & caller=$!
             for turn in 1 2 3 4 5 6 7 8 9 10 11 12; do
                 found=$(mover | cut -d/ -f3)
                 test -n \"$found\" && break
             done
             if test $victim = caller; then kill -9 $caller; else kill -9 $found; fi 2>/dev/null
             wait; while test -n \"$(mover)\"; do sleep 0.05; done
             cat old/*/* new/*/* 2>/dev/null | sort -n | uniq | wc -l
             mkdir -p old; test -e new && cp -a new/. old; rm -rf new
         done; true",
        rename.display()
    );
    let said = world.sh(&script).ok();
    let counts: Vec<_> = said.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(counts, ["400"; 6], "{said}");
    assert_eq!(world.sh("find . -name '.vrift-*'").ok(), "");
}

/// What a rename on a bare directory would keep, and this one does not: directories are
/// made anew, so who is in one of the old ones is nowhere.
#[test]
fn a_working_directory_in_a_renamed_tree_is_gone_and_open_files_are_not() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    world.write("old/sub/file", "content\n");
    let script = format!(
        "top=$PWD; cd old/sub; exec 3<file; {} rename $top/old $top/new
         cat <&3; ls; touch late 2>/dev/null || echo gone; cd $top/new/sub && ls",
        rename.display()
    );
    assert_eq!(world.sh(&script).ok(), "done\ncontent\ngone\nfile\n");
}

#[test]
fn what_is_mounted_below_a_directory_keeps_it_where_it_is() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    world.write("old/file", "x");
    world.write("old/data/live", "x");
    world.write("vrift.toml", "[paths]\nlive = [\"old/data\"]\n");
    let script = format!(
        "{} rename old new; find . -name .git -prune -o -name 'old*' -print; ls old old/data",
        rename.display()
    );
    assert_eq!(world.sh(&script).ok(), "EXDEV\n./old\nold:\ndata\nfile\n\nold/data:\nlive\n");
}
