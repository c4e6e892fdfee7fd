//! A shared library for i386 in which nothing is: a 32-bit loader takes it without a
//! word, where it would complain about a 64-bit one (elf(5)).

/// Words of the file header, of each of three program headers, of the dynamic section,
/// of the one symbol, of the hash table.
const HEADER: u32 = 13;
const PROGRAM: u32 = 8;
const DYNAMIC: u32 = 12;
const SYMBOL: u32 = 4;
const HASH: u32 = 4;

const LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const GNU_STACK: u32 = 0x6474_e551;
const READ_WRITE: u32 = 6;

/// The whole file.
pub(super) fn library() -> Vec<u8> {
    let dynamic = 4 * (HEADER + 3 * PROGRAM);
    let symbol = dynamic + 4 * DYNAMIC;
    let hash = symbol + 4 * SYMBOL;
    let strings = hash + 4 * HASH;
    let size = strings + 4;
    let segment = |kind, start, size, align| [kind, start, start, start, size, size, READ_WRITE, align];
    // class 32, little-endian, version 1; a dynamic object for i386
    let header = [
        u32::from_le_bytes(*b"\x7fELF"),
        u32::from_le_bytes([1, 1, 1, 0]),
        0,
        0,
        3 | (3 << 16),
        1,
        0,
        4 * HEADER,
        0,
        0,
        (4 * HEADER) | ((4 * PROGRAM) << 16),
        3,
        0,
    ];
    // DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_NULL
    let tags = [4, hash, 5, strings, 6, symbol, 10, 1, 11, 4 * SYMBOL, 0, 0];
    let words = header
        .into_iter()
        .chain(segment(LOAD, 0, size, 4096))
        .chain(segment(PT_DYNAMIC, dynamic, 4 * DYNAMIC, 4))
        .chain(segment(GNU_STACK, 0, 0, 16))
        .chain(tags)
        .chain([0; SYMBOL as usize])
        .chain([1, 1, 0, 0])
        .chain([0]);
    words.flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_where_things_are() {
        let file = library();
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let load = (4 * HEADER) as usize;
        assert_eq!(word(load + 16) as usize, file.len());
        let dynamic = word(load + 4 * PROGRAM as usize + 4) as usize;
        assert_eq!(word(dynamic), 4);
        let hash = word(dynamic + 4) as usize;
        assert_eq!([word(hash), word(hash + 4), word(hash + 8), word(hash + 12)], [1, 1, 0, 0]);
    }
}
