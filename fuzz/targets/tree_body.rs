//! A tree body is read or refused; what is read is canonical: it is written as the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrift::manifest::encode::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = decode(bytes) {
        assert_eq!(encode(&body).unwrap(), bytes);
    }
});
