//! Random scripts for the executor, the same for the same seed.
//!
//! A script is lines of text, so that whoever makes one smaller only leaves lines out. The
//! generator believes that its calls succeed and so mostly names what is there; one in
//! six names are anything. No path leads out of the directory: link targets only go down.

/// What happens to a project: made on the host, then worked on in several runs.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Performed on the host before the first run.
    pub base: Vec<String>,
    pub runs: Vec<Vec<String>>,
}

impl Sequence {
    /// The base, then the runs.
    pub fn lists(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.base).chain(&self.runs)
    }

    pub fn lists_mut(&mut self) -> impl Iterator<Item = &mut Vec<String>> {
        std::iter::once(&mut self.base).chain(&mut self.runs)
    }
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "n%0al", "%ff", "f.o"];
const XATTRS: [&str; 4] = ["user.a", "user.b", "user.overlay.opaque", "user.overlay.redirect"];
const SLOTS: u64 = 4;
const BASE: usize = 45;
const CALLS: usize = 210;

/// The sequence of a seed, with so many runs; fewer have more calls each.
pub fn sequence(seed: u64, runs: usize) -> Sequence {
    let mut make =
        Generator { state: seed, known: vec![(".".into(), 'd')], open: [false; SLOTS as usize], base: true };
    let base = (0..BASE).map(|_| make.base_call()).collect();
    make.base = false;
    let mut run = || {
        make.open = [false; SLOTS as usize];
        (0..CALLS / runs).map(|_| make.call()).collect()
    };
    let runs = (0..runs).map(|_| run()).collect();
    Sequence { base, runs }
}

struct Generator {
    state: u64,
    /// Paths believed to be there, by kind as the executor prints it.
    known: Vec<(String, char)>,
    /// Slots that something was opened in, in this run.
    open: [bool; SLOTS as usize],
    base: bool,
}

impl Generator {
    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// A path in a known directory, there or not.
    fn any(&mut self) -> String {
        let dir = self.existing('d');
        let name = self.of(&NAMES);
        let path = if dir == "." { name.to_string() } else { format!("{dir}/{name}") };
        match self.below(40) {
            0 => format!("{path}/"),
            1 => format!("./{path}"),
            2 if dir != "." => format!("{dir}/../{dir}/{name}"),
            3 => format!("{path}/none"),
            _ => path,
        }
    }

    /// A path believed to be there.
    fn existing(&mut self, kind: char) -> String {
        let of_kind: Vec<usize> =
            (0..self.known.len()).filter(|&at| kind == '*' || self.known[at].1 == kind).collect();
        if of_kind.is_empty() {
            return self.of(&NAMES).to_string();
        }
        let at = of_kind[self.below(of_kind.len() as u64) as usize];
        self.known[at].0.clone()
    }

    fn path(&mut self, kind: char) -> String {
        if self.one_in(6) { self.any() } else { self.existing(kind) }
    }

    fn made(&mut self, path: &str, kind: char) {
        if !self.known.iter().any(|(known, _)| known == path) {
            self.known.push((path.to_string(), kind));
        }
    }

    fn gone(&mut self, path: &str) {
        let below = format!("{path}/");
        self.known.retain(|(known, _)| known == "." || known != path && !known.starts_with(&below));
    }

    fn moved(&mut self, from: &str, to: &str, exchange: bool) {
        let turned = |path: &str, from: &str, to: &str| {
            path.strip_prefix(from)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .map(|rest| format!("{to}{rest}"))
        };
        if !exchange {
            self.gone(to);
        }
        for (path, _) in &mut self.known {
            if let Some(new) = turned(path, from, to) {
                *path = new;
            } else if let (true, Some(new)) = (exchange, turned(path, to, from)) {
                *path = new;
            }
        }
    }

    /// One that is open, mostly.
    fn slot(&mut self) -> u64 {
        let slot = self.below(SLOTS);
        if self.open[slot as usize] { slot } else { self.below(SLOTS) }
    }

    /// Sizes around pages and blocks, and some that need several extents.
    fn size(&mut self) -> u64 {
        let near = self.of(&[0, 1, 100, 511, 4095, 4096, 4097, 20_000, 65_536, 150_000]);
        near + if self.one_in(3) { self.below(3000) } else { 0 }
    }

    fn offset(&mut self) -> u64 {
        if self.one_in(8) { 1 << 20 } else { self.size() }
    }

    fn seed(&mut self) -> u64 {
        self.below(1 << 16)
    }

    fn mode(&mut self, is_dir: bool) -> u32 {
        let modes: &[u32] = match (is_dir, self.base) {
            (false, false) => &[0o644, 0o600, 0o755, 0o444, 0, 0o200, 0o4755, 0o2755, 0o6711, 0o1666],
            (false, true) => &[0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o400],
            (true, false) => &[0o755, 0o700, 0o555, 0o1777, 0o2775, 0, 0o300, 0o500, 0o755],
            (true, true) => &[0o755, 0o700, 0o555, 0o1777, 0o2775],
        };
        self.of(modes)
    }

