//! A directory in chunks, of which the bodies are foreign: reading, looking up and changing it
//! end with an answer. The input is bodies, each after its length (u16, little endian); `#` and a
//! number in place of a digest's first two bytes names another body of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrift::cas::Digest;
use vrift::manifest::chunk::Listing;
use vrift::manifest::encode::{Body, decode, encode};
use vrift::manifest::reach::Reach;
use vrift::manifest::store::{MemoryTrees, Trees};

fuzz_target!(|bytes: &[u8]| {
    let trees = MemoryTrees::default();
    let (mut rest, mut known) = (bytes, vec![Digest::of(b"")]);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let Some((body, after)) = after.split_at_checked(u16::from_le_bytes(*length).into()) else { break };
        rest = after;
        let mut body = body.to_vec();
        // an index of bodies that are there, so that more than its own reader is met
        if let Ok(Body::Index(mut chunks)) = decode(&body) {
            for chunk in &mut chunks {
                chunk.digest = known[usize::from(chunk.digest.as_bytes()[0]) % known.len()];
            }
            body = encode(&Body::Index(chunks)).unwrap();
        }
        known.push(trees.put(&body).unwrap());
    }
    let top = known.last().unwrap();
    if let Ok(mut listing) = Listing::open(&trees, Some(top)) {
        let _ = listing.get(b"a");
        let _ = listing.update(vec![(b"b".to_vec(), None)]);
    }
    if let Ok(listing) = Listing::open(&trees, Some(top)) {
        let _ = listing.into_entries();
    }
    let _ = Reach::default().walk(&trees, top, &mut |_| Ok(()));
});
