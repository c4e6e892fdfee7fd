//! A tree as three see it: the executor's `tree` lines, a directory read with all rights of
//! its owner, and the manifest's head. All three of one state are equal.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use vrift::error::Context;
use vrift::manifest::Manifest;
use vrift::manifest::dir::{read_dir, read_root};
use vrift::manifest::node::{Entry, Kind};
use vrift::os::userns::as_root_of_own_files;

/// Seconds and nanoseconds.
pub type Time = (i64, u32);

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: char,
    pub mode: u32,
    pub mtime: Time,
    /// A file's size and hash, a link's target; `?` where the reader had no right to look.
    pub what: String,
    /// `,name=hex` by name.
    pub xattrs: String,
    /// The first path of the same inode, where it has several names.
    pub group: Option<String>,
}

/// By path, encoded as the executor prints it; `.` is the top.
pub type Tree = BTreeMap<String, Node>;

/// From the executor's lines, without their `|`.
pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Tree, String> {
    let mut found = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [path, kind, mode, mtime, inode, links, what, xattrs] = words[..] else {
            return Err(format!("not a line of a tree: {line}"));
        };
        let parse = || {
            Some((
                u32::from_str_radix(mode, 8).ok()?,
                time(mtime)?,
                inode.parse::<u64>().ok()?,
                links.parse::<u64>().ok()?,
            ))
        };
        let (mode, mtime, inode, links) = parse().ok_or_else(|| format!("not a line of a tree: {line}"))?;
        let kind = kind.chars().next().unwrap_or('?');
        let node = Node { kind, mode, mtime, what: what.into(), xattrs: xattrs.into(), group: None };
        let inode = (links > 1 && kind != 'd').then_some(inode);
        found.push((path.strip_prefix("./").unwrap_or(path).to_string(), node, inode));
    }
    Ok(grouped(found))
}

/// `@seconds.nanos`
pub fn time(word: &str) -> Option<Time> {
    let (seconds, nanos) = word.strip_prefix('@')?.split_once('.')?;
    Some((seconds.parse().ok()?, nanos.parse().ok()?))
}

fn grouped<I: Ord>(mut found: Vec<(String, Node, Option<I>)>) -> Tree {
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut names: BTreeMap<&I, Vec<usize>> = BTreeMap::new();
    for (at, (_, _, inode)) in found.iter().enumerate() {
        if let Some(inode) = inode {
            names.entry(inode).or_default().push(at);
        }
    }
    let groups: Vec<Vec<usize>> = names.into_values().filter(|group| group.len() > 1).collect();
    for group in groups {
        let first = found[group[0]].0.clone();
        for at in group {
            found[at].1.group = Some(first.clone());
        }
    }
    found.into_iter().map(|(path, node, _)| (path, node)).collect()
}

/// Reads a directory as it is, modes that are in the way or not. Sockets end with a
/// session: they are removed here, and nothing else changes.
pub fn of_directory(root: &Path) -> Tree {
    let mut found = Vec::new();
    let mut stack = vec![root.to_path_buf()];
    while let Some(path) = stack.pop() {
        let stat = path.symlink_metadata().unwrap();
        let kind = stat.file_type();
        let relative = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
        let shown = if relative.is_empty() { ".".into() } else { encode(relative) };
        let mode = stat.mode() & 0o7777;
        let acls = acls_of(&path);
        let opened = mode & 0o700 != 0o700 && !kind.is_symlink() && !rustix::process::geteuid().is_root();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        if opened {
            set(mode | 0o700);
        }
        let what = if kind.is_file() {
            let content = std::fs::read(&path).unwrap();
            format!("{}:{:016x}", content.len(), fnv(&content))
        } else if kind.is_symlink() {
            encode(std::fs::read_link(&path).unwrap().as_os_str().as_bytes())
        } else {
            "-".into()
        };
        let xattrs = if kind.is_symlink() { String::new() } else { acls + &user_xattrs_of(&path) };
        if kind.is_dir() {
            for entry in std::fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_socket() {
                    std::fs::remove_file(entry.path()).unwrap();
                } else {
                    stack.push(entry.path());
                }
            }
            let at = |seconds, nanos| Timespec { tv_sec: seconds, tv_nsec: nanos };
            let times = Timestamps {
                last_access: at(stat.atime(), stat.atime_nsec()),
                last_modification: at(stat.mtime(), stat.mtime_nsec()),
            };
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
        }
        if opened && !kind.is_dir() {
            set(mode);
        }
        let kind = match () {
            () if kind.is_file() => 'f',
            () if kind.is_symlink() => 'l',
            () if kind.is_fifo() => 'p',
            () => 'd',
        };
        let mtime = (stat.mtime(), stat.mtime_nsec() as u32);
        let inode = (kind != 'd' && stat.nlink() > 1).then(|| (stat.dev(), stat.ino()));
        found.push((shown, Node { kind, mode, mtime, what, xattrs, group: None }, inode));
    }
    let tree = grouped(found);
    // Directories get their modes back once nothing is to be read below them.
    for (shown, node) in tree.iter().rev().filter(|(_, node)| node.kind == 'd' && node.mode & 0o700 != 0o700)
    {
        let path = root.join(OsStr::from_bytes(&decode(shown)));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(node.mode)).unwrap();
    }
    tree
}