    fn time(&mut self) -> String {
        let seconds = self.of(&[-1_000_000_000i64, -1, 0, 1, 1_000_000_000, 1_500_000_000, 5_000_000_000]);
        let nanos = match self.below(12) {
            0 => libc::UTIME_NOW as u64,
            1 if !self.base => libc::UTIME_OMIT as u64,
            _ => self.below(1_000_000_000),
        };
        format!("{seconds} {nanos}")
    }

    fn target(&mut self) -> String {
        match self.below(6) {
            0 => "none".into(),
            1 => "/nonexistent/x".into(),
            2 => format!("{}/{}", self.of(&NAMES), self.of(&NAMES)),
            _ => self.of(&NAMES).into(),
        }
    }

    fn open(&mut self, slot: u64) -> String {
        let writing = [libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR, libc::O_RDONLY];
        let mut flags = self.of(&writing);
        for (flag, chance) in [
            (libc::O_CREAT, 2),
            (libc::O_TRUNC, 5),
            (libc::O_APPEND, 6),
            (libc::O_EXCL, 12),
            (libc::O_NOFOLLOW, 8),
            (libc::O_DIRECTORY, 30),
        ] {
            // what O_CREAT|O_DIRECTORY means depends on the kernel (open(2), BUGS)
            if self.one_in(chance) && !(flag == libc::O_DIRECTORY && flags & libc::O_CREAT != 0) {
                flags |= flag;
            }
        }
        self.open[slot as usize] = true;
        let path = if flags & libc::O_CREAT != 0 && self.one_in(2) { self.any() } else { self.path('f') };
        if flags & libc::O_CREAT != 0 {
            self.made(&path, 'f');
        }
        let mode = self.mode(false);
        format!("open {slot} {path} {flags:#x} {mode:#o}")
    }

    /// A file with content by one call is three lines; here they come one by one.
    fn base_call(&mut self) -> String {
        match self.below(16) {
            0..=2 => {
                let path = self.any();
                self.made(&path, 'd');
                format!("mkdir {path} {:#o}", self.mode(true))
            }
            3..=5 => {
                let path = self.any();
                self.made(&path, 'f');
                let flags = libc::O_RDWR | libc::O_CREAT;
                format!("open {} {path} {flags:#x} {:#o}", self.slot(), self.mode(false))
            }
            6..=8 => format!("write {} {} {} {}", self.slot(), self.size(), self.seed(), self.offset()),
            9 => self.symlink(),
            10 => self.link(),
            11 => self.mknod(&[libc::S_IFIFO]),
            12 => self.xattr(),
            13 => self.acl(),
            14 => {
                let (path, is_dir) =
                    if self.one_in(3) { (self.path('d'), true) } else { (self.path('f'), false) };
                format!("chmod {path} {:#o}", self.mode(is_dir))
            }
            _ => format!("utimens {} 1 {}", self.path('*'), self.time()),
        }
    }

    fn symlink(&mut self) -> String {
        let path = self.any();
        self.made(&path, 'l');
        format!("symlink {} {path}", self.target())
    }

    fn link(&mut self) -> String {
        let kind = self.of(&['f', 'f', 'f', 'l', 'p', 'd']);
        let (from, to) = (self.path(kind), self.any());
        self.made(&to, kind);
        let flags = if self.one_in(5) { libc::AT_SYMLINK_FOLLOW } else { 0 };
        format!("link {from} {to} {flags:#x}")
    }

    fn mknod(&mut self, kinds: &[libc::mode_t]) -> String {
        let path = self.any();
        let kind = self.of(kinds);
        self.made(&path, if kind == libc::S_IFREG { 'f' } else { 'p' });
        format!("mknod {path} {:#o}", kind | 0o644)
    }

    fn xattr(&mut self) -> String {
        let name = self.of(&XATTRS);
        let flags = if self.base { 0 } else { self.of(&[0, 0, 0, libc::XATTR_CREATE, libc::XATTR_REPLACE]) };
        let size = self.of(&[0, 1, 20, 300]);
        format!("setxattr {} {name} {size} {} {flags}", self.path('*'), self.seed())
    }

    fn acl(&mut self) -> String {
        let (path, default) =
            if self.one_in(2) { (self.path('d'), self.below(2)) } else { (self.path('f'), 0) };
        let (user, mask) =
            (if self.base { 7 } else { self.below(8) }, if self.base { 7 } else { self.below(8) });
        format!("acl {path} {default} {user} {mask} {}", self.below(8))
    }

    fn rename(&mut self) -> String {
        let kind = self.of(&['f', 'f', 'd', 'd', 'l', 'p', '*']);
        let from = self.path(kind);
        let to = if self.one_in(2) { self.any() } else { self.path('*') };
        let flags = self.of(&[0, 0, 0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE]);
        if from != "."
            && to != "."
            && !to.starts_with(&format!("{from}/"))
            && !from.starts_with(&format!("{to}/"))
        {
            self.moved(&from, &to, flags == libc::RENAME_EXCHANGE);
        }
        format!("rename {from} {to} {flags}")
    }

