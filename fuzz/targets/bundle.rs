//! A bundle is loaded whole or refused, and writes nothing beside the store.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vrift::cas::{Digest, Store};
use vrift::progress::Meter;
use vrift::session::bundle::load;
use vrift::session::project::Project;

static TOP: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(top.path().join("project/.git")).unwrap();
    top
});

fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static PROJECT: Project = {
            let store = Store::open_or_create(&TOP.path().join("store")).unwrap();
            Project::find_or_register(store, &TOP.path().join("project"), true).unwrap()
        };
    }
    // with the checksum that it should have, so that it is not only the checksum that refuses
    let mut sound = [b"vrift-bundle\n\x01", bytes].concat();
    let sum = Digest::of(&sound);
    sound.push(b'E');
    sound.extend(sum.as_bytes());
    PROJECT.with(|project| {
        let _ = load(project, &mut &sound[..], Path::new("bundle"), None, &Meter::default());
    });
    assert_eq!(std::fs::read_dir(TOP.path()).unwrap().count(), 2);
});
