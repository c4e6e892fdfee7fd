//! A store of its own, a directory of odd things, and a recorder that is as simple
//! as can be: it knows nothing of uppers, crews or cursors.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cas::digest::Digest;
use crate::error::Result;
use crate::manifest::diff::Change;
use crate::manifest::dir::{tree_order, write_dir, write_root};
use crate::manifest::group;
use crate::manifest::node::{Content, Entry, Kind, Meta, Time};
use crate::manifest::store::MemoryTrees;
use crate::os::dir::Dir;
use crate::os::mkdir;
use crate::overlay::escape::{self, From};
use crate::overlay::mount::{Layers, OverlaySpec};

pub struct Store {
    pub dir: TempDir,
}

/// Everything in a directory by path; the root is the empty path.
pub type Listing = BTreeMap<Vec<u8>, Entry>;

impl Store {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for part in ["objects", "base", "upper", "work", "view"] {
            mkdir::private(&dir.path().join(part)).unwrap();
        }
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Publishes a file's bytes.
    pub fn put(&self, bytes: &[u8]) -> Content {
        let digest = Digest::of(bytes);
        let path = self.path("objects").join(digest.object_path());
        if !path.exists() {
            mkdir::private(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        }
        Content { digest, size: bytes.len() as u64, sparse: false }
    }

    pub fn spec(&self, lower: &str, upper: bool) -> OverlaySpec {
        let layers = Layers {
            lowers: vec![CString::new(lower).unwrap()],
            data: Some(c"objects".into()),
            upper: upper.then(|| c"upper".into()),
            work: upper.then(|| c"work".into()),
        };
        let base = CString::new(self.dir.path().as_os_str().as_encoded_bytes()).unwrap();
        OverlaySpec::new(base, layers, c"view".into())
    }

    pub fn mount(&self, upper: bool) -> Result<PathBuf> {
        let spec = self.spec("base/1", upper);
        spec.mount().map_err(|failure| failure.error(&spec.target))?;
        Ok(self.path("view"))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = crate::os::remove::remove_tree(self.dir.path());
    }
}

/// Nested directories, odd modes, names and links; every mtime has nanoseconds.
/// What the filesystem refuses (an ACL) is left out of it.
pub fn odd_things(top: &Path) {
    let path = |name: &str| top.join(name);
    fs::create_dir_all(path("src/deep/er")).unwrap();
    fs::create_dir_all(path("empty")).unwrap();
    fs::create_dir_all(path("locked/inner")).unwrap();
    for (name, bytes) in [
        ("src/main.c", &b"int main(void) { return 0; }\n"[..]),
        ("src/deep/er/zero", b""),
        ("src/tool", b"#!/bin/sh\nexit 3\n"),
        ("locked/inner/file", b"locked"),
        ("locked/secret", b"secret"),
        ("bits", b"set-user-id"),
    ] {
        fs::write(path(name), bytes).unwrap();
    }
    fs::write(top.join(OsStr::from_bytes(b"new\nline \xff\xfe")), "odd").unwrap();
    fs::File::create(path("sparse")).unwrap().set_len(3 << 20).unwrap();
    for (name, target) in [("dangling", "no/where"), ("absolute", "/etc/passwd"), ("loop", "loop")] {
        symlink(target, path(name)).unwrap();
    }
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o620)).unwrap();
    fs::hard_link(path("src/main.c"), path("src/deep/twin.c")).unwrap();
    fs::hard_link(path("src/main.c"), path("a-twin.c")).unwrap();
    fs::hard_link(path("dangling"), path("src/dangling-twin")).unwrap();
    let file = fs::File::open(path("src/main.c")).unwrap();
    for (name, value) in [
        (c"user.comment", &b"kept"[..]),
        (c"user.overlay.redirect", b"/aa/forged"),
        (c"user.overlay.metacopy", b""),
        (c"user.overlay.overlay.x", b"twice"),
    ] {
        crate::os::xattr::set(&file, name, value).unwrap();
    }
    let dir = fs::File::open(path("src/deep")).unwrap();
    crate::os::xattr::set(&dir, c"user.overlay.opaque", b"y").unwrap();
    // version 2; owner rwx, group r, mask rx, others none; no user is named
    let acl = [
        2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 5, 0, 255, 255,
        255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    for (file, name) in [
        ("src/tool", c"system.posix_acl_access"),
        ("src", c"system.posix_acl_default"),
        ("fifo", c"system.posix_acl_access"),
    ] {
        use std::os::unix::fs::OpenOptionsExt;
        let mut open = fs::OpenOptions::new();
        let file = open.read(true).custom_flags(libc::O_NONBLOCK).open(path(file)).unwrap();
        if let Err(errno) = crate::os::xattr::set(&file, name, &acl) {
            println!("no ACL in the fixture: {errno}");
        }
    }
    for (name, mode) in [
        ("src/tool", 0o750),
        ("bits", 0o6711),
        ("locked/secret", 0o0),
        ("locked/inner", 0o0),
        ("locked", 0o555),
        ("empty", 0o3775),
        ("src", 0o2755),
        ("src/deep/er/zero", 0o444),
    ] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Records a directory, link targets and all; runs where modes do not stop it.
pub fn record(store: &Store, top: &Path, from: From) -> Listing {
    let mut found: Listing = BTreeMap::new();
    let mut inodes: HashMap<u64, Vec<Vec<u8>>> = HashMap::new();
    let mut todo = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let real = top.join(OsStr::from_bytes(&path));
        let stat = fs::symlink_metadata(&real).unwrap();
        let kind = stat.file_type();
        let mut xattrs = Vec::new();
        if !kind.is_symlink() {
            let flags =
                rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
            let fd = rustix::fs::open(&real, flags, rustix::fs::Mode::empty()).unwrap();
            xattrs = escape::read_xattrs(fd, from).unwrap();
        }
        let kind = if kind.is_dir() {
            for name in fs::read_dir(&real).unwrap() {
                let name = name.unwrap().file_name();
                let parts: Vec<&[u8]> =
                    [&path[..], name.as_bytes()].into_iter().filter(|part| !part.is_empty()).collect();
                todo.push(parts.join(&b'/'));
            }
            Kind::Dir(Digest::of(b"dir"))
        } else if kind.is_symlink() {
            Kind::Symlink(fs::read_link(&real).unwrap().as_os_str().as_bytes().to_vec())
        } else if kind.is_fifo() {
            Kind::Fifo
        } else {
            let bytes = fs::read(&real).unwrap();
            assert_eq!(bytes.len() as u64, stat.size(), "{}", real.display());
            Kind::File(store.put(&bytes))
        };
        if !stat.is_dir() && stat.nlink() > 1 {
            inodes.entry(stat.ino()).or_default().push(path.clone());
        }
        let mtime = Time { secs: stat.mtime(), nanos: stat.mtime_nsec() as u32 };
        let meta = Meta { mode: (stat.mode() & 0o7777) as u16, mtime, xattrs };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap().to_vec();
        found.insert(path, Entry { name, meta, group: 0, kind });
    }
    for paths in inodes.values().filter(|paths| paths.len() > 1) {
        for path in paths {
            found.get_mut(path).unwrap().group = group::number(paths);
        }
    }
    found
}

