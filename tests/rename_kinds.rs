//! A renamed directory keeps what is in it, of every kind; and who speaks to the mover
//! without the library gets nothing that the kernel would not have given (rules 24, 25).

#[path = "support/renaming.rs"]
mod renaming;
mod support;

use std::fs;

use renaming::{RENAME, compile};
use support::World;

/// `bind PATH`: makes a socket and leaves it.
const BIND: &str = r#"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int argc, char **argv) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    strcpy(at.sun_path, argv[1]);
    return bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof at) ? 1 : 0;
}
"#;

/// Everything of a tree but inode numbers, and sizes and link counts of directories; what
/// may not be read has no digest.
const SHOW: &str =
    "find . -type d -printf '%P %y %m %T@\\n' -o -printf '%P %y %m %s %T@ %n %l\\n' | LC_ALL=C sort
    find . -type f ! -perm 0 -print | LC_ALL=C sort | xargs md5sum
    find . -type f ! -perm 0 -print -o -type d -print | LC_ALL=C sort | xargs getfattr -d -m '^user' -h
    find . ! -type l ! -perm 0 -print | LC_ALL=C sort | xargs getfacl -p";

/// Makes a tree of every kind in the current directory; `$1` binds.
const MAKE: &str = "mkdir d locked
    echo a >a; ln a b; ln a d/c; mkfifo fifo; ln fifo d/fifo2; ln -s a link; ln link d/link2
    echo secret >none; chmod 0 none; echo x >locked/x; : >empty; truncate -s 1M sparse
    setfattr -n user.one -v 1 a; setfattr -n user.dir -v 2 d; setfattr -n user.overlay.opaque -v y d
    setfacl -m u:$(id -u):rw,m::r empty; setfacl -d -m g::rx,u:$(id -u):rwx d; setfacl -m u:$(id -u):x d
    chmod 4711 sparse; chmod 1777 d
    touch -h -d @1001.123456789 a link none; touch -d @1002.5 locked/x fifo; chmod 555 locked
    if test -n \"$1\"; then $1 socket && ln socket d/socket2 && chmod 640 socket; fi
    touch -d @1003.25 locked d .";

fn has_tools(world: &World) -> bool {
    let found = world.command("sh").args(["-c", "setfacl -v && setfattr --version"]).output().unwrap();
    let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
    assert!(found.status.success() || !must, "setfacl and setfattr are missing");
    found.status.success()
}

#[test]
fn what_was_made_in_the_session_is_the_same_under_its_new_name() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    let Some(bind) = compile(&world, "cc", "bind", BIND, &[]) else { return };
    if !has_tools(&world) {
        eprintln!("skipped: setfacl and setfattr are missing");
        return;
    }
    // of the lower, so that it is the mover who renames it
    fs::create_dir(world.project.join("old")).unwrap();
    let (rename, bind) = (rename.display(), bind.display());
    let script = format!(
        "make() {{ {MAKE}\n}}\n show() {{ {SHOW}\n}}
         (cd old; make {bind}; show) >before 2>&1; {rename} rename old new
         (cd new; show) >after 2>&1; cmp before after && test -S new/d/socket2 && wc -l <after"
    );
    let said = world.sh(&script).ok();
    let (done, lines) = said.split_once('\n').unwrap();
    assert_eq!(done, "done");
    assert!(lines.trim().parse::<u32>().unwrap() > 90, "{lines}");
    // as it was, but for the sockets, whose session has ended
    let script = format!("show() {{ {SHOW}\n}}\n cd new; show");
    let count = |text: &str| text.lines().filter(|line| line.starts_with("d/c f 644 ")).count();
    let next = world.sh(&script).ok();
    assert_eq!(count(&next), 1);
    let before = world.sh("cat before").ok();
    for line in ["a f ", "d/c f ", "fifo p ", "none f 0 ", "locked d 555 ", "link l ", "sparse f 4711 "] {
        let of = |text: &str| text.lines().find(|found| found.starts_with(line)).map(str::to_owned);
        // a link's link count is not kept
        assert!(
            of(&next).is_some() && (of(&next) == of(&before)),
            "{line}: {:?} {:?}",
            of(&before),
            of(&next)
        );
    }
    assert!(!next.contains("socket"));
}

