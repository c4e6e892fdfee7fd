//! What comes through the sockets: a launcher's requests, init's replies, a request at the desk, a rename.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    vrift::ns::fuzz::read_messages(bytes);
    let _ = serde_json::from_slice::<vrift::commands::ask::Request>(bytes);
});
