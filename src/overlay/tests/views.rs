//! What a view shows is what was recorded; what is written in it is what its upper says.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::error::Result;
use crate::manifest::node::Kind;
use crate::manifest::store::MemoryTrees;
use crate::os::skip;
use crate::os::userns::{Namespaces, as_root_of_own_files, in_namespaces};
use crate::overlay::escape::From;
use crate::overlay::mount::shown_options;
use crate::overlay::probe::Probe;
use crate::overlay::projection::{Stub, dress, render};
use crate::overlay::tests::fixture::{Store, odd_things, record, same, trees_of};
use crate::overlay::upper::{self, Found};

/// A store with the odd things rendered as base/1, or the reason there can be none.
pub fn odd_store() -> Result<Store, String> {
    let store = Store::new();
    Probe::run(store.dir.path()).and_then(|probe| probe.stub).map_err(|error| error.to_string())?;
    let host = store.path("host");
    fs::create_dir(&host).unwrap();
    odd_things(&host);
    in_child(|| {
        let trees = MemoryTrees::default();
        let root = trees_of(&record(&store, &host, From::Host), &trees);
        let rendered = render(&trees, &root, &store.path("base/1"), &Stub::new())?;
        assert_eq!(rendered.xattrs_left_out, 0);
        Ok(())
    });
    Ok(store)
}

fn in_child(work: impl FnOnce() -> Result<()>) {
    as_root_of_own_files("test", work).unwrap();
}

