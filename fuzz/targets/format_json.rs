//! The small texts of a store and of a user: `format.json`, `session.json`, `vrift.toml`.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TOP: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let _ = vrift::cas::format::check(bytes, Path::new("/store/format.json"));
    if let Ok(record) = serde_json::from_slice::<vrift::session::record::Record>(bytes) {
        let _ = record.start_root();
    }
    std::fs::write(TOP.path().join("vrift.toml"), bytes).unwrap();
    let _ = vrift::config::Config::load(TOP.path(), &[], None);
});
