//! A few counters that a process has in common with the children it forks: what a child counts
//! is seen here.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// How many there are.
pub const COUNT: usize = 5;
const SIZE: usize = size_of::<[AtomicU64; COUNT]>();

/// A page of its own, gone when it is dropped.
#[derive(Debug)]
pub struct Counters(NonNull<[AtomicU64; COUNT]>);

// SAFETY: all there is are atomic integers, which any thread may use.
unsafe impl Send for Counters {}
// SAFETY: as above.
unsafe impl Sync for Counters {}

impl Counters {
    /// All are zero. `None` where the kernel gives no memory.
    pub fn new() -> Option<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let memory = unsafe { mmap_anonymous(std::ptr::null_mut(), SIZE, access, MapFlags::SHARED) };
        NonNull::new(memory.ok()?.cast()).map(Self)
    }

    pub fn get(&self) -> &[AtomicU64; COUNT] {
        // SAFETY: it is mapped until self is dropped, page-aligned, and zeros are atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: nobody else has the mapping, and no reference to it outlives self.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), SIZE) };
    }
}
