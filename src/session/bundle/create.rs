//! Writing a bundle.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use super::{Hashed, Header, LONGEST_BODY, LONGEST_HEADER, MAGIC, STEP, Size, VERSION};
use crate::cas::{Digest, Store, sparse};
use crate::error::{Context, Error, Result};
use crate::manifest::node::Content;
use crate::manifest::reach::{Part, Reach};
use crate::progress::Meter;
use crate::session::project::Project;

/// Writes a root as a bundle. `path` is for messages.
pub fn create(
    project: &Project,
    root: &Digest,
    (name, message): (&str, &str),
    to: &mut dyn Write,
    path: &Path,
    meter: &Meter,
) -> Result<Size> {
    let mut out = Hashed { inner: to, hasher: blake3::Hasher::new() };
    let header = Header { root: root.hex(), name: name.into(), message: message.into() };
    let header = serde_json::to_vec(&header).map_err(std::io::Error::from).context("write", path)?;
    let length = u32::try_from(header.len()).ok().filter(|length| *length <= LONGEST_HEADER);
    let length = length.ok_or_else(|| Error::failure("the message is too long for a bundle"))?;
    let begin = |out: &mut dyn Write| -> std::io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&[VERSION])?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&header)
    };
    begin(&mut out).context("write", path)?;
    let mut size = Size::default();
    let mut contents = Vec::new();
    Reach::default().walk(&project.manifest, root, &mut |part| {
        match part {
            Part::Tree(_, body) => put_body(&mut out, body).context("write", path)?,
            Part::File(content) => contents.push(*content),
        }
        Ok(())
    })?;
    for content in contents {
        let bytes = put_content(&mut out, &project.store, &content, path)?;
        meter.file(bytes);
        size.files += 1;
        size.bytes += bytes;
    }
    let sum = out.hasher.finalize();
    let end = |out: &mut dyn Write| -> std::io::Result<()> {
        out.write_all(b"E")?;
        out.write_all(sum.as_bytes())?;
        out.flush()
    };
    end(&mut out).context("write", path)?;
    Ok(size)
}

fn put_body(out: &mut dyn Write, body: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= LONGEST_BODY);
    let length = length.ok_or_else(|| std::io::Error::other("a directory is too large for a bundle"))?;
    out.write_all(b"T")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(body)
}

fn put_content(out: &mut dyn Write, store: &Store, content: &Content, path: &Path) -> Result<u64> {
    let object = store.open_object(&content.digest)?;
    let object_path = store.objects_path().join(content.digest.object_path());
    let damaged = || {
        Error::corrupt(format!("object `{}` is shorter than its content", object_path.display()))
            .with_hint("nothing was bundled; the store is damaged")
    };
    let head = |out: &mut dyn Write| {
        out.write_all(b"F")?;
        out.write_all(content.digest.as_bytes())?;
        out.write_all(&content.size.to_le_bytes())?;
        out.write_all(&[u8::from(content.sparse)])
    };
    head(out).context("write", path)?;
    let mut buffer = vec![0u8; STEP];
    let mut total = 0;
    for (start, end) in sparse::extents(object.as_fd(), content.size).context("read", &object_path)? {
        let extent = |out: &mut dyn Write| {
            out.write_all(&start.to_le_bytes())?;
            out.write_all(&(end - start).to_le_bytes())
        };
        extent(out).context("write", path)?;
        let mut at = start;
        while at < end {
            let want = buffer.len().min(usize::try_from(end - at).unwrap_or(STEP));
            let got =
                sparse::read_full(object.as_fd(), &mut buffer[..want], at).context("read", &object_path)?;
            if got < want {
                return Err(damaged());
            }
            out.write_all(&buffer[..got]).context("write", path)?;
            at += got as u64;
        }
        total += end - start;
    }
    out.write_all(&[0; 16]).context("write", path)?;
    Ok(total)
}
