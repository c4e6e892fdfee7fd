//! A tree may be deeper than a process may have files open, and its paths longer than
//! PATH_MAX (rule 5).

mod support;

use rustix::fs::{Mode, OFlags};
use support::{Ran, World};
use vrift::os::cursor::Cursor;
use vrift::os::dir::Dir;
use vrift::os::remove::remove_tree;

const DEPTH: usize = 3_000;

/// A world whose whole removal is not left to a recursive one.
struct Deep(World);

impl Drop for Deep {
    fn drop(&mut self) {
        for top in [&self.0.project, &self.0.store] {
            let _ = remove_tree(top);
        }
    }
}

impl Deep {
    /// On every level a directory beside the one that goes on, with a file in it.
    fn new() -> Self {
        let world = World::new();
        let mut cursor = Cursor::new(Dir::open(&world.project).unwrap());
        for _ in 0..DEPTH {
            for dir in [c"d", c"s"] {
                rustix::fs::mkdirat(cursor.here(), dir, Mode::RWXU).unwrap();
            }
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            let file = rustix::fs::openat(cursor.here(), c"s/file", flags, Mode::RUSR | Mode::WUSR).unwrap();
            rustix::io::write(file, cursor.depth().to_string().as_bytes()).unwrap();
            cursor.down(c"d").unwrap();
        }
        Self(world)
    }

    /// With few descriptors.
    fn run(&self, args: &str) -> Ran {
        let script = format!("ulimit -n 256 && exec {} {args}", env!("CARGO_BIN_EXE_vrift"));
        Ran(self.0.command("sh").args(["-c", &script]).output().unwrap())
    }
}

#[test]
fn a_tree_deeper_than_there_are_descriptors_comes_in() {
    needs_sessions!();
    let deep = Deep::new();
    let said = deep.run("sync").fails(0);
    assert!(said.contains("3000 files read"), "{said}");
    assert!(deep.run("sync").fails(0).contains("nothing changed"), "it is seen as it was left");
    let listed = deep.run("diff --name-status host main");
    assert_eq!(listed.ok(), "");
}
