//! Every way around a kernel, with the version that ends the need for it.
//!
//! | what | until |
//! |---|---|
//! | one option string for mount(2) | 6.8 (`lowerdir+`, `datadir+`); for good where a seccomp filter refuses fsopen(2), or a path has more than 255 bytes |
//! | upper and work are unescaped even by fsconfig(2) | still so in 6.18 |
//! | syncfs after EIO of a volatile mount | still so in 6.18 |

use std::ffi::{CStr, CString};

use crate::overlay::mount::{Layers, MountFailure, step};

/// mount(2) copies one page of options; 4 KiB is the smallest.
const PAGE: usize = 4096;

/// The options of mount(2); `None` when they do not fit, or there is no lower.
pub fn options(layers: &Layers) -> Option<CString> {
    let mut text = Vec::from(b"lowerdir=".as_slice());
    let lowers: Vec<_> = layers.lowers.iter().map(|path| escaped(path).into_bytes()).collect();
    text.extend(lowers.join(&b':'));
    if let Some(data) = &layers.data {
        // data-only lowers stand behind a double colon: 6.5
        text.extend(b"::");
        text.extend(escaped(data).as_bytes());
    }
    for (key, path) in [("upperdir", &layers.upper), ("workdir", &layers.work)] {
        if let Some(path) = path {
            text.extend([b",", key.as_bytes(), b"=", escaped(path).as_bytes()].concat());
        }
    }
    text.extend(b",userxattr,index=off");
    if layers.upper.is_some() {
        text.extend(b",volatile");
    }
    CString::new(text).ok().filter(|text| !lowers.is_empty() && text.as_bytes().len() < PAGE)
}

/// A backslash before each backslash, colon and comma.
pub fn escaped(path: &CStr) -> CString {
    let mut text = Vec::with_capacity(path.to_bytes().len());
    for &byte in path.to_bytes() {
        if matches!(byte, b'\\' | b':' | b',') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    CString::new(text).unwrap_or_default()
}

/// Whether mount(2) may do what this failure refused. Old kernels say EINVAL to
/// `lowerdir+` (6.5 to 6.7) or only at the end (before); seccomp says EPERM or ENOSYS.
pub fn wants_legacy(failure: MountFailure) -> bool {
    match failure.errno {
        libc::ENOSYS | libc::EINVAL => true,
        libc::EPERM => failure.step == step::FSOPEN,
        _ => false,
    }
}

/// Of a failure of both ways, the one that says more.
pub fn telling(first: MountFailure, second: MountFailure) -> MountFailure {
    let refused = first.step == step::FSOPEN || first.step == step::LOWER;
    if refused && second.errno != libc::ENAMETOOLONG { second } else { first }
}

/// An earlier write-back error of the filesystem refuses volatile mounts until syncfs.
pub fn wants_sync(failure: MountFailure, volatile: bool) -> bool {
    volatile && failure.errno == libc::EIO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_string_has_every_layer_escaped() {
        let layers = Layers {
            lowers: vec![c"a:b".into(), c"base/1".into()],
            data: Some(c"objects".into()),
            upper: Some(c"s,x/upper".into()),
            work: Some(c"s\\x/work".into()),
        };
        assert_eq!(
            options(&layers).unwrap().to_str().unwrap(),
            "lowerdir=a\\:b:base/1::objects,upperdir=s\\,x/upper,workdir=s\\\\x/work,userxattr,index=off,volatile"
        );
        assert_eq!(options(&Layers::default()), None);
        let long = CString::new(vec![b'x'; 4096]).unwrap();
        assert_eq!(options(&Layers { lowers: vec![long], ..layers }), None);
    }
}
