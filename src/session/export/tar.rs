//! A root as a tar archive.
//!
//! POSIX.1-2001 (pax): a ustar header, and before it an extended header with what does not
//! fit there: nanoseconds, long names, large sizes, and xattrs as `SCHILY.xattr.NAME` (star,
//! GNU tar and bsdtar read them; ACLs are among them, as `system.posix_acl_*`). Names are
//! bytes. Owner and group are the caller's.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::cas::Digest;
use crate::error::{Context, Error, Result};
use crate::manifest::node::{Content, Entry, Kind, Time};
use crate::manifest::walk::Walk;
use crate::progress::Meter;
use crate::session::project::Project;

use super::expect;

/// Bytes of a name that a ustar header has room for, without its prefix field.
const NAME: usize = 100;
/// The largest number that eleven octal digits hold.
const OCTAL: u64 = (1 << 33) - 1;

/// Writes a root as an archive. `path` is for messages. Returns how many entries it has.
pub fn tar(project: &Project, root: &Digest, to: &mut dyn Write, path: &Path, meter: &Meter) -> Result<u64> {
    expect(project, root, meter)?;
    let mut archive = Builder::new(to);
    let mut linked: HashMap<u64, Vec<(Vec<u8>, Entry)>> = HashMap::new();
    let mut count = 0;
    for step in Walk::new(&project.manifest, root)? {
        let (name, entry) = step?;
        count += 1;
        let firsts = linked.entry(entry.group).or_default();
        let first = firsts.iter().find(|(_, first)| first.meta == entry.meta && first.kind == entry.kind);
        let first = first.map(|(first, _)| first.as_slice()).filter(|_| entry.group != 0);
        put(&mut archive, project, (&name, &entry), first, path)?;
        if let Some(content) = entry.content() {
            meter.file(content.size);
        }
        if entry.group != 0 && first.is_none() {
            firsts.push((name, entry));
        }
    }
    archive.finish().context("write", path)?;
    Ok(count)
}

fn put(
    archive: &mut Builder<&mut dyn Write>,
    project: &Project,
    (name, entry): (&[u8], &Entry),
    first: Option<&[u8]>,
    path: &Path,
) -> Result<()> {
    let mut header = Header::new_ustar();
    let mut extended: Vec<(String, Vec<u8>)> = Vec::new();
    let mut content: Option<&Content> = None;
    let mut target: &[u8] = b"";
    let kind = match (&entry.kind, first) {
        (_, Some(first)) => {
            target = first;
            EntryType::Link
        }
        (Kind::Dir(_), None) => EntryType::Directory,
        (Kind::Fifo, None) => EntryType::Fifo,
        (Kind::Symlink(to), None) => {
            target = to;
            EntryType::Symlink
        }
        (Kind::File(what), None) => {
            content = Some(what);
            EntryType::Regular
        }
    };
    header.set_entry_type(kind);
    let full = match (name, kind) {
        (b"", _) => b"./".to_vec(),
        (_, EntryType::Directory) => [name, b"/"].concat(),
        _ => name.to_vec(),
    };
    if let Some(fields) = header.as_ustar_mut() {
        fit(&mut fields.name, &full, "path", &mut extended);
        fit(&mut fields.linkname, target, "linkpath", &mut extended);
    }
    let size = content.map_or(0, |content| content.size);
    header.set_size(size.min(OCTAL));
    if size > OCTAL {
        extended.push(("size".into(), size.to_string().into_bytes()));
    }
    header.set_mode(entry.meta.mode.into());
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    let mtime = entry.meta.mtime;
    let seconds = u64::try_from(mtime.secs).ok().filter(|seconds| *seconds <= OCTAL);
    header.set_mtime(seconds.unwrap_or(0));
    if mtime.nanos > 0 || seconds.is_none() {
        extended.push(("mtime".into(), decimal(mtime).into_bytes()));
    }
    for (name, value) in entry.meta.xattrs.iter().filter(|_| first.is_none()) {
        // an attribute's name that is no text has no place in a pax header
        if let Ok(name) = std::str::from_utf8(name) {
            extended.push((format!("SCHILY.xattr.{name}"), value.clone()));
        }
    }
    header.set_cksum();
    let records = extended.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    if !extended.is_empty() {
        archive.append_pax_extensions(records).context("write", path)?;
    }
    match content.filter(|content| content.size > 0) {
        None => archive.append(&header, std::io::empty()),
        Some(content) => archive.append(&header, open(project, content)?),
    }
    .context("write", path)
}

/// A field's bytes; what does not fit goes to the extended header whole.
fn fit(field: &mut [u8; NAME], value: &[u8], key: &str, extended: &mut Vec<(String, Vec<u8>)>) {
    let length = value.len().min(NAME);
    field[..length].copy_from_slice(&value[..length]);
    if value.len() > NAME {
        extended.push((key.to_string(), value.to_vec()));
    }
}

/// Seconds with nine digits after the point; before 1970 the whole is negative.
fn decimal(time: Time) -> String {
    let nanos = i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    let (sign, nanos) = if nanos < 0 { ("-", -nanos) } else { ("", nanos) };
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

fn open(project: &Project, content: &Content) -> Result<impl Read> {
    let object = File::from(project.store.open_object(&content.digest)?);
    let path = project.store.objects_path().join(content.digest.object_path());
    if object.metadata().context("stat", &path)?.len() != content.size {
        return Err(Error::corrupt(format!("object `{}` has another size than its content", path.display()))
            .with_hint("the store is damaged: this root cannot be written out"));
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_one_negative_number() {
        let time = |secs, nanos| decimal(Time { secs, nanos });
        assert_eq!(time(1, 5), "1.000000005");
        assert_eq!(time(-1, 999_999_999), "-0.000000001");
        assert_eq!(time(-2, 500_000_000), "-1.500000000");
    }
}
