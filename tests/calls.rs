//! The calls of a build that random sequences do not reach: whose pages are read, what
//! paths say, large directories that change while they are read, events, sockets, terminals.

mod support;

use std::io::Write;

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};
use support::World;

/// A script for python3, in a file outside of the project; its output.
fn python(world: &World, script: &str) -> String {
    let path = world.path().join("script.py");
    std::fs::write(&path, script).unwrap();
    world.exec(["timeout", "240", "python3", path.to_str().unwrap()]).ok()
}

fn has_python() -> bool {
    let found = std::process::Command::new("python3").arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("VRIFT_MUST_WORK").is_none(), "python3 is missing");
    eprintln!("skipped: no python3");
    false
}

/// Whether the first bytes of a file are in memory: a read that may not wait.
fn in_memory(file: &std::fs::File) -> bool {
    let mut buffer = [0u8; 4096];
    let mut parts = [std::io::IoSliceMut::new(&mut buffer)];
    match rustix::io::preadv2(file, &mut parts, 0, ReadWriteFlags::NOWAIT) {
        Ok(read) => read > 0,
        Err(Errno::AGAIN) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_pages_that_runs_of_two_projects_read_are_the_objects() {
    needs_sessions!();
    let content: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let mut world = World::new();
    world.write("data", &content);
    world.exec(["true"]).ok();
    let first = world.project.clone();
    world.project = world.path().join("other");
    std::fs::create_dir_all(world.project.join(".git")).unwrap();
    world.write("same-data", &content);
    world.exec(["true"]).ok();
    let object = world.store.join("objects").join(vrift::cas::Digest::of(&content).object_path());
    let object = std::fs::File::open(object).unwrap();
    object.sync_all().unwrap();
    for (project, name) in [(&first, "data"), (&world.project.clone(), "same-data")] {
        rustix::fs::fadvise(&object, 0, None, Advice::DontNeed).unwrap();
        if in_memory(&object) {
            eprintln!("skipped: this filesystem keeps pages that are not needed");
            return;
        }
        world.project = project.clone();
        world.exec(["cmp", name, project.join(name).to_str().unwrap()]).ok();
        assert!(in_memory(&object), "{name} was read from elsewhere");
    }
}

#[test]
fn paths_are_the_hosts() {
    needs_sessions!();
    let world = World::new();
    world.write("base/in", "x");
    let copied = std::process::Command::new("cp")
        .args(["/bin/cat", "/bin/readlink"])
        .arg(world.project.join("base"))
        .status();
    assert!(copied.unwrap().success());
    let top = world.project.to_str().unwrap();
    for _ in 0..2 {
        let script = "mkdir -p upper; cp base/cat base/readlink upper; for d in base upper; do \
                      cd $d; /bin/pwd; ./readlink /proc/self/cwd; ./readlink /proc/self/exe; \
                      ./cat /proc/self/maps | grep -o '/.*cat$' | sort -u; realpath ../upper/../base/in; cd ..; done";
        let expected: String = ["base", "upper"]
            .iter()
            .map(|dir| {
                format!("{top}/{dir}\n{top}/{dir}\n{top}/{dir}/readlink\n{top}/{dir}/cat\n{top}/base/in\n")
            })
            .collect();
        assert_eq!(world.sh(script).ok(), expected);
    }
}

#[test]
fn a_directory_of_50_000_names_is_read_whole_while_names_are_deleted() {
    needs_sessions!();
    if !has_python() {
        return;
    }
    let world = World::new();
    std::fs::create_dir(world.project.join("many")).unwrap();
    for number in 0..25_000 {
        std::fs::File::create(world.project.join(format!("many/base{number}"))).unwrap();
    }
    let script = "
import os
for number in range(25000):
    os.close(os.open(f'many/upper{number}', os.O_CREAT | os.O_WRONLY))
names = set(os.listdir('many'))
assert len(names) == 50000, len(names)
unread, seen, gone = set(names), [], set()
with os.scandir('many') as entries:
    for at, entry in enumerate(entries):
        seen.append(entry.name)
        unread.discard(entry.name)
        if at % 100 == 0:
            # one that was read, and one that was not
            for name in [entry.name, next(iter(unread), None)]:
                if name is not None and name not in gone:
                    os.unlink('many/' + name)
                    gone.add(name)
            os.close(os.open(f'many/late{at}', os.O_CREAT | os.O_WRONLY))
assert len(seen) == len(set(seen)), 'a name came twice'
missing = names - gone - set(seen)
assert not missing, f'{len(missing)} names are missing'
left = set(os.listdir('many'))
assert left == (names - gone) | {name for name in left if name.startswith('late')}
print(len(left), len([name for name in left if name.startswith('late')]))
";
    let said = python(&world, script);
    let counts: Vec<usize> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert!(counts[1] >= 490, "{said}");
    assert_eq!(world.sh("ls -f many | grep -c '[0-9]'").ok().trim(), counts[0].to_string());
}

#[test]
fn changes_of_base_and_upper_files_are_told_by_inotify() {
    needs_sessions!();
    if !has_python() {
        return;
    }
    let world = World::new();
    world.write("base", "x");
    let script = "
import ctypes, os, struct, subprocess
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_NONBLOCK)
MODIFY, ATTRIB, MOVED_TO, CREATE, DELETE = 2, 4, 0x80, 0x100, 0x200
open('upper', 'w').close()
watches = {libc.inotify_add_watch(fd, name.encode(), MODIFY | ATTRIB | MOVED_TO | CREATE | DELETE): name for name in ['.', 'base', 'upper']}
assert -1 not in watches
def events():
    found, data = set(), b''
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        pass
    while data:
        watch, mask, _, length = struct.unpack('iIII', data[:16])
        found.add((watches[watch], mask & 0xfff, data[16:16 + length].rstrip(b'\\0').decode()))
        data = data[16 + length:]
    return found
def does(script, *wanted):
    subprocess.run(['sh', '-ec', script], check=True)
    found = events()
    for event in wanted:
        assert event in found, (script, event, found)
does('echo y >> base', ('base', MODIFY, ''), ('.', MODIFY, 'base'))
does('echo y >> upper', ('upper', MODIFY, ''), ('.', MODIFY, 'upper'))
does('chmod 600 base', ('base', ATTRIB, ''))
does('echo z > new; mv new renamed', ('.', CREATE, 'new'), ('.', MOVED_TO, 'renamed'))
does('rm base upper', ('.', DELETE, 'base'), ('.', DELETE, 'upper'))
print('told')
";
    assert_eq!(python(&world, script), "told\n");
}

#[test]
fn sockets_terminals_and_locks_work_between_the_processes_of_a_run() {
    needs_sessions!();
    if !has_python() {
        return;
    }
    let world = World::new();
    world.write("locked", "from the base");
    let script = "
import fcntl, os, pty, socket, struct, sys
server = socket.socket(socket.AF_UNIX)
server.bind('socket')
server.listen()
if os.fork() == 0:
    client = socket.socket(socket.AF_UNIX)
    client.connect('socket')
    client.sendall(b'hello')
    os._exit(0)
connection, _ = server.accept()
assert connection.recv(5) == b'hello'
os.wait()
datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagrams.bind('dgram')
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', 'dgram')
assert datagrams.recv(9) == b'x'
master, slave = os.openpty()
assert os.isatty(slave) and os.ttyname(slave).startswith('/dev/pts/')
os.write(slave, b'typed')
assert os.read(master, 5) == b'typed'
# Record locks and locks of open files, on parts of a file that is copied up meanwhile.
OFD_SETLK = 37
def lock(file, start, length):
    return struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, start, length, 0)
reader = open('locked', 'rb')
fcntl.flock(reader, fcntl.LOCK_SH)
file = open('locked', 'r+b')
fcntl.lockf(file, fcntl.LOCK_EX, 4, 0)
fcntl.fcntl(file, OFD_SETLK, lock(file, 4, 4))
if os.fork() == 0:
    other = open('locked', 'r+b')
    refused = 0
    for attempt in [lambda: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB),
                    lambda: fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 4, 0),
                    lambda: fcntl.fcntl(other, OFD_SETLK, lock(other, 6, 1))]:
        try:
            attempt()
        except OSError:
            refused += 1
    fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 4, 8)
    os._exit(refused)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
