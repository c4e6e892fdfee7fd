//! Where the store is, whose cover holds the session's page and the mover's socket.
//! vrift writes it into the copy of this library that it puts into the store.

/// Bytes of a store's path at most, with its NUL.
const PATH: usize = 1024;

/// A mark to find it by, then a C string.
#[repr(C)]
struct Place {
    mark: [u8; 16],
    path: [u8; PATH],
    /// Nothing is answered from tables.
    renames_only: u8,
}

#[used]
static PLACE: Place = Place { mark: *b"vrift-store-at:\0", path: [0; PATH], renames_only: 0 };

/// The path of the store; empty where none was written.
pub fn store() -> *const u8 {
    // what the compiler knows of the bytes is not what will be there
    core::hint::black_box(&raw const PLACE.path).cast()
}

/// Whether this copy is for runs in which nothing is answered from tables.
pub fn renames_only() -> bool {
    core::hint::black_box(&PLACE).renames_only != 0
}
