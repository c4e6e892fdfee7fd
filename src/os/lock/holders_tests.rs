//! Locks by files: what they hold, whom they outlive, and that two never have one.

use super::*;
use std::os::unix::fs::FileTypeExt;

fn had(path: &Path, hold: Hold) -> Option<(OwnedFd, Holder)> {
    match attempt(path, hold).unwrap() {
        Attempt::Had(fd, holder) => Some((fd, holder)),
        Attempt::Held(_) => None,
    }
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir_of(path)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn shared_excludes_exclusive_until_every_copy_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let (one, other) = (had(&path, Hold::Shared).unwrap(), had(&path, Hold::Shared).unwrap());
    assert!(had(&path, Hold::Exclusive).is_none());
    drop(other);
    let copy = one.0.try_clone().unwrap();
    drop(one);
    assert!(had(&path, Hold::Exclusive).is_none());
    assert!(had(&path, Hold::Shared).is_some());
    drop(copy);
    let alone = had(&path, Hold::Exclusive).unwrap();
    assert!(had(&path, Hold::Shared).is_none() && had(&path, Hold::Exclusive).is_none());
    drop(alone);
    assert_eq!(names(&path), Vec::<String>::new());
}

#[test]
fn names_say_who_it_is_and_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let (_fd, holder) = had(&path, Hold::Exclusive).unwrap();
    let name = holder.name.clone();
    assert_eq!((name.pid, name.start), (std::process::id(), start()));
    assert!(name.start > 0 && name.boot.len() == 32 && !name.host.is_empty());
    for state in ["has", "wants"] {
        let file = name.file(state);
        assert_eq!(Name::parse(&file), Some((state, name.clone())));
        assert!(dir_of(&path).join(file).metadata().unwrap().file_type().is_fifo());
    }
    for bad in ["", "has", "has-x-zz-b-1-1-h", "had-x-0-b-1-1-h", "has-y-0-b-1-1-h", "has-x-0-b--1-h"] {
        assert_eq!(Name::parse(bad), None, "{bad}");
    }
}

/// A name that nobody is behind, of this boot or another, of this host or another.
fn leave(path: &Path, boot: Option<&str>, host: Option<&str>) -> Name {
    let mut name = Name::mine(Hold::Exclusive);
    name.boot = boot.map_or(name.boot, Into::into);
    name.host = host.map_or(name.host, Into::into);
    let _ = std::fs::create_dir(dir_of(path));
    let file = dir_of(path).join(name.file("has"));
    mknodat(rustix::fs::CWD, file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    name
}

#[test]
fn what_a_killed_one_left_is_broken_and_another_hosts_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    for boot in [None, Some("0123")] {
        leave(&path, boot, None);
        assert!(had(&path, Hold::Exclusive).is_some());
        assert_eq!(names(&path), Vec::<String>::new());
    }
    let name = leave(&path, Some("0123"), Some("far-away.0a1b2c3d"));
    let Attempt::Held(Some(who)) = attempt(&path, Hold::Shared).unwrap() else { panic!("broken") };
    assert_eq!(who, name);
    assert_eq!(who.shown(), format!("process {} of host `far-away`", std::process::id()));
    std::fs::remove_file(dir_of(&path).join(name.file("has"))).unwrap();
    assert!(had(&path, Hold::Exclusive).is_some());
}

/// Many take and leave it, others break what they find; never two have it.
#[test]
fn one_at_a_time_has_it_while_stale_ones_are_broken() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let (inside, times) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..25 {
                    let (fd, holder) = wait(&path, Hold::Exclusive).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    times.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if round % 3 == 0 {
                        // as one who was killed: the descriptor goes, the names stay
                        std::mem::forget(holder);
                        drop(fd);
                    } else {
                        drop((fd, holder));
                    }
                }
            });
            scope.spawn(|| {
                for _ in 0..25 {
                    if let Some(both) = had(&path, Hold::Shared) {
                        assert_eq!(inside.load(Ordering::SeqCst), 0);
                        drop(both);
                    }
                }
            });
        }
    });
    assert_eq!(times.load(Ordering::SeqCst), 200);
}

#[test]
fn one_who_was_stopped_between_two_calls_is_not_waited_for_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    std::fs::create_dir(dir_of(&path)).unwrap();
    let stopped = Name::mine(Hold::Exclusive).announce(&dir_of(&path)).unwrap();
    assert!(had(&path, Hold::Exclusive).is_none());
    drop(stopped);
    assert!(had(&path, Hold::Exclusive).is_some());
}