print('work')
";
    assert_eq!(python(&world, script), "work\n");
    let mut left = world.sh("ls -A").ok();
    left.retain(|c| c != '\n');
    assert_eq!(left, ".gitlocked", "sockets end with their session");
}

#[test]
fn a_hard_link_breaks_when_one_name_is_changed_and_nothing_else_happens() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "both");
    std::fs::hard_link(world.project.join("a"), world.project.join("b")).unwrap();
    assert_eq!(
        world.sh("stat -c %h a; test a -ef b && echo one; echo more >> a; cat a b").ok(),
        "2\none\nbothmore\nboth"
    );
    let names = if world.links_objects() {
        "cat a b; test ! a -ef b"
    } else {
        "stat -c %h a b | tr -d '1\n'; cat a b"
    };
    assert_eq!(world.sh(names).ok(), "bothmore\nboth");
    let mut host = std::fs::OpenOptions::new().append(true).open(world.project.join("a")).unwrap();
    host.write_all(b"").unwrap();
    assert_eq!(world.read("b"), "both");
}

#[test]
fn a_file_of_the_base_that_gets_a_second_name_is_one_file_in_the_next_run() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "x");
    assert_eq!(world.sh("ln a b; echo more >> b; cat a; stat -c %h a b").ok(), "xmore\n2\n2\n");
    assert_eq!(world.sh("test a -ef b && stat -c %h a; cat a").ok(), "2\nxmore\n");
}
