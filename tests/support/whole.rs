//! Whether a whole store is sound: every manifest opens, every root that a row or a session
//! names is there with all of its trees, and every object has its digest.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use vrift::cas::{Digest, Store, sparse};
use vrift::manifest::Manifest;
use vrift::manifest::reach::{Part, Reach};
use vrift::manifest::workspace::Workspace;
use vrift::os::dir::stat_fd;
use vrift::session::record::Record;

/// The directories of a store's projects, those that have a manifest.
pub fn projects(store: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(store.join("projects")).into_iter().flatten().flatten();
    let projects = found.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    projects.map(|entry| entry.path()).filter(|path| path.join("manifest.db").exists()).collect()
}

/// Nothing is wrong with a store.
#[track_caller]
pub fn assert_whole(store: &Path) {
    check(store, "");
}

/// What is wrong with a store; empty: nothing. One that was never laid out whole is sound.
pub fn faults(store: &Path) -> Vec<String> {
    if !store.join("format.json").exists() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let opened = Store::open(store).unwrap().unwrap();
    let mut known = HashMap::new();
    for project in projects(store) {
        check_database(&project, &mut faults);
        let manifest = Manifest::open(&project).unwrap();
        let mut roots = manifest.named_roots().unwrap();
        roots.extend(manifest.old_heads().unwrap().iter().map(|head| head.root));
        roots.extend(started_from(&project, &mut faults));
        let mut reach = Reach::default();
        for root in roots {
            let walked = reach.walk(&manifest, &root, &mut |part| {
                if let Part::File(content) = part {
                    let wrong = known
                        .entry(content.digest)
                        .or_insert_with(|| fault_of(&opened, &content.digest, content.size, content.sparse));
                    faults.extend(wrong.iter().map(|wrong| format!("root {root}: {wrong}")));
                }
                Ok(())
            });
            faults.extend(walked.err().map(|error| format!("root {root}: {error}")));
        }
    }
    faults
}

#[track_caller]
pub fn check(store: &Path, what: &str) {
    let faults = faults(store);
    assert!(faults.is_empty(), "{what}: {faults:#?}");
}

fn check_database(project: &Path, faults: &mut Vec<String>) {
    let connection = rusqlite::Connection::open(project.join("manifest.db")).unwrap();
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    if said != "ok" {
        faults.push(format!("{}: {said}", project.display()));
    }
}

fn fault_of(store: &Store, digest: &Digest, size: u64, is_sparse: bool) -> Option<String> {
    let fd = match store.open_object(digest) {
        Ok(fd) => fd,
        Err(error) => return Some(error.to_string()),
    };
    let found = stat_fd(&fd).unwrap().size;
    if found != size {
        return Some(format!("object {digest} has {found} bytes, not {size}"));
    }
    let is = if is_sparse {
        sparse::digest(&fd, size).unwrap()
    } else {
        let mut bytes = Vec::new();
        File::from(fd).read_to_end(&mut bytes).unwrap();
        Digest::of(&bytes)
    };
    (is != *digest).then(|| format!("object {digest} holds {is}"))
}

/// The roots that sessions started from.
fn started_from(project: &Path, faults: &mut Vec<String>) -> Vec<Digest> {
    let mut roots = Vec::new();
    for entry in std::fs::read_dir(project.join("staging")).into_iter().flatten().flatten() {
        if !entry.path().is_dir() || entry.path().extension().is_some() {
            continue;
        }
        match Record::read(&entry.path()).and_then(|record| record.map(|is| is.start_root()).transpose()) {
            Ok(root) => roots.extend(root),
            Err(error) => faults.push(error.to_string()),
        }
    }
    roots
}

/// The workspaces of a store's only project.
pub fn workspaces(store: &Path) -> Vec<Workspace> {
    let projects = projects(store);
    assert!(projects.len() < 2, "{projects:?}");
    projects.first().map_or(Vec::new(), |project| Manifest::open(project).unwrap().workspaces().unwrap())
}

