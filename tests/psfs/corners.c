// Calls in every surrounding that a program may have made. $1 is answered from the table,
// $2 is absent and proven so, $3 is a directory that may be changed into.
#include "calls.h"

static const char *there, *absent;
static void say(const char *what, long answer) { dprintf(1, "%s %ld\n", what, answer); }
static int answer;

static int both(void) {
    struct stat of;
    struct statx extended;
    errno = 77;
    int is_there = stat(there, &of) == 0 && of.st_ino && statx(AT_FDCWD, there, 0, STATX_ALL, &extended) == 0
        && extended.stx_ino == of.st_ino && access(there, F_OK) == 0 && errno == 77;
    int is_absent = open(absent, O_RDONLY) == -1 && errno == ENOENT && access(absent, F_OK) == -1;
    return is_there && is_absent;
}

static void handler(int s) { answer = both(); }
static void *thread(void *p) { return both() ? p : 0; }
static void *many(void *p) {
    for (int i = 0; i < 20000; i++)
        if (!both()) return 0;
    return p;
}

static int cold(int (*call)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        // a lookup that goes to the kernel shows what the file is by now
        struct stat before, after;
        if (lstat(there, &before)) _exit(9);
        call();
        if (lstat(there, &after)) _exit(8);
        _exit(before.st_mtim.tv_sec == after.st_mtim.tv_sec);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int by_chroot(void) { return chroot("/"); }
static int by_unshare(void) { return unshare(0); }
static int by_setns(void) { return setns(-1, 0); }
static int by_mount(void) { return mount("none", "/nowhere", "tmpfs", 0, 0); }
static int by_number(void) { return syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, 0); }
static int by_pivot(void) { return syscall(SYS_pivot_root, "/nowhere", "/nowhere"); }
static int by_clone(void) {
    int pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return 0;
}
static int by_nothing(void) { return syscall(SYS_getpid) > 0; }

int main(int argc, char **argv) {
    struct stat of;
    struct statx extended;
    int status;
    there = argv[1];
    absent = argv[2];
    if (argc > 4) {
        // the file was changed behind the table's back: who asks the kernel sees it
        say("nothing", cold(by_nothing));
        say("chroot", cold(by_chroot));
        say("unshare", cold(by_unshare));
        say("setns", cold(by_setns));
        say("mount", cold(by_mount));
        say("mount by number", cold(by_number));
        say("pivot_root by number", cold(by_pivot));
        say("clone by number", cold(by_clone));
        return 0;
    }
    say("getpid by number", syscall(SYS_getpid) == raw(SYS_getpid, 0, 0, 0, 0, 0));
    errno = 0;
    say("failure by number", syscall(SYS_close, -1) == -1 && errno == EBADF);
    say("mmap by number", syscall(SYS_mmap, 0, 4096, 1, 0x22, -1, 0) > 0);
    if (chdir(argv[3])) return 1;
    say("bad pointer", stat((char *)0, &of) == -1 && errno == EFAULT);
    say("no buffer", stat(there, (struct stat *)0) == -1 && errno == EFAULT);
    int fd = open("made", O_CREAT | O_RDWR | O_TRUNC, 0640);
    say("create", fd >= 0 && fstat(fd, &of) == 0 && (of.st_mode & 07777) == 0640);
    fd = openat(AT_FDCWD, "made-too", O_CREAT | O_RDWR | O_TRUNC, 0604);
    say("create at", fd >= 0 && fstat(fd, &of) == 0 && (of.st_mode & 07777) == 0604);
    say("open", open("made", O_RDONLY) >= 0 && open(there, O_RDONLY) >= 0);
    pid_t child = fork();
    if (child == 0) {
        // read, write, exit and sigreturn are all there is
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) _exit(7);
        struct stat own;
        int is_there = stat(there, &own) == 0 && lstat(there, &own) == 0 && fstatat(AT_FDCWD, there, &own, 0) == 0
            && statx(AT_FDCWD, there, 0, STATX_ALL, &extended) == 0 && access(there, F_OK) == 0
            && faccessat(AT_FDCWD, there, F_OK, 0) == 0;
        int is_absent = open(absent, O_RDONLY) == -1 && openat(AT_FDCWD, absent, O_RDONLY) == -1 && lstat(absent, &own) == -1
            && errno == ENOENT;
        raw(SYS_exit, is_there && is_absent ? 5 : 6, 0, 0, 0, 0);
    }
    waitpid(child, &status, 0);
    say("strict", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    child = fork();
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) _exit(7);
        struct stat own;
        stat("made", &own);
        raw(SYS_exit, 5, 0, 0, 0, 0);
    }
    waitpid(child, &status, 0);
    say("strict and cold", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    refuse_paths();
    say("hot", both());
    say("relative", stat("made", &of) == -1 && errno == REFUSED);
    say("flags", fstatat(AT_FDCWD, there, &of, AT_EMPTY_PATH) == -1 && errno == REFUSED);
    say("more of statx", statx(AT_FDCWD, there, 0, STATX_BASIC_STATS | 0x2000, &extended) == -1 && errno == REFUSED);
    say("synced statx", statx(AT_FDCWD, there, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &extended) == -1 && errno == REFUSED);
    say("effective ids", faccessat(AT_FDCWD, there, F_OK, AT_EACCESS) == -1 && errno == REFUSED);
    say("eaccess", eaccess(there, F_OK) == -1 && errno == REFUSED);
    say("writing", open(absent, O_RDWR) == -1 && errno == REFUSED);
    say("creating", open(absent, O_CREAT | O_RDONLY, 0600) == -1 && errno == REFUSED);
    say("readable", access(there, R_OK) == -1 && errno == REFUSED);
    size_t size = sysconf(_SC_MINSIGSTKSZ) + 3072;
    stack_t stack = { .ss_sp = malloc(size), .ss_size = size };
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
    sigaltstack(&stack, 0);
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    say("handler", answer);
    pthread_t ids[8];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
    void *result;
    pthread_create(ids, &attr, thread, &attr);
    pthread_join(ids[0], &result);
    say("small stack", result != 0);
    for (int i = 0; i < 8; i++) pthread_create(&ids[i], 0, many, &attr);
    int all = 1;
    for (int i = 0; i < 8; i++) {
        pthread_join(ids[i], &result);
        all &= result != 0;
    }
    say("threads", all);
    child = vfork();
    if (child == 0) _exit(both() ? 5 : 6);
    waitpid(child, &status, 0);
    say("vfork", WEXITSTATUS(status));
    say("after vfork", both());
    int good = 0;
    for (int round = 0; round < 20; round++) {
        pid_t children[25];
        for (int i = 0; i < 25; i++)
            if ((children[i] = fork()) == 0) _exit(both() ? 5 : 6);
        for (int i = 0; i < 25; i++) good += waitpid(children[i], &status, 0) > 0 && WEXITSTATUS(status) == 5;
    }
    say("forks", good);
    return 0;
}
