//! What this process knows of the Tier-1 directories: found out once, when the library is
//! loaded, before which all is cold; only read after that. It is the process's own memory.
//!
//! A root is left out, so cold, unless what statx says of it now is in every field what its
//! table says, and device, inode and mount are those of the session's page: a process in
//! another root directory, mount or user namespace sees something else (rules 28 and 29).

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::layout::{ENTRY, EXACT, Entry, Table, Time};
use super::lookup::{self, Answer, Root};
use super::page::{self, Page, Shown};
use super::sys::{self, Fd, Stamp, Statx};
use super::{arch, place, scan};

/// How many of the roots below are answered for. 0: everything is cold.
pub static HOT: AtomicUsize = AtomicUsize::new(0);

/// What all entries of a root have in common.
#[derive(Clone, Copy)]
pub struct Facts {
    pub dev: (u32, u32),
    pub uid: u32,
    pub gid: u32,
    pub block_size: u32,
    pub mount: u64,
    /// Which attributes there are, and which of them the root itself has; nothing below has any.
    pub attributes_mask: u64,
    pub attributes: u64,
    /// The root's own number of links: 1 where it is merged of several lower trees.
    pub nlink: u32,
    /// What statx says it has told when it is asked for nothing; 0: statx is cold.
    pub told: u32,
}

/// One of the roots that are answered for.
struct Known {
    root: Root<'static>,
    facts: Facts,
}

struct All {
    /// First: it is written into the same memory page as the first roots.
    text: UnsafeCell<[u8; TEXT]>,
    known: UnsafeCell<[MaybeUninit<Known>; page::ROOTS]>,
}

/// Bytes of a page that is read and not mapped.
const TEXT: usize = 1024;

// SAFETY: written before HOT, read after it.
unsafe impl Sync for All {}

static ALL: All = All {
    text: UnsafeCell::new([0; TEXT]),
    known: UnsafeCell::new([const { MaybeUninit::uninit() }; page::ROOTS]),
};

/// Looks a path up.
///
/// # Safety
/// `path` is null or a C string.
#[inline(always)]
pub unsafe fn find(path: *const u8) -> Answer<'static> {
    // SAFETY: the caller's promise.
    match unsafe { look(path) } {
        (Some(entry), place) => Answer::There { entry, root: place / 2, is_root: place % 2 == 1 },
        (None, ABSENT) => Answer::Absent,
        (None, _) => Answer::Unknown,
    }
}

const ABSENT: usize = 1;

/// An answer as two words, which fit into registers.
///
/// # Safety
/// As `find`.
#[inline(never)]
#[unsafe(link_section = "psfs_answer")]
unsafe fn look(path: *const u8) -> (Option<&'static [u8; ENTRY]>, usize) {
    let count = HOT.load(Ordering::Acquire);
    // SAFETY: the caller's promise.
    if count == 0 || path.is_null() || unsafe { *path } != b'/' {
        return (None, 0);
    }
    // SAFETY: the path is a C string, and not changed while it is looked for; as many roots were written.
    let (path, roots) = unsafe {
        let Some(length) = scan::length(path) else { return (None, 0) };
        let known = ALL.known.get().cast::<Known>();
        (
            core::slice::from_raw_parts(path, length),
            core::slice::from_raw_parts(known, count.min(page::ROOTS)),
        )
    };
    match lookup::find(roots.iter().map(|known| &known.root), path) {
        Answer::There { entry, root, is_root } => (Some(entry), 2 * root + usize::from(is_root)),
        Answer::Absent => (None, ABSENT),
        Answer::Unknown => (None, 0),
    }
}

/// What the entries of a root that answered have in common.
#[inline(always)]
pub fn facts(root: usize) -> Facts {
    // SAFETY: written for every root.
    unsafe { (*ALL.known.get().cast::<Known>().add(root)).facts }
}

