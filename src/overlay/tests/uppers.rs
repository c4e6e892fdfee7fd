//! Uppers of every shape, made by hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cas::digest::Digest;
use crate::manifest::node::{Content, Kind};
use crate::os::userns::{Namespaces, as_root_of_own_files, in_namespaces};
use crate::os::xattr;
use crate::overlay::tests::fixture::Store;
use crate::overlay::upper::{self, Found};

#[test]
fn an_upper_is_read_in_tree_order_and_each_inode_once() {
    let store = Store::new();
    let top = store.path("upper");
    for dir in ["a", "a-", "b/c", "x"] {
        fs::create_dir_all(top.join(dir)).unwrap();
    }
    for n in 0..500 {
        fs::write(top.join(format!("b/{n:03}")), format!("{n}")).unwrap();
    }
    fs::hard_link(top.join("b/007"), top.join("a/bond")).unwrap();
    // an object made of a file before a kill is no second name
    fs::hard_link(top.join("b/008"), store.path("objects/08")).unwrap();
    for (name, xattr, value) in [
        ("x", c"user.overlay.opaque", &b"x"[..]),
        ("a", c"user.overlay.opaque", b"y"),
        ("a", c"user.overlay.origin", b"handle"),
        ("b", c"user.overlay.impure", b"y"),
        ("b", c"user.overlay.overlay.opaque", b"mine"),
    ] {
        xattr::set(fs::File::open(top.join(name)).unwrap(), xattr, value).unwrap();
    }
    for name in ["x/gone", "a/not-gone"] {
        let file = fs::File::create(top.join(name)).unwrap();
        xattr::set(file, c"user.overlay.whiteout", b"").unwrap();
    }
    fs::create_dir(top.join(".vrift-x")).unwrap();
    fs::set_permissions(top.join("b/c"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(top.join("b/001"), fs::Permissions::from_mode(0o0)).unwrap();
    let calls = AtomicU32::new(0);
    as_root_of_own_files("test", || {
        let take = |dir: &crate::os::dir::Dir, name: &std::ffi::CStr, stat: &crate::os::dir::Stat| {
            calls.fetch_add(1, Ordering::Relaxed);
            let bytes = fs::read(dir.join(name)).unwrap();
            Ok(Content { digest: Digest::of(&bytes), size: stat.size, sparse: false })
        };
        let upper = upper::read(&top, &take)?;
        assert_eq!(calls.load(Ordering::Relaxed), 501);
        let dirs: Vec<&str> = upper
            .found
            .iter()
            .filter(|(path, _)| !path.starts_with(b"b/") || path == b"b/c")
            .map(|(path, _)| std::str::from_utf8(path).unwrap())
            .collect();
        assert_eq!(dirs, ["", "a", "a/bond", "a/not-gone", "a-", "b", "b/c", "x", "x/gone"]);
        let at = |name: &str| &upper.found.iter().find(|(path, _)| path == name.as_bytes()).unwrap().1;
        let Found::Leaf(bond) = at("a/bond") else { panic!() };
        let Found::Leaf(seven) = at("b/007") else { panic!() };
        assert_eq!(bond.kind, Kind::File(Content { digest: Digest::of(b"7"), size: 1, sparse: false }));
        assert_eq!((bond.group, &bond.kind), (seven.group, &seven.kind));
        assert_eq!(bond.group, crate::manifest::group::number(&[b"a/bond".to_vec(), b"b/007".to_vec()]));
        assert!(matches!(at("b/008"), Found::Leaf(entry) if entry.group == 0));
        assert_eq!(at("x/gone"), &Found::Whiteout);
        assert!(matches!(at("a/not-gone"), Found::Leaf(_)));
        assert!(matches!(at("a"), Found::Dir { opaque: true, meta } if meta.xattrs.is_empty()));
        let own = vec![(b"user.overlay.opaque".to_vec(), b"mine".to_vec())];
        assert!(matches!(at("b"), Found::Dir { opaque: false, meta } if meta.xattrs == own));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_stub_in_an_upper_is_refused() {
    let store = Store::new();
    let file = fs::File::create(store.path("upper/f")).unwrap();
    xattr::set(file, c"user.overlay.metacopy", b"").unwrap();
    let failed = upper::read(&store.path("upper"), &|_, _, _| panic!("its content was asked for"));
    assert!(failed.unwrap_err().to_string().contains("not whole"));
}

#[test]
fn only_names_of_our_own_are_an_empty_upper() {
    let store = Store::new();
    fs::write(store.path("upper/.vrift-page"), "").unwrap();
    assert!(upper::is_empty(&store.path("upper")).unwrap());
    fs::write(store.path("upper/.vrif"), "").unwrap();
    assert!(!upper::is_empty(&store.path("upper")).unwrap());
}

#[test]
fn a_wide_upper_needs_few_descriptors() {
    let store = Store::new();
    let top = store.path("upper");
    for n in 0..1_500 {
        fs::create_dir_all(top.join(format!("{n}/in"))).unwrap();
        fs::write(top.join(format!("{n}/file")), "x").unwrap();
    }
    let read = in_namespaces("test", Namespaces::User, || {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Nofile, Rlimit { current: Some(400), maximum: Some(400) }).unwrap();
        let take = |dir: &crate::os::dir::Dir, name: &std::ffi::CStr, stat: &crate::os::dir::Stat| {
            dir.open_file(name)?;
            Ok(Content { digest: Digest::of(b"x"), size: stat.size, sparse: false })
        };
        Ok(upper::read(&top, &take)?.found.len())
    });
    match read {
        Ok(found) => assert_eq!(found, 1 + 3 * 1_500),
        Err(error) => crate::os::skip("user namespaces", error),
    }
}
