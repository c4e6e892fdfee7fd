//! POSIX ACLs name users and groups by number, and a number means something else in a
//! user namespace: recorded are the caller's, as outside.
//!
//! In the namespace in which lowers are made and uppers are read (rule 4) only the
//! caller's own user and group have a number. An entry that names somebody else cannot
//! be written there, and would be nobody in the view: it is left out of a lower, stays
//! in the record, and is lost when the file is rewritten inside.

use crate::os::userns::{OwnIds, own_ids};

/// acl(5) as an xattr: `u32` version, then entries of `u16` tag, `u16` permissions and
/// `u32` id, little endian (linux/posix_acl_xattr.h).
const HEADER: usize = 4;
const ENTRY: usize = 8;
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;

pub fn is_acl(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_")
}

/// A recorded ACL as this process must write it.
pub fn to_disk(value: &[u8]) -> Vec<u8> {
    match own_ids() {
        Some(ids) => translated(value, [(ids.user, ids.inside), (ids.group, ids.inside)]),
        None => value.to_vec(),
    }
}

/// An ACL as this process reads it, for the record.
pub fn to_record(value: &[u8]) -> Vec<u8> {
    match own_ids() {
        Some(OwnIds { user, group, inside }) => translated(value, [(inside, user), (inside, group)]),
        None => value.to_vec(),
    }
}

/// Exchanges the one user's and the one group's number, and drops all others. What does
/// not look like an ACL stays as it is: the kernel judges it.
fn translated(value: &[u8], [user, group]: [(u32, u32); 2]) -> Vec<u8> {
    if value.len() < HEADER || (value.len() - HEADER) % ENTRY != 0 {
        return value.to_vec();
    }
    let mut out = value[..HEADER].to_vec();
    for entry in value[HEADER..].chunks_exact(ENTRY) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (from, to) = match tag {
            USER => user,
            GROUP => group,
            _ => {
                out.extend_from_slice(entry);
                continue;
            }
        };
        if id == from {
            out.extend_from_slice(&entry[..4]);
            out.extend_from_slice(&to.to_le_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u32)]) -> Vec<u8> {
        let mut out = 2u32.to_le_bytes().to_vec();
        for (tag, id) in entries {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&7u16.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    #[test]
    fn the_callers_numbers_are_exchanged_and_others_dropped() {
        let here = acl(&[(1, 9), (USER, 1000), (USER, 7), (GROUP, 100), (GROUP, 1000), (0x10, 9)]);
        let inside = translated(&here, [(1000, 0), (100, 0)]);
        assert_eq!(inside, acl(&[(1, 9), (USER, 0), (GROUP, 0), (0x10, 9)]));
        let back = translated(&inside, [(0, 1000), (0, 100)]);
        assert_eq!(back, acl(&[(1, 9), (USER, 1000), (GROUP, 100), (0x10, 9)]));
        assert_eq!(translated(b"junk!", [(0, 1), (0, 1)]), b"junk!");
    }
}