/// Ends all answers of this process.
pub fn freeze() {
    HOT.store(0, Ordering::Release);
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;

/// Called by the loader, once, before the program begins.
extern "C" fn load() {
    if place::renames_only() || arch::is_simulated() {
        return;
    }
    let _ = find_roots(); // without them all stays cold
}

fn find_roots() -> Option<()> {
    // SAFETY: a C string of ours.
    let cover = unsafe { sys::open_path(sys::AT_FDCWD, place::store()) }.ok()?;
    #[cfg(counting)]
    super::count::load(&cover);
    let page = Page::open(text_of(&sys::open_file(&cover, page::NAME).ok()?)?)?;
    let mut count = 0;
    let mut last = None;
    for number in 0..page.roots() {
        let Some(shown) = page.root(number) else { continue };
        // roots of one table are neighbours
        let (_, table) = match last {
            Some(last @ (table, _)) if table == shown.table => last,
            _ => *last.insert((shown.table, open_table(&cover, shown.table))),
        };
        let Some(table) = table else { continue };
        let Some(facts) = facts_of(&shown, &table, page.namespace()) else { continue };
        let root = Root { path: shown.path, table, number: shown.number };
        // SAFETY: one after the other, by one thread, and `page.roots` is no more than there
        // is room for.
        unsafe {
            ALL.known.get().cast::<Known>().add(count).write(Known { root, facts });
        }
        count += 1;
    }
    HOT.store(count, Ordering::Release);
    Some(())
}

/// The page's bytes: a short one is read, for a mapping costs more.
fn text_of(file: &Fd) -> Option<&'static [u8]> {
    // SAFETY: by one thread, once; read only after that.
    let text = unsafe { &mut *ALL.text.get() };
    match usize::try_from(file.read(text)).ok()? {
        TEXT => sys::map(file).ok(),
        length => text.get(..length),
    }
}

fn open_table(cover: &Fd, number: u32) -> Option<Table<'static>> {
    let name = page::TABLES.get(number as usize)?;
    Table::open(sys::map(&sys::open_file(cover, name).ok()?).ok()?)
}

/// `None`: the root is not what the page and the table say.
fn facts_of(shown: &Shown<'_>, table: &Table<'_>, namespace: u64) -> Option<Facts> {
    let all = sys::STATX_BASIC | sys::STATX_BTIME;
    let mask = all | sys::STATX_MNT_ID_UNIQUE;
    // SAFETY: a NUL follows the path.
    let stat_of = unsafe { sys::statx_with(sys::AT_FDCWD, shown.path.as_ptr(), 0, mask) }.ok()?;
    let is_same_mount = match stat_of.mask & sys::STATX_MNT_ID_UNIQUE {
        0 => namespace != 0 && sys::inode(c"/proc/self/ns/mnt") == Some(namespace),
        _ => stat_of.mount == shown.sight.unique,
    };
    let [major, minor] = stat_of.dev;
    if !is_same_mount || (major, minor) != shown.sight.dev || stat_of.ino != shown.sight.ino {
        return None;
    }
    let entry = Entry::decode(table.entry(table.root(shown.number)?)?);
    if !says(&entry, &stat_of) || stat_of.block_size != table.shape.block_size {
        return None;
    }
    let told = shown.sight.told;
    let usual = told | sys::STATX_CHANGED | sys::STATX_BTIME == all | sys::STATX_MNT_ID
        && [0, sys::STATX_CHANGED].contains(&(told & sys::STATX_CHANGED))
        && stat_of.attributes & !sys::ATTR_MOUNT_ROOT == 0;
    Some(Facts {
        dev: (major, minor),
        uid: stat_of.uid,
        gid: stat_of.gid,
        block_size: stat_of.block_size,
        mount: shown.sight.mount,
        attributes_mask: stat_of.attributes_mask,
        attributes: stat_of.attributes,
        nlink: stat_of.nlink,
        told: if usual { told } else { 0 },
    })
}

/// Whether an entry is what statx says.
fn says(entry: &Entry, stat: &Statx) -> bool {
    let same = |time: Time, stamp: Stamp| {
        time.seconds() == stamp.seconds && time.nanoseconds() == stamp.nanoseconds
    };
    entry.bits == EXACT
        && entry.ino == stat.ino
        && entry.mode == stat.mode
        && (entry.nlink == stat.nlink || stat.nlink == 1)
        && entry.size == stat.size
        && entry.blocks == stat.blocks
        && same(entry.mtime, stat.mtime)
        && same(entry.ctime, stat.ctime)
        && same(entry.btime, stat.btime)
}