/// Lets the owner read all of a directory: what cannot be read is no part of a project.
pub fn make_readable(root: &Path) {
    let mut stack = vec![root.to_path_buf()];
    while let Some(path) = stack.pop() {
        let stat = path.symlink_metadata().unwrap();
        let wanted = if stat.is_dir() { 0o500 } else { 0o400 };
        if !stat.is_symlink() && stat.mode() & wanted != wanted {
            let mode = stat.mode() & 0o7777 | wanted;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        if stat.is_dir() {
            stack.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// ACLs first: a change of the mode changes them, and they can always be read.
fn acls_of(path: &Path) -> String {
    let shown = |name: &str| {
        let mut value = [0u8; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
        Some(shown_xattr(name.as_bytes(), &value[..length]))
    };
    ["system.posix_acl_access", "system.posix_acl_default"].into_iter().filter_map(shown).collect()
}

fn user_xattrs_of(path: &Path) -> String {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap();
    let mut names = vrift::os::xattr::list(&fd).unwrap();
    names.retain(|name| name.to_bytes().starts_with(b"user."));
    names.sort();
    let shown = |name: &std::ffi::CString| {
        shown_xattr(name.to_bytes(), &vrift::os::xattr::get(&fd, name).unwrap().unwrap())
    };
    names.iter().map(shown).collect()
}

fn shown_xattr(name: &[u8], value: &[u8]) -> String {
    let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(",{}={value}", encode(name))
}

/// The head of a workspace, with contents from the store's objects.
pub fn of_head(store: &Path, project: &Path, workspace: &str) -> Tree {
    let manifest = Manifest::open(project).unwrap();
    let head = manifest.known_workspace(workspace).unwrap().head.unwrap();
    let mut found = Vec::new();
    let mut stack = vec![(Vec::new(), read_root(&manifest, &head).unwrap())];
    while let Some((path, entry)) = stack.pop() {
        let shown = if path.is_empty() { ".".into() } else { encode(&path) };
        found.push((shown, node(store, &entry), (entry.group != 0).then_some(entry.group)));
        for inner in entry.tree().map_or_else(Vec::new, |tree| read_dir(&manifest, &tree).unwrap()) {
            let below =
                if path.is_empty() { inner.name.clone() } else { [&path[..], &inner.name].join(&b'/') };
            stack.push((below, inner));
        }
    }
    grouped(found)
}

fn node(store: &Path, entry: &Entry) -> Node {
    let (kind, what) = match &entry.kind {
        Kind::Dir(_) => ('d', "-".into()),
        Kind::Fifo => ('p', "-".into()),
        Kind::Symlink(target) => ('l', encode(target)),
        Kind::File(content) => {
            let object = store.join("objects").join(content.digest.object_path());
            let read = || std::fs::read(&object).map(|bytes| (bytes.len() as u64, fnv(&bytes)));
            let (size, hash) = match read() {
                _ if content.size == 0 => (0, fnv(&[])),
                Ok(found) => found,
                // an object that a layer shares has its file's mode
                Err(_) => as_root_of_own_files("read", || read().context("read", &object)).unwrap(),
            };
            assert_eq!(size, content.size);
            ('f', format!("{size}:{hash:016x}"))
        }
    };
    let meta = &entry.meta;
    let xattrs = meta.xattrs.iter().map(|(name, value)| shown_xattr(name, value)).collect();
    let mtime = (meta.mtime.secs, meta.mtime.nanos);
    Node { kind, mode: meta.mode.into(), mtime, what, xattrs, group: None }
}

/// FNV-1a of 64 bits, as the executor's.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn encode(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'%' | b',' | b'=' => format!("%{byte:02x}"),
        b'!'..=b'~' => char::from(*byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    bytes.iter().map(one).collect()
}

fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap()
            }
            byte => byte,
        });
    }
    decoded
}
