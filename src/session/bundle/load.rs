//! Reading a bundle.

use std::io::Read;
use std::path::Path;

use super::{Hashed, Header, LONGEST_BODY, LONGEST_HEADER, MAGIC, STEP, Size, VERSION};
use crate::cas::durable::Durable;
use crate::cas::store::Publishing;
use crate::cas::{Digest, Store, sparse};
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::dir::read_root;
use crate::manifest::encode::decode;
use crate::manifest::reach::{Part, Reach};
use crate::manifest::snapshot::{Snapshot, check_name};
use crate::manifest::store::Trees;
use crate::os::failpoint;
use crate::progress::Meter;
use crate::session::project::Project;

/// Loads a bundle and keeps its root as a snapshot, durably. `name`: else the bundle's own
/// where it is free, else the next of `s1`, `s2`, …. A root that has this name already is
/// left as it is.
pub fn load(
    project: &Project,
    from: &mut dyn Read,
    path: &Path,
    name: Option<&str>,
    meter: &Meter,
) -> Result<(Snapshot, Size)> {
    if let Some(name) = name {
        project.manifest.free_name(name)?; // before the work, not after it
    }
    let durable = Durable::begin(&project.store)?;
    let token = project.store.publishing()?;
    let (header, root, size) = receive(project, &token, from, path, meter)?;
    failpoint::at("bundle.received").context("read", path)?;
    durable.write_out()?;
    failpoint::at("bundle.synced").context("read", path)?;
    let snapshot = project.manifest.durable(|manifest| {
        let named = manifest.snapshot(&header.name)?;
        if let (None, Some(there)) = (name, named.as_ref().filter(|there| there.root == root)) {
            return Ok(there.clone());
        }
        let free = named.is_none()
            && check_name(&header.name).is_ok()
            && manifest.workspace(&header.name)?.is_none();
        let name = name.or(free.then_some(header.name.as_str()));
        manifest.add_loaded_snapshot(&root, name, &header.message)
    })?;
    Ok((snapshot, size))
}

/// Reads a bundle into the project's store and manifest. Its root is whole when this
/// returns, and kept from then on only by what names it: `token` is held until a row does
/// (rule 15).
fn receive(
    project: &Project,
    token: &Publishing,
    from: &mut dyn Read,
    path: &Path,
    meter: &Meter,
) -> Result<(Header, Digest, Size)> {
    let mut source = Source { from: Hashed { inner: from, hasher: blake3::Hasher::new() }, path };
    let header = source.header()?;
    let root = hex(&header.root).ok_or_else(|| source.broken("its root is no digest"))?;
    let mut size = Size::default();
    // in portions: other runs' transactions get their turn between
    while source.portion(project, token, &mut size, meter)? {}
    whole(project, token, &root).map_err(|error| {
        source.broken("it does not hold all that its root needs").with_hint(error.to_string())
    })?;
    Ok((header, root, size))
}

/// Every body and content that the root needs is there.
fn whole(project: &Project, token: &Publishing, root: &Digest) -> Result<()> {
    read_root(&project.manifest, root)?;
    Reach::default().walk(&project.manifest, root, &mut |part| match part {
        Part::Tree(..) => Ok(()),
        Part::File(content) if project.store.has(token, &content.digest, content.size)? => Ok(()),
        Part::File(content) => Err(Error::corrupt(format!("content {} is missing", content.digest))),
    })
}

fn hex(text: &str) -> Option<Digest> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    Digest::from_slice(&bytes?).ok()
}

/// A bundle that is being read.
struct Source<'a> {
    from: Hashed<&'a mut dyn Read>,
    path: &'a Path,
}

/// Bytes of records that one transaction takes.
const PORTION: u64 = 8 << 20;

