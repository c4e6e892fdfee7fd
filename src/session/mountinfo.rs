//! What is mounted where, as `/proc/self/mountinfo` says it (proc_pid_mountinfo(5)).

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mounts::is_below;
use crate::error::{Context, Error, Result};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// `major:minor` of the file system.
    device: Vec<u8>,
    /// Which directory of the file system is seen.
    root: PathBuf,
    /// Where.
    pub point: PathBuf,
    pub kind: OsString,
}

/// All mounts, in the order in which they were made.
pub fn read() -> Result<Vec<Mounted>> {
    use std::io::Read;
    let path = Path::new("/proc/self/mountinfo");
    // it has no size to go by, and is mostly no longer than this
    let mut text = Vec::with_capacity(16 << 10);
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text));
    read.context("read", path)?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Vec<Mounted> {
    let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescape(field)));
    let of_line = |line: &[u8]| {
        let mut fields = line.split(|&byte| byte == b' ').skip(2);
        let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        let kind = OsString::from_vec(unescape(kind));
        Some(Mounted { device: device.to_vec(), root: path(root), point: path(point), kind })
    };
    text.split(|&byte| byte == b'\n').filter_map(of_line).collect()
}

/// Mount points below a directory, outermost first: only those that no other of them
/// contains (each is moved with what is below it).
pub fn below(mounted: &[Mounted], dir: &Path) -> Result<Vec<CString>> {
    let points = mounted.iter().map(|mounted| mounted.point.as_os_str().as_bytes());
    let mut found: Vec<&[u8]> = points.filter(|point| is_below(point, dir.as_os_str().as_bytes())).collect();
    found.sort_unstable();
    found.dedup();
    let mut outermost: Vec<&[u8]> = Vec::new();
    for point in found {
        if !outermost.iter().any(|outer| is_below(point, outer)) {
            outermost.push(point);
        }
    }
    let owned = |point: &[u8]| CString::new(point).map_err(|_| Error::corrupt("a mount point with a NUL"));
    outermost.into_iter().map(owned).collect()
}

/// Other paths at which a directory, or something in it, is seen: its file system is
/// mounted more than once.
pub fn aliases(mounted: &[Mounted], dir: &Path) -> Vec<PathBuf> {
    let Some(own) = mounted
        .iter()
        .filter(|mounted| dir.starts_with(&mounted.point))
        .max_by_key(|mounted| mounted.point.as_os_str().len())
    // of equals the last, which is on top
    else {
        return Vec::new();
    };
    let Ok(inner) = dir.strip_prefix(&own.point) else { return Vec::new() };
    let in_fs = own.root.join(inner);
    let mut found: Vec<PathBuf> = Vec::new();
    for other in mounted.iter().filter(|other| other.device == own.device) {
        let path = match in_fs.strip_prefix(&other.root) {
            Ok(rest) => other.point.join(rest),
            Err(_) if other.root.starts_with(&in_fs) => other.point.clone(),
            Err(_) => continue,
        };
        // below a mount that hides it nothing is to be seen
        let seen = |path: &Path| std::fs::metadata(path).map(|stat| (stat.dev(), stat.ino()));
        let is_it = match other.root.starts_with(&in_fs) && other.root != in_fs {
            true => path.is_dir(),
            false => seen(dir).ok().is_some_and(|dir| seen(&path).ok() == Some(dir)),
        };
        if is_it && path != dir && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// Space, tab, newline and backslash are written as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u8, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
                _ => None,
            })
        });
        match digits {
            Some(value) => {
                out.push(value);
                rest = &after[3..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// A path without the project's root before it.
pub fn relative_to(point: &CString, root: &Path) -> Option<Vec<u8>> {
    let path = Path::new(OsStr::from_bytes(point.to_bytes()));
    path.strip_prefix(root).ok().map(|path| path.as_os_str().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(b"/a\\040b\\011c\\134d"), b"/a b\tc\\d");
        assert_eq!(unescape(b"/a\\9x\\"), b"/a\\9x\\");
        assert_eq!(unescape(b"/\\777"), b"/\\777");
    }

    #[test]
    fn lines_are_read_with_and_without_optional_fields() {
        let text = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            42 27 7:0 /sub /a\\040b rw shared:1 master:2 - ext4 /dev/loop0 rw\nnonsense\n";
        let mounted = parse(text);
        assert_eq!(mounted.len(), 2);
        assert_eq!((mounted[1].root.to_str(), mounted[1].point.to_str()), (Some("/sub"), Some("/a b")));
        assert_eq!(mounted[1].kind, "ext4");
        assert_eq!(below(&mounted, Path::new("/")).unwrap(), Vec::<CString>::new());
    }

    #[test]
    fn a_directory_seen_twice_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("fs/home/store/objects")).unwrap();
        std::fs::create_dir_all(top.join("inner")).unwrap();
        // stands for a second mount: the same directory under another name
        std::os::unix::fs::symlink(top.join("fs/home"), top.join("again")).unwrap();
        let mount = |device: &str, root: &str, point: &str| Mounted {
            device: device.into(),
            root: root.into(),
            point: top.join(point),
            kind: "ext4".into(),
        };
        let mounted = [
            mount("8:1", "/", "fs"),
            mount("8:1", "/home", "again"),
            mount("8:1", "/home/store/objects", "inner"),
            mount("8:2", "/", "other"),
            mount("8:1", "/elsewhere", "far"),
        ];
        let found = aliases(&mounted, &top.join("fs/home/store"));
        assert_eq!(found, [top.join("again/store"), top.join("inner")]);
    }
}
