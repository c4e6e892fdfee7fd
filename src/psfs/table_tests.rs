//! Tables beside the directories they were made of; and broken ones.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use crate::psfs::layout::{EXACT, SLOT};
use crate::psfs::lookup::{Answer, Root, find};
use crate::psfs::scan::length;

/// A base with two roots, `t` and `deep/u`.
fn base() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for path in ["t/a/b/c", "t/empty", "deep/u/x", "beside", "t/gone/below", "t/locked/in"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    for number in 0..500 {
        fs::write(at(&format!("t/a/file-{number}")), vec![b'x'; number]).unwrap();
    }
    for path in
        ["t/.hidden", "t/a/b/c/..rc", "t/a/b/c/...", "deep/u/x/file", "t/gone/below/file", "t/locked/in/file"]
    {
        fs::write(at(path), "x").unwrap();
    }
    fs::write(dir.path().join(OsStr::from_bytes(b"t/\xff\xfe")), "x").unwrap();
    fs::write(at("t").join("n".repeat(255)), "x").unwrap();
    symlink("a", at("t/link")).unwrap();
    fs::hard_link(at("t/a/file-7"), at("t/second-name")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("t/fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs::set_permissions(at("t/locked"), fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

fn table_of(dir: &Path, coarse: bool) -> Vec<u8> {
    let (roots, except) = ([b"t".to_vec(), b"deep/u".to_vec()], [b"t/gone".to_vec()]);
    let wanted = Wanted { base: dir, version: (1, 1), roots: &roots, except: &except, objects: None, coarse };
    build(&wanted).unwrap()
}

/// What a table says of a path below the base, which is shown at `/p`.
fn ask<'a>(bytes: &'a [u8], path: &[u8]) -> Answer<'a> {
    let Some(table) = Table::open(bytes) else { return Answer::Unknown };
    let roots = [Root { path: b"/p/t", table, number: 0 }, Root { path: b"/p/deep/u", table, number: 1 }];
    let text = [path, b"\0"].concat();
    // SAFETY: a NUL follows.
    #[allow(unsafe_code)]
    let length = unsafe { length(text.as_ptr()) };
    length.map_or(Answer::Unknown, |length| find(roots.iter(), &text[..length]))
}

#[test]
fn every_name_is_there_as_lstat_says() {
    let dir = base();
    let bytes = table_of(dir.path(), false);
    let mut exact = 0;
    let inside = |path: &Path| path.starts_with("t") || path.starts_with("deep/u");
    for found in walkdir::WalkDir::new(dir.path()) {
        let Ok(found) = found else { continue }; // what is locked, for who is not root
        let below = found.path().strip_prefix(dir.path()).unwrap();
        let path = [b"/p/", below.as_os_str().as_bytes()].concat();
        let answer = ask(&bytes, &path);
        if !inside(below) || below.starts_with("t/gone") || below.starts_with("t/locked/in") {
            assert_eq!(answer, Answer::Unknown, "{below:?}");
            continue;
        }
        let Answer::There { entry, root, is_root } = answer else { panic!("{below:?}: {answer:?}") };
        let entry = Entry::decode(entry);
        assert_eq!(
            (root, is_root),
            (
                usize::from(!below.starts_with("t")),
                ["t", "deep/u"].iter().any(|root| below == Path::new(root))
            )
        );
        let stat = fs::symlink_metadata(found.path()).unwrap();
        assert_eq!((entry.ino, entry.size, u32::from(entry.mode)), (stat.ino(), stat.size(), stat.mode()));
        if entry.bits == EXACT {
            exact += 1;
            let times = [entry.atime, entry.mtime, entry.ctime]
                .map(|time| (time.seconds(), i64::from(time.nanoseconds())));
            // the walk above came after, and read the directories
            let atime = if stat.is_dir() { times[0] } else { (stat.atime(), stat.atime_nsec()) };
            assert_eq!(times, [atime, (stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec())]);
            assert_eq!((u64::from(entry.nlink), entry.blocks), (stat.nlink(), stat.blocks()));
        } else {
            assert_eq!(below, Path::new("t/fifo"));
        }
    }
    assert!(exact > 500);
}

#[test]
fn what_is_not_there_is_absent_only_where_that_is_proven() {
    let dir = base();
    let bytes = table_of(dir.path(), false);
    let long = "n".repeat(256);
    let too_long = format!("/p/t/{}", "d/".repeat(2100)) + "x";
    for (path, absent) in [
        ("/p/t/nothing", true),
        ("/p/t/a/nothing", true),
        ("/p/t/a/b/c/nothing", true),
        ("/p/deep/u/nothing", true),
        ("/p/t/empty/x", true),
        ("/p/t/a/....", true),
        ("/p/t/a/.a", true),
        // no directory in the table is above them
        ("/p/t/nothing/x", false),
        ("/p/t/a/file-1/x", false),
        ("/p/t/link/b", false),
        ("/p/t/fifo/x", false),
        ("/p/t/gone/x", false),
        ("/p/t/locked/x", false),
        // not plain
        ("/p/t/a/../nothing", false),
        ("/p/t/./nothing", false),
        ("/p/t//nothing", false),
        ("/p/t/nothing/", false),
        ("/p/t/a/.", false),
        ("/p/t/a/..", false),
        ("p/t/nothing", false),
        ("", false),
        ("/", false),
        (".", false),
        ("/p/t/", false),
        ("//p/t/nothing", false),
        ("/./p/t/nothing", false),
        // not below a root
        ("/p/tt/nothing", false),
        ("/p/nothing", false),
        ("/p/deep/nothing", false),
        ("/p/deep/ux", false),
        ("/t/a", false),
        (&format!("/p/t/{long}"), false),
        (&too_long, false),
    ] {
        assert_eq!(
            ask(&bytes, path.as_bytes()),
            if absent { Answer::Absent } else { Answer::Unknown },
            "{path}"
        );
    }
    assert_eq!(ask(&bytes, &[b"/p/t/", &[b'n'; 254][..]].concat()), Answer::Absent);
}

#[test]
fn of_shared_inodes_only_existence_is_said() {
    let dir = base();
    let bytes = table_of(dir.path(), true);
    let bits = |path: &[u8]| match ask(&bytes, path) {
        Answer::There { entry, .. } => Entry::decode(entry).bits,
        other => panic!("{other:?}"),
    };
    assert_eq!(bits(b"/p/t/a/file-7"), 0);
    assert_eq!(bits(b"/p/t/a"), EXACT);
    assert_eq!(ask(&bytes, b"/p/t/a/file-x"), Answer::Absent);
}

#[test]
fn where_no_slot_is_left_nothing_is_known() {
    let dir = base();
    let mut bytes = table_of(dir.path(), false);
    let table = Table::open(&bytes).unwrap();
    let places = table.shape.places().unwrap();
    for at in (places.entry_slots..places.pool).step_by(SLOT) {
        if bytes[at..at + SLOT] == [0; SLOT] {
            bytes[at..at + SLOT].copy_from_slice(&slot_of(0, 0).to_ne_bytes());
        }
    }
    assert_eq!(ask(&bytes, b"/p/t/nothing"), Answer::Unknown);
    assert!(matches!(ask(&bytes, b"/p/t/.hidden"), Answer::There { .. } | Answer::Unknown));
}

#[test]
fn it_is_made_once_and_a_changed_body_is_noticed() {
    let dir = base();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("1-1.vdir");
    let roots = [b"t".to_vec()];
    let wanted = |version| Wanted {
        base: dir.path(),
        version,
        roots: &roots,
        except: &[],
        objects: None,
        coarse: false,
    };
    publish(&path, &wanted((1, 1))).unwrap();
    check(&path).unwrap();
    let inode = || fs::metadata(&path).unwrap().ino();
    let first = inode();
    publish(&path, &wanted((1, 1))).unwrap();
    assert_eq!(inode(), first);
    publish(&path, &wanted((1, 2))).unwrap();
    assert_ne!(inode(), first);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let replace = |bytes: &[u8]| {
        fs::remove_file(&path).unwrap(); // nobody may write to it
        fs::write(&path, bytes).unwrap();
    };
    replace(&bytes);
    assert!(check(&path).unwrap_err().to_string().contains("is not what was written"));
    bytes.pop();
    replace(&bytes);
    assert!(check(&path).unwrap_err().to_string().contains("header"));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

/// The header of a table whose numbers were changed, made right again.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= HEADER {
        let length = bytes.len() as u64;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&length.to_ne_bytes());
        let sum = hash(&bytes[..CHECKED], 0);
        bytes[CHECKED..HEADER].copy_from_slice(&sum.to_ne_bytes());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 512 }))]

    /// Whatever the bytes are: an answer, and no panic. The numbers of the header, the
    /// records and the slots are hit more often than chance would.
    #[test]
    fn broken_tables_are_answered_from_without_harm(
        edits in prop::collection::vec((0usize..1 << 16, prop_oneof![any::<u8>(), Just(0), Just(255)]), 0..64),
        header in prop::collection::vec((16usize..48, any::<u8>()), 0..3),
        cut in prop::option::of(0usize..1 << 16),
        seal in any::<bool>(),
        path in prop_oneof![
            Just(b"/p/t/a/file-7".to_vec()), Just(b"/p/t".to_vec()), Just(b"/p/t/no".to_vec()), Just(b"/p/deep/u/x/file".to_vec()),
            prop::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b't'), any::<u8>()], 0..40),
        ],
    ) {
        thread_local!(static TABLE: Vec<u8> = table_of(base().path(), false));
        let mut bytes = TABLE.with(Clone::clone);
        for (at, value) in edits.into_iter().map(|(at, value)| (at % bytes.len(), value)).collect::<Vec<_>>() {
            bytes[at] = value;
        }
        for (at, value) in header {
            bytes[at] = value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut % bytes.len()));
        if seal {
            bytes = sealed(bytes);
        }
        ask(&bytes, &path);
        prop_assert!(!seal || bytes.len() < HEADER || Table::open(&bytes).is_none_or(|table| table.shape.places().unwrap().end == bytes.len()));
    }
}