#[test]
fn what_was_there_before_is_the_same_under_its_new_name() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    if !has_tools(&world) {
        eprintln!("skipped: setfacl and setfattr are missing");
        return;
    }
    // by a run, because of the host's own what nobody may read stays where it is
    world.sh(&format!("mkdir old; cd old; {MAKE}\n test -p d/fifo2 && test -f none")).ok();
    let script = format!(
        "show() {{ {SHOW}\n}}
         (cd old; show) >before 2>&1; {} rename old new; (cd new; show) >after 2>&1
         sed -E 's/ [0-9]+ ([^ ]*)$/ \\1/' before >b; sed -E 's/ [0-9]+ ([^ ]*)$/ \\1/' after >a; diff b a && wc -l <a",
        rename.display()
    );
    let said = world.sh(&script).ok();
    assert!(said.starts_with("done\n"), "{said}");
    assert!(said.lines().last().unwrap().trim().parse::<u32>().unwrap() > 80, "{said}");
}

/// `forge SOCKET INSIDE OUTSIDE`: everything that is no request, and requests for what is
/// not to be had. Says what was granted, and how many were not.
const FORGE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static const char *path;
static int refused;
static int dial(void) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    if (connect(s, (struct sockaddr *)&at, sizeof at)) { perror("connect"); exit(2); }
    return s;
}
/* sends bytes with descriptors; a grant is said */
static void say(const char *what, const void *bytes, size_t length, const int *fds, int count) {
    int s = dial();
    union { char space[CMSG_SPACE(64 * sizeof(int))]; struct cmsghdr align; } control;
    struct iovec part = { (void *)bytes, length };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    if (sendmsg(s, &message, MSG_NOSIGNAL) < 0) { close(s); refused++; return; }
    int32_t reply[2];
    int granted = 0;
    while (recv(s, reply, sizeof reply, 0) == sizeof reply)
        if (reply[0] != 2 || reply[1] == 0) granted = 1;
    if (granted) printf("granted: %s\n", what); else refused++;
    close(s);
}
static void ask(const char *what, uint32_t flags, int old, const char *from, int to_dir, const char *to) {
    char bytes[1024] = "vrm1";
    uint16_t lengths[2] = { strlen(from), strlen(to) };
    memcpy(bytes + 4, &flags, 4);
    memcpy(bytes + 8, lengths, 4);
    memcpy(bytes + 16, from, lengths[0]);
    memcpy(bytes + 16 + lengths[0], to, lengths[1]);
    int fds[2] = { old, to_dir };
    say(what, bytes, 16 + lengths[0] + lengths[1], fds, 2);
}
int main(int argc, char **argv) {
    path = argv[1];
    int in = open(argv[2], O_PATH | O_DIRECTORY), out = open(argv[3], O_PATH | O_DIRECTORY);
    int in_read = open(argv[2], O_RDONLY | O_DIRECTORY), null = open("/dev/null", O_RDWR);
    int proc = open("/proc/self", O_PATH | O_DIRECTORY), link = openat(in, "link", O_PATH | O_NOFOLLOW);
    int file = openat(in, "file", O_RDONLY), store = open(argv[4], O_PATH | O_DIRECTORY), pipes[2];
    if (pipe(pipes) || in < 0 || out < 0 || link < 0 || file < 0 || store < 0) return 3;
    /* bytes that are no request, with and without descriptors */
    uint64_t state = 88172645463325252ull;
    int both[2] = { in, in };
    for (int turn = 0; turn < 300; turn++) {
        unsigned char bytes[2000];
        for (size_t at = 0; at < sizeof bytes; at++) {
            state ^= state << 13; state ^= state >> 7; state ^= state << 17;
            bytes[at] = state;
        }
        if (turn & 1) memcpy(bytes, "vrm1\0\0\0\0", 8);
        if (turn & 2) memset(bytes + 12, 0, 4);
        say("random", bytes, turn < 40 ? turn : state % sizeof bytes, both, turn % 3);
    }
    /* lengths that do not fit */
    uint16_t lengths[] = { 0, 1, 3, 255, 256, 1000, 65535 };
    for (int one = 0; one < 7; one++) for (int other = 0; other < 7; other++) {
        char bytes[16 + 16] = "vrm1";
        memcpy(bytes + 8, &lengths[one], 2);
        memcpy(bytes + 10, &lengths[other], 2);
        memcpy(bytes + 16, "old/../new\0\0\0\0\0", 15);
        say("lengths", bytes, sizeof bytes, both, 2);
    }
    /* names that are none */
    const char *names[] = { ".", "..", "a/b", "/", "../out", "old/", "/etc", "./old" };
    for (int at = 0; at < 8; at++) {
        ask(names[at], 0, in, names[at], in, "new");
        ask(names[at], 0, in, "old", in, names[at]);
    }
    /* directories that are none, or others' */
    int dirs[] = { out, null, proc, link, file, pipes[0], store, in_read };
    for (int at = 0; at < 8; at++) {
        if (dirs[at] != in_read) ask("into another place", 0, in, "old", dirs[at], "new");
        if (dirs[at] != in_read) ask("out of another place", 0, dirs[at], "theirs", in, "new");
        ask("exchange with it", 2, in, "old", dirs[at], "theirs");
    }
    ask("from outside to outside", 0, out, "theirs", out, "ours");
    ask("with a file outside", 2, in, "old", out, "file");
    /* flags there are not, and a whiteout */
    uint32_t flags[] = { 4, 3, 8, 0x80000000, 0xffffffff, 5 };
    for (int at = 0; at < 6; at++) ask("flags", flags[at], in, "old", in, "new");
    /* too few descriptors, and too many */
    char bytes[22] = "vrm1";
    memcpy(bytes + 8, "\3\0\3\0", 4);
    memcpy(bytes + 16, "oldnew", 6);
    int many[64];
    for (int at = 0; at < 64; at++) many[at] = null;
    say("no directory", bytes, 22, many, 0);
    say("one", bytes, 22, both, 1);
    say("many", bytes, 22, many, 64);
    /* nothing at all, and gone at once */
    for (int turn = 0; turn < 20; turn++) close(dial());
    printf("refused %s\n", refused > 390 ? "all" : "few");
    return 0;
}
"#;