#[test]
fn a_view_shows_what_was_recorded() {
    let store = match odd_store() {
        Ok(store) => store,
        Err(why) => return skip("stubs", why),
    };
    in_namespaces("test", Namespaces::UserAndMount, || {
        let host = record(&store, &store.path("host"), From::Host);
        dress(&store.path("upper"), &host[&b""[..]].meta)?;
        let view = store.mount(true)?;
        // attributes are shown as the project's own: the kernel unescapes
        same(&host, &record(&store, &view, From::Host));
        let link = |name: &str| fs::metadata(view.join(name)).unwrap();
        assert_eq!(link("a-twin.c").ino(), link("src/main.c").ino());
        assert_eq!(link("a-twin.c").nlink(), 3);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_written_in_a_view_is_read_from_its_upper() {
    let store = match odd_store() {
        Ok(store) => store,
        Err(why) => return skip("stubs", why),
    };
    assert!(upper::is_empty(&store.path("upper")).unwrap());
    in_namespaces("test", Namespaces::UserAndMount, || {
        let view = store.mount(true)?;
        fs::OpenOptions::new()
            .append(true)
            .open(view.join("a-twin.c"))
            .unwrap()
            .write_all(b"// more\n")
            .unwrap();
        fs::remove_file(view.join("sparse")).unwrap();
        fs::remove_dir_all(view.join("src/deep")).unwrap();
        fs::create_dir(view.join("src/deep")).unwrap();
        fs::write(view.join("src/deep/new"), "new").unwrap();
        fs::hard_link(view.join("src/deep/new"), view.join("src/deep/new2")).unwrap();
        fs::rename(view.join("bits"), view.join("moved")).unwrap();
        fs::set_permissions(view.join("src/tool"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(view.join(".vrift-moving"), "").unwrap();
        drop(std::os::unix::net::UnixListener::bind(view.join("sock")).unwrap());
        let file = fs::File::open(view.join("src/deep/new")).unwrap();
        crate::os::xattr::set(&file, c"user.overlay.redirect", b"/aa/forged").unwrap();
        Ok(())
    })
    .unwrap();
    assert!(!upper::is_empty(&store.path("upper")).unwrap());
    in_child(|| {
        let take = |dir: &crate::os::dir::Dir, name: &std::ffi::CStr, _: &crate::os::dir::Stat| {
            Ok(store.put(&fs::read(dir.join(name)).unwrap()))
        };
        let upper = upper::read(&store.path("upper"), &take)?;
        let names: Vec<&str> =
            upper.found.iter().map(|(path, _)| std::str::from_utf8(path).unwrap()).collect();
        let expected = [
            "",
            "a-twin.c",
            "bits",
            "moved",
            "sparse",
            "src",
            "src/deep",
            "src/deep/new",
            "src/deep/new2",
            "src/tool",
        ];
        assert_eq!(names, expected);
        let skipped: Vec<&[u8]> = upper.skipped.iter().map(|(path, _)| &path[..]).collect();
        assert_eq!(skipped, [b"sock"]);
        let at = |name: &str| &upper.found[names.iter().position(|n| *n == name).unwrap()].1;
        let leaf = |name: &str| match at(name) {
            Found::Leaf(entry) => entry,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!((at("sparse"), at("bits")), (&Found::Whiteout, &Found::Whiteout));
        assert!(matches!(at("src/deep"), Found::Dir { opaque: true, .. }));
        assert!(matches!(at("src"), Found::Dir { opaque: false, meta } if meta.mode == 0o2755));
        assert!(matches!(at(""), Found::Dir { opaque: false, meta } if meta.xattrs.is_empty()));
        let twin = leaf("a-twin.c");
        assert_eq!(twin.kind, Kind::File(store.put(b"int main(void) { return 0; }\n// more\n")));
        let names: Vec<&[u8]> = twin.meta.xattrs.iter().map(|(name, _)| &name[..]).collect();
        let forged = [
            &b"user.comment"[..],
            b"user.overlay.metacopy",
            b"user.overlay.overlay.x",
            b"user.overlay.redirect",
        ];
        assert_eq!((names, twin.group), (forged.to_vec(), 0));
        assert_eq!(leaf("moved").kind, Kind::File(store.put(b"set-user-id")));
        assert_eq!(leaf("src/tool").meta.mode, 0o700);
        let (one, two) = (leaf("src/deep/new"), leaf("src/deep/new2"));
        assert!(one.group != 0 && one.group == two.group && one.kind == two.kind);
        assert!(one.meta.xattrs.contains(&(b"user.overlay.redirect".to_vec(), b"/aa/forged".to_vec())));
        Ok(())
    });
}

#[test]
fn both_ways_to_mount_have_the_options_in_force() {
    let store = match odd_store() {
        Ok(store) => store,
        Err(why) => return skip("stubs", why),
    };
    for by_string in [false, true] {
        in_namespaces("test", Namespaces::UserAndMount, || {
            let spec = store.spec("base/1", true);
            let mounted = if by_string {
                rustix::process::chdir(store.dir.path()).unwrap();
                spec.mount_by_string()
            } else {
                spec.mount()
            };
            mounted.map_err(|failure| failure.error(&spec.target))?;
            let info = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let (kind, options) = shown_options(&info, store.path("view").to_str().unwrap()).unwrap();
            println!("{kind} {options:?}");
            assert_eq!(kind, "overlay");
            assert!(options.iter().any(|o| o == "userxattr"), "{options:?}");
            // the second name is this option's in kernels with `fsync=`
            assert!(options.iter().any(|o| o == "volatile" || o == "fsync=volatile"), "{options:?}");
            // the default where it is off, and then not shown
            assert!(!options.iter().any(|o| o == "index=on" || o == "metacopy=on" || o == "redirect_dir=on"));
            assert_eq!(fs::read(store.path("view/src/tool")).unwrap(), b"#!/bin/sh\nexit 3\n");
            Ok(())
        })
        .unwrap();
        for part in ["upper", "work"] {
            crate::os::remove::remove_tree(&store.path(part)).unwrap();
            fs::create_dir(store.path(part)).unwrap();
        }
    }
}

#[test]
fn odd_bytes_in_layers_paths_are_taken_as_they_are() {
    let store = match odd_store() {
        Ok(store) => store,
        Err(why) => return skip("stubs", why),
    };
    for by_string in [false, true] {
        let odd = format!("o,d:d\\{by_string}");
        fs::create_dir_all(store.path(&odd).join("up")).unwrap();
        fs::create_dir_all(store.path(&odd).join("work")).unwrap();
        fs::create_dir_all(store.path(&odd).join("low")).unwrap();
        fs::write(store.path(&odd).join("low/seen"), "").unwrap();
        in_namespaces("test", Namespaces::UserAndMount, || {
            use crate::overlay::mount::{Layers, OverlaySpec};
            let name = |part: &str| std::ffi::CString::new(format!("{odd}/{part}")).unwrap();
            let layers = Layers {
                lowers: vec![name("low"), c"base/1".into()],
                data: Some(c"objects".into()),
                upper: Some(name("up")),
                work: Some(name("work")),
            };
            let base = store.dir.path().as_os_str().as_encoded_bytes();
            let spec = OverlaySpec::new(std::ffi::CString::new(base).unwrap(), layers, c"view".into());
            let mounted = if by_string {
                rustix::process::chdir(store.dir.path()).unwrap();
                spec.mount_by_string()
            } else {
                spec.mount()
            };
            mounted.map_err(|failure| failure.error(&spec.target))?;
            assert!(store.path("view/seen").exists());
            assert_eq!(fs::read(store.path("view/src/tool")).unwrap(), b"#!/bin/sh\nexit 3\n");
            fs::write(store.path("view/written"), "").unwrap();
            Ok(())
        })
        .unwrap();
        assert!(store.path(&odd).join("up/written").exists());
    }
}

#[test]
fn a_failed_mount_says_which_step_and_why() {
    let store = Store::new();
    let failed = in_namespaces("test", Namespaces::UserAndMount, || store.mount(true).map(|_| ()));
    let error = failed.unwrap_err();
    assert!(error.is(libc::ENOENT) || error.is(libc::EPERM), "{error}");
    println!("{error}: {:?}", error.hint());
}