/// Bases and layers that nothing refers to, and objects with a mode that is nobody's:
/// nothing of it hurts, and the next command that looks removes it.
pub fn strays(store: &Path) -> Vec<String> {
    let mut strays = Vec::new();
    for project in projects(store) {
        let manifest = Manifest::open(&project).unwrap();
        let unused =
            manifest.unused_layers().unwrap().into_iter().map(|layer| format!("layers/{}", layer.id));
        strays.extend(unused);
        strays.extend(manifest.unused_bases().unwrap().iter().map(|base| format!("base/{}", base.id)));
        let mut known = HashSet::new();
        for workspace in manifest.workspaces().unwrap() {
            known.extend(workspace.base.map(|base| format!("base/{base}")));
            let layers = manifest.layers(workspace.layer).unwrap();
            known.extend(layers.iter().map(|layer| format!("layers/{}", layer.id)));
            assert!(manifest.pending(workspace.id).unwrap().is_empty(), "{}", workspace.name);
        }
        for kind in ["base", "layers"] {
            for entry in std::fs::read_dir(project.join(kind)).unwrap().flatten() {
                let name = format!("{kind}/{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() && !known.contains(&name) {
                    strays.push(name);
                }
            }
        }
    }
    // there objects keep the mode of the files that they are for
    let hardlinks = |project: &PathBuf| Manifest::open(project).unwrap().has_projection("hardlink").unwrap();
    if projects(store).iter().any(hardlinks) {
        return strays;
    }
    for object in walkdir::WalkDir::new(store.join("objects")).into_iter().flatten() {
        let stat = object.metadata().unwrap();
        if stat.is_file() && stat.nlink() == 1 && stat.mode() & 0o7777 != 0o444 {
            strays.push(format!("{} {:o}", object.path().display(), stat.mode()));
        }
    }
    strays
}

/// All that a store says, but for the list of runs and what was seen of the host: each row of each table, each object, each
/// lower tree and what is staged. Two equal ones show and keep the same.
pub fn dump(store: &Path) -> BTreeMap<String, String> {
    let mut dump = BTreeMap::new();
    for project in projects(store) {
        let connection = rusqlite::Connection::open(project.join("manifest.db")).unwrap();
        let mut tables = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        // of the host's files only a cache is kept, and one just written is read again
        let passing = ["run", "sqlite_sequence", "host_stamp"];
        for table in tables.iter().filter(|table| !passing.contains(&table.as_str())) {
            rows(&connection, table, &mut dump);
        }
    }
    for entry in walkdir::WalkDir::new(store) {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(store).unwrap().to_str().unwrap().to_string();
        // what names the last session, or is only there to be fast
        let passing =
            [".spare", ".used", ".lock", "manifest.db", "/durable"].iter().any(|part| name.contains(part));
        if passing || name.starts_with("durable") || name.starts_with("probe") {
            continue;
        }
        let stat = entry.path().symlink_metadata().unwrap();
        let is_dir = stat.is_dir();
        let mut line = format!("{:o}", stat.mode());
        if !is_dir || name.contains("/base/") {
            line += &format!(" {} {}.{:09}", stat.size(), stat.mtime(), stat.mtime_nsec());
        }
        if stat.is_file() {
            let bytes = std::fs::read(entry.path());
            let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}, {line}", entry.path().display()));
            line += &format!(" {}", Digest::of(&bytes));
        }
        dump.insert(name, line);
    }
    dump
}

fn rows(connection: &rusqlite::Connection, table: &str, dump: &mut BTreeMap<String, String>) {
    let mut query = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = query.column_count();
    let mut rows = query.query([]).unwrap();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cells = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap()));
        lines.push(cells.collect::<Vec<_>>().join(" "));
    }
    lines.sort_unstable();
    for (at, line) in lines.into_iter().enumerate() {
        dump.insert(format!("{table}/{at:06}"), line);
    }
}

/// What two dumps differ in.
pub fn difference(one: &BTreeMap<String, String>, two: &BTreeMap<String, String>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let differ = names.into_iter().filter(|name| one.get(*name) != two.get(*name));
    differ.map(|name| format!("{name}: {:?} -> {:?}", one.get(name), two.get(name))).collect()
}