    /// Calls that change a file's content.
    fn change(&mut self) -> String {
        let slot = self.slot();
        if !self.open[slot as usize] && !self.one_in(8) {
            return self.open(slot);
        }
        match self.below(14) {
            0..=3 => self.open(slot),
            4 => format!("write {slot} {} {}", self.size(), self.seed()),
            5 => format!("write {slot} {} {} {}", self.size(), self.seed(), self.offset()),
            6 => format!("ftruncate {slot} {}", self.size()),
            7 => format!("truncate {} {}", self.path('f'), self.size()),
            8 => {
                let modes = [
                    0,
                    libc::FALLOC_FL_KEEP_SIZE,
                    libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                    libc::FALLOC_FL_ZERO_RANGE,
                    libc::FALLOC_FL_COLLAPSE_RANGE,
                ];
                let mode = self.of(&modes);
                let (at, length) = (self.of(&[0, 4096, 10_000]), self.of(&[0, 1, 4096, 8192, 30_000]));
                format!("fallocate {slot} {mode} {at} {length}")
            }
            9 => format!("copy {slot} {} {} {} {}", self.slot(), self.size(), self.size(), self.size()),
            10 => format!("sendfile {slot} {} 0 {}", self.slot(), self.size()),
            11 => format!("mmap {slot} {} {}", self.of(&[1, 100, 4096, 5000]), self.seed()),
            12 => {
                let dir = self.path('d');
                format!("tmpfile {slot} {dir} {:#o}", self.mode(false))
            }
            _ => {
                let path = self.any();
                self.made(&path, 'f');
                format!("linkfd {slot} {path}")
            }
        }
    }

    /// Calls that change names.
    fn name(&mut self) -> String {
        match self.below(14) {
            0 | 1 => {
                let kind = self.of(&['f', 'l', 'p', 'd', '*']);
                let path = self.path(kind);
                self.gone(&path);
                format!("unlink {path}")
            }
            2 => {
                let path = self.path('d');
                format!("rmdir {path}")
            }
            3 | 4 => {
                let path = self.any();
                self.made(&path, 'd');
                format!("mkdir {path} {:#o}", self.mode(true))
            }
            5 => self.symlink(),
            6 | 7 => self.link(),
            8 => self.mknod(&[libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFREG]),
            9 => format!("part {}", self.path('f')),
            _ => self.rename(),
        }
    }

    /// Calls that change metadata.
    fn meta(&mut self) -> String {
        match self.below(11) {
            0 | 1 => {
                let (path, is_dir) =
                    if self.one_in(3) { (self.path('d'), true) } else { (self.path('f'), false) };
                // the project's directory stays open to its owner
                let mode = self.mode(is_dir) | if path == "." { 0o700 } else { 0 };
                format!("chmod {path} {mode:#o}")
            }
            2 => format!("fchmod {} {:#o}", self.slot(), self.mode(false)),
            3 => format!("chown {} {}", self.path('*'), self.below(2)),
            4 | 5 => format!("utimens {} {} {}", self.path('*'), self.below(2), self.time()),
            6 => format!("futimens {} {}", self.slot(), self.time()),
            7 => self.xattr(),
            8 => {
                let name = self.of(&XATTRS);
                format!("fsetxattr {} {name} 10 {}", self.slot(), self.seed())
            }
            9 => {
                let name =
                    self.of(&[XATTRS[0], XATTRS[2], "system.posix_acl_access", "system.posix_acl_default"]);
                format!("removexattr {} {name}", self.path('*'))
            }
            _ => self.acl(),
        }
    }

    /// Calls that look.
    fn look(&mut self) -> String {
        let slot = self.slot();
        match self.below(16) {
            0 | 1 => format!("stat {} {}", self.path('*'), self.below(2)),
            2 => format!("fstat {slot}"),
            3 => format!("read {slot} {}", self.size()),
            4 => format!("read {slot} {} {}", self.size(), self.offset()),
            5 => format!("lseek {slot} {} {}", self.size(), self.below(3)),
            6 => format!("access {} {}", self.path('*'), self.below(8)),
            7 => format!("readlink {}", self.path('l')),
            8 => format!("realpath {}", self.path('*')),
            9 | 10 => format!("readdir {}", self.path('d')),
            11 => {
                let name = self.of(&XATTRS);
                format!("getxattr {} {name}", self.path('*'))
            }
            12 => format!("lock {slot} {}", self.below(3)),
            13 => format!("fsync {slot} {}", self.below(2)),
            14 => format!("dup {} {slot}", self.slot()),
            _ => match self.below(3) {
                0 => format!("umask {}", self.of(&["0o22", "0o77", "0o0", "0o27"])),
                _ => format!("close {slot}"),
            },
        }
    }

    fn call(&mut self) -> String {
        match self.below(10) {
            0..=3 => self.change(),
            4..=6 => self.name(),
            7 => self.meta(),
            _ => self.look(),
        }
    }
}