#[test]
fn a_forged_request_is_refused_and_init_goes_on() {
    needs_sessions!();
    let world = World::new();
    let Some(rename) = compile(&world, "cc", "rename", RENAME, &[]) else { return };
    let Some(forge) = compile(&world, "cc", "forge", FORGE, &[]) else { return };
    let outside = world.path().join("outside");
    for dir in [outside.join("theirs"), outside.join("empty"), world.project.join("old/sub")] {
        fs::create_dir_all(dir).unwrap();
    }
    for file in [outside.join("theirs/file"), outside.join("file"), world.project.join("file")] {
        fs::write(file, "theirs\n").unwrap();
    }
    world.write("old/file", "ours\n");
    std::os::unix::fs::symlink(&outside, world.project.join("link")).unwrap();
    let before = support::listing(&outside);
    let script = format!(
        "timeout 200 {} {}/rename.sock . {} {}; find . -name .git -prune -o -print | LC_ALL=C sort; {} rename old new; cat new/file",
        forge.display(),
        world.store.display(),
        outside.display(),
        world.store.display(),
        rename.display()
    );
    let said = world.sh(&script).ok();
    assert_eq!(said, "refused all\n.\n./file\n./link\n./old\n./old/file\n./old/sub\ndone\nours\n");
    assert_eq!(support::listing(&outside), before);
    assert_eq!(world.sh("cat new/file").ok(), "ours\n");
}
