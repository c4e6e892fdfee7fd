//! For `fuzz/targets/messages.rs`: reads bytes as each message that comes through a socket.

use super::wire;
use crate::psfs::door::Head;

/// Must return, whatever the bytes are.
pub fn read_messages(bytes: &[u8]) {
    if let Some(request) = wire::Request::decode(bytes) {
        assert_eq!(wire::Request::decode(&request.encode()), Some(request));
    }
    let _ = wire::parse(bytes, Vec::new());
    if let Some(head) = Head::decode(bytes.get(..16).unwrap_or(&[])) {
        assert_eq!(Head::decode(&head.encode()), Some(head));
    }
}