impl Source<'_> {
    fn broken(&self, why: &str) -> Error {
        Error::corrupt(format!("`{}` is no whole bundle: {why}", self.path.display()))
            .with_hint("copy it again from where it was made; nothing of the workspaces has changed")
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        match self.from.read_exact(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.broken("it ends too early"))
            }
            other => other.context("read", self.path),
        }
    }

    /// A length and that many bytes; memory is taken as they arrive.
    fn counted(&mut self, longest: u32) -> Result<Vec<u8>> {
        let length = u32::from_le_bytes(self.bytes()?);
        if length > longest {
            return Err(self.broken("a record is too long"));
        }
        let mut bytes = Vec::new();
        let got = (&mut self.from).take(length.into()).read_to_end(&mut bytes).context("read", self.path)?;
        if got < length as usize {
            return Err(self.broken("it ends too early"));
        }
        Ok(bytes)
    }

    fn header(&mut self) -> Result<Header> {
        if &self.bytes::<13>()? != MAGIC {
            return Err(self.broken("it does not begin as one"));
        }
        let [version] = self.bytes()?;
        if version != VERSION {
            return Err(Error::failure(format!(
                "`{}` has format {version}; this vrift reads {VERSION}",
                self.path.display()
            ))
            .with_hint("load it with the vrift that wrote it, or a newer one"));
        }
        let text = self.counted(LONGEST_HEADER)?;
        serde_json::from_slice(&text).map_err(|_| self.broken("its header cannot be read"))
    }

    /// Takes records in; false at the end of the bundle.
    fn portion(
        &mut self,
        project: &Project,
        token: &Publishing,
        size: &mut Size,
        meter: &Meter,
    ) -> Result<bool> {
        let mut bodies = Vec::new();
        let mut held = 0;
        let mut goes_on = true;
        while goes_on && held < PORTION {
            let sum = self.from.hasher.finalize();
            match &self.bytes()? {
                b"T" => {
                    let body = self.counted(LONGEST_BODY)?;
                    decode(&body).map_err(|error| self.broken(&error.to_string()))?;
                    held += body.len() as u64;
                    bodies.push(body);
                }
                b"F" => {
                    let (bytes, new) = self.content(&project.store, token)?;
                    meter.file(bytes);
                    held += bytes;
                    size.files += 1;
                    size.bytes += bytes;
                    size.new_bytes += if new { bytes } else { 0 };
                }
                b"E" => {
                    if self.bytes::<32>()? != *sum.as_bytes() {
                        return Err(self.broken("its checksum is another one"));
                    }
                    goes_on = false;
                }
                _ => return Err(self.broken("there is something unknown in it")),
            }
        }
        if !bodies.is_empty() {
            project
                .manifest
                .transaction(|manifest| bodies.iter().try_for_each(|body| manifest.put(body).map(drop)))?;
        }
        Ok(goes_on)
    }

    fn content(&mut self, store: &Store, token: &Publishing) -> Result<(u64, bool)> {
        let digest = Digest::from_bytes(self.bytes()?);
        let size = u64::from_le_bytes(self.bytes()?);
        let is_sparse = self.bytes::<1>()? == [1];
        if i64::try_from(size).is_err() {
            return Err(self.broken("a content is too large"));
        }
        let incoming = store.receive()?;
        let mut buffer = vec![0u8; STEP];
        let (mut total, mut before) = (0, 0);
        loop {
            let (start, length) = (u64::from_le_bytes(self.bytes()?), u64::from_le_bytes(self.bytes()?));
            if length == 0 {
                break;
            }
            let end = start.checked_add(length).filter(|end| *end <= size && start >= before);
            let end = end.ok_or_else(|| self.broken("a content is longer than it says"))?;
            let mut at = start;
            while at < end {
                let want = buffer.len().min(usize::try_from(end - at).unwrap_or(STEP));
                self.fill(&mut buffer[..want])?;
                incoming.write(&buffer[..want], at)?;
                at += want as u64;
            }
            (total, before) = (total + length, end);
        }
        // a content with more hole than this has a digest of the sparse kind (rule 6); hashing a
        // size that is a lie would take for ever
        if !is_sparse && size - total > sparse::HOLE_LIMIT {
            return Err(self.broken("a content is shorter than it says"));
        }
        let new = incoming.publish(token, &digest, size, is_sparse).map_err(|error| match error.kind() {
            Kind::Corrupt => self.broken(&error.to_string()),
            _ => error,
        })?;
        Ok((total, new))
    }
}
