//! A refusal that tells what to do, and a look at whether anything was lost by it.

#![allow(dead_code)] // each test file uses its own part

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use vrift::cas::Digest;

use crate::support::{Ran, World};

/// The command failed, and says each of these and what to do.
#[track_caller]
pub fn refused(ran: Ran, code: i32, parts: &[&str]) -> String {
    let said = ran.fails(code);
    for part in ["error: ", "hint: "].iter().chain(parts) {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// `manifest.db` of the store's only project.
pub fn manifest(world: &World) -> PathBuf {
    world.project_dir().join("manifest.db")
}

/// Everything in it is in the one file afterwards.
pub fn checkpoint(manifest: &Path) {
    let connection = Connection::open(manifest).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", manifest.display()));
    }
}

/// Every object is what its name says.
#[track_caller]
pub fn objects_are_whole(world: &World) {
    for object in world.objects() {
        let name = object.strip_prefix(world.store.join("objects")).unwrap().to_str().unwrap().to_string();
        assert_eq!(Digest::of(&std::fs::read(&object).unwrap()).object_path(), name);
    }
}
