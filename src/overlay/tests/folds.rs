//! A fold gives what a render of the new root gives, killed anywhere and repeated.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::cas::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::diff::Change;
use crate::manifest::node::{Entry, Kind, Meta, Time};
use crate::manifest::store::MemoryTrees;
use crate::os::dir::Dir;
use crate::os::remove::remove_tree;
use crate::os::userns::as_root_of_own_files;
use crate::overlay::escape::From;
use crate::overlay::projection::{Made, Projection, Stub, fold, render};
use crate::overlay::tests::fixture::{Listing, Store, deep, diff, odd_things, record, same, trees_of};

/// Changes of every sort to the odd things.
fn edit(top: &Path) {
    let path = |name: &str| top.join(name);
    fs::write(path("src/tool"), "#!/bin/sh\nexit 4\n").unwrap();
    fs::remove_dir_all(path("src/deep")).unwrap();
    fs::write(path("src/deep"), "a file now").unwrap();
    fs::remove_file(path("loop")).unwrap();
    fs::create_dir_all(path("loop/in")).unwrap();
    fs::write(path("loop/in/side"), "x").unwrap();
    fs::write(path("src/new"), "in a directory with a default ACL").unwrap();
    nix::unistd::mkfifo(&path("src/newfifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::create_dir(path("src/newdir")).unwrap();
    symlink("tool", path("src/link")).unwrap();
    fs::hard_link(path("src/new"), path("src/new-twin")).unwrap();
    fs::set_permissions(path("locked"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path("locked/more"), "").unwrap();
    fs::remove_file(path("locked/secret")).unwrap();
    fs::set_permissions(path("locked"), fs::Permissions::from_mode(0o500)).unwrap();
    fs::set_permissions(path("empty"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(path("fifo")).unwrap();
}

/// Fails after some files, as a full disk would.
struct Failing {
    left: std::sync::atomic::AtomicI64,
}

impl Projection for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn make_file(&self, dir: &Dir, entry: &Entry) -> Result<Made> {
        match self.left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) {
            ..=0 => Err(Error::failure("killed")),
            _ => Stub::new().make_file(dir, entry),
        }
    }
}

/// What a lower says, stubs resolved by their redirect.
fn lower(store: &Store, top: &Path) -> Listing {
    let mut listing = Listing::new();
    for (path, mut entry) in record(store, top, From::Upper) {
        let real = top.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&path));
        if let Kind::File(content) = &mut entry.kind
            && content.size > 0
        {
            let file = fs::File::open(&real).unwrap();
            let to = crate::os::xattr::get(&file, c"user.overlay.redirect").unwrap().unwrap();
            assert_eq!(crate::os::xattr::get(&file, c"user.overlay.metacopy").unwrap().unwrap(), b"");
            let to = String::from_utf8(to).unwrap();
            content.digest = Digest::of(&fs::read(store.path("objects").join(&to[1..])).unwrap());
        }
        listing.insert(path, entry);
    }
    listing
}

#[test]
fn folds_are_renders_however_often_they_are_broken_off() {
    let store = Store::new();
    let host = store.path("host");
    fs::create_dir(&host).unwrap();
    odd_things(&host);
    as_root_of_own_files("test", || {
        let before = record(&store, &host, From::Host);
        edit(&host);
        let after = record(&store, &host, From::Host);
        let changes = diff(&before, &after);
        assert!(changes.iter().any(|change| change.path.is_empty()));
        let fresh = |name: &str| {
            let dest = store.path(name);
            remove_tree(&dest).unwrap();
            let trees = MemoryTrees::default();
            render(&trees, &trees_of(&before, &trees), &dest, &Stub::new()).unwrap();
            dest
        };
        let dest = fresh("base/1");
        same(&before, &lower(&store, &dest));
        let folded = fold(changes.clone(), &dest, &Stub::new())?;
        println!("{folded:?}");
        same(&after, &lower(&store, &dest));
        fold(changes.clone(), &dest, &Stub::new())?;
        same(&after, &lower(&store, &dest));
        for left in 0..12 {
            let dest = fresh("base/2");
            let failing = Failing { left: left.into() };
            if fold(changes.clone(), &dest, &failing).is_ok() {
                assert!(left > 4);
                break;
            }
            fold(changes.clone(), &dest, &Stub::new())?;
            same(&after, &lower(&store, &dest));
        }
        // half of it done already: the first changes alone, then without deletions
        for some in 0..changes.len() {
            let dest = fresh("base/3");
            let half: Vec<Change> = changes[..some].to_vec();
            fold(half, &dest, &Stub::new())?;
            fold(changes.clone(), &dest, &Stub::new())?;
            same(&after, &lower(&store, &dest));
        }
        // and back
        fold(diff(&after, &before), &dest, &Stub::new())?;
        same(&before, &lower(&store, &dest));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_tree_three_thousand_deep_is_rendered_folded_and_removed() {
    let store = Store::new();
    fs::create_dir(store.path("host")).unwrap();
    deep(&store.path("host"));
    let trees = MemoryTrees::default();
    let meta = Meta { mode: 0o755, mtime: Time { secs: 5, nanos: 6 }, xattrs: vec![] };
    let dir = |name: &[u8]| Entry {
        name: name.to_vec(),
        meta: meta.clone(),
        group: 0,
        kind: Kind::Dir(Digest::of(b"")),
    };
    let mut listing = Listing::new();
    let mut path = Vec::new();
    listing.insert(path.clone(), dir(b""));
    for level in 0..3_000 {
        path.extend_from_slice(if path.is_empty() { b"d" } else { b"/d" });
        listing.insert(path.clone(), dir(b"d"));
        if level % 5 == 0 {
            listing.insert([&path[..], b"/e"].concat(), dir(b"e"));
        }
    }
    let root = trees_of(&listing, &trees);
    let rendered = render(&trees, &root, &store.path("base/1"), &Stub::new()).unwrap();
    assert_eq!((rendered.files, rendered.dirs), (0, 3_601));
    let upper = crate::overlay::upper::read(&store.path("base/1"), &|_, _, _| unreachable!()).unwrap();
    assert_eq!(upper.found.len(), 3_601);
    let found = upper.found.iter().map(|(path, _)| path);
    assert!(found.is_sorted_by(|a, b| crate::manifest::dir::tree_order(a, b).is_lt()));
    let mut shorter = listing.clone();
    shorter.retain(|path, _| path.len() < 5_000);
    fold(diff_deep(&listing, &shorter), &store.path("base/1"), &Stub::new()).unwrap();
    let upper = crate::overlay::upper::read(&store.path("base/1"), &|_, _, _| unreachable!()).unwrap();
    assert_eq!(upper.found.len(), shorter.len());
    remove_tree(&store.path("base/1")).unwrap();
    remove_tree(&store.path("host")).unwrap();
}

#[test]
fn a_render_needs_no_rights_over_what_it_makes() {
    let store = Store::new();
    let trees = MemoryTrees::default();
    let time = Time { secs: -7, nanos: 999_999_999 };
    let meta =
        |mode| Meta { mode, mtime: time, xattrs: vec![(b"user.overlay.opaque".to_vec(), b"y".to_vec())] };
    let mut listing = Listing::new();
    let mut add = |path: &str, mode, kind| {
        let name = path.rsplit('/').next().unwrap().as_bytes().to_vec();
        listing.insert(path.into(), Entry { name, meta: meta(mode), group: 0, kind });
    };
    for (path, mode) in [("", 0o755), ("none", 0o000), ("none/read", 0o444), ("none/read/x", 0o111)] {
        add(path, mode, Kind::Dir(Digest::of(b"dir")));
    }
    for (path, mode) in [("none/read/x/file", 0o444), ("none/nothing", 0o000)] {
        add(path, mode, Kind::File(store.put(b"bytes")));
    }
    let dest = store.path("base/1");
    render(&trees, &trees_of(&listing, &trees), &dest, &Stub::new()).unwrap();
    as_root_of_own_files("test", || {
        same(&listing, &lower(&store, &dest));
        Ok(())
    })
    .unwrap();
}

/// As `diff`, for a listing where that is too slow.
fn diff_deep(before: &Listing, after: &Listing) -> Vec<Change> {
    let mut paths: Vec<&Vec<u8>> = before.keys().collect();
    paths.sort_by(|a, b| crate::manifest::dir::tree_order(a, b));
    let change = |path: &Vec<u8>| Change {
        path: path.clone(),
        before: before.get(path).cloned(),
        after: after.get(path).cloned(),
    };
    paths.into_iter().map(change).filter(|change| change.path.len() > 4_900).collect()
}
