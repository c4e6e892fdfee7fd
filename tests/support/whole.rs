//! Is everything there that a store's manifests name?

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use vrift::cas::{Digest, Store, sparse};
use vrift::manifest::Manifest;
use vrift::manifest::reach::{Part, Reach};
use vrift::os::dir::stat_fd;

/// Reads every tree and every object that any row of any project names, old heads too, and
/// holds each against its digest and size.
#[track_caller]
pub fn assert_whole(store: &Path) {
    let opened = Store::open(store).unwrap().unwrap();
    let mut read: HashMap<Digest, u64> = HashMap::new();
    for entry in std::fs::read_dir(store.join("projects")).unwrap().flatten() {
        if !entry.path().join("manifest.db").exists() {
            continue;
        }
        let manifest = Manifest::open(&entry.path()).unwrap();
        let heads = manifest.old_heads().unwrap().into_iter().map(|head| head.root);
        let mut reach = Reach::default();
        for root in manifest.named_roots().unwrap().into_iter().chain(heads) {
            let shown = reach.walk(&manifest, &root, &mut |part| {
                if let Part::File(content) = part
                    && read.insert(content.digest, content.size).is_none()
                {
                    let file = opened.open_object(&content.digest)?;
                    assert_eq!(stat_fd(&file).unwrap().size, content.size, "{}", content.digest);
                    assert_eq!(digest(file.into(), content.size, content.sparse), content.digest);
                }
                Ok(())
            });
            shown.unwrap_or_else(|error| panic!("{}: {root}: {error}", entry.path().display()));
        }
    }
}

fn digest(mut file: File, size: u64, is_sparse: bool) -> Digest {
    if is_sparse {
        return sparse::digest(&file, size).unwrap();
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    Digest::of(&bytes)
}