/// Stores a listing's trees; returns the root.
pub fn trees_of(listing: &Listing, trees: &MemoryTrees) -> Digest {
    let mut children: HashMap<Vec<u8>, Vec<Entry>> = HashMap::new();
    let mut paths: Vec<&Vec<u8>> = listing.keys().collect();
    paths.sort_by(|a, b| tree_order(b, a));
    for path in paths {
        let mut entry = listing[path].clone();
        if entry.is_dir() {
            let mut inside = children.remove(path).unwrap_or_default();
            inside.sort_by(|a, b| a.name.cmp(&b.name));
            entry.kind = Kind::Dir(write_dir(trees, &inside).unwrap());
        }
        match crate::os::cursor::split(path) {
            None => return write_root(trees, &entry).unwrap(),
            Some((parent, _)) => children.entry(parent.to_vec()).or_default().push(entry),
        }
    }
    panic!("a listing has a root");
}

/// All paths of two listings that differ; directories that have such paths, too.
pub fn diff(before: &Listing, after: &Listing) -> Vec<Change> {
    let mut paths: Vec<&Vec<u8>> = before.keys().chain(after.keys()).collect();
    paths.sort_by(|a, b| tree_order(a, b));
    paths.dedup();
    let differs = |path: &Vec<u8>| before.get(path) != after.get(path);
    let touched = |dir: &Vec<u8>| {
        let prefix = if dir.is_empty() { vec![] } else { [dir, &b"/"[..]].concat() };
        paths.iter().any(|path| path.starts_with(&prefix) && differs(path))
    };
    let is_dir = |path: &Vec<u8>| after.get(path).is_some_and(Entry::is_dir);
    let of = |path: &Vec<u8>| Change {
        path: path.clone(),
        before: before.get(path).cloned(),
        after: after.get(path).cloned(),
    };
    paths.iter().filter(|path| differs(path) || is_dir(path) && touched(path)).map(|path| of(path)).collect()
}

pub fn same(left: &Listing, right: &Listing) {
    for path in left.keys().chain(right.keys()) {
        assert_eq!(left.get(path), right.get(path), "{}", String::from_utf8_lossy(path));
    }
}

/// A directory 3,000 deep with a file at its end.
pub fn deep(top: &Path) {
    let mut cursor = crate::os::cursor::Cursor::new(Dir::open(top).unwrap());
    for _ in 0..3_000 {
        rustix::fs::mkdirat(cursor.here(), c"d", rustix::fs::Mode::RWXU).unwrap();
        cursor.down(c"d").unwrap();
    }
    let fd = rustix::fs::openat(
        cursor.here(),
        c"end",
        rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    rustix::io::write(fd, b"x").unwrap();
}
