/* Performs a script of file system calls in the current directory and says what each gave.
 *
 *   executor SCRIPT          SCRIPT: a line a call, words apart by spaces, `%xx` in paths
 *
 * One line of output for each line of the script: `N result`, where the result is what the
 * call gave, or `-ERRNO`; `tree` adds lines that begin with `|`. Two runs of one script in
 * two equal trees print the same, but for times (`@seconds.nanos`) and blocks (`#held/size/data`).
 *
 * Calls that a rootless overlay cannot do as a bare directory does (README, known limits)
 * print `skipped` on both sides: changing one name of a file that had several when the
 * script began; changing a file that was opened for reading, or a FIFO, and then deleted; removing an
 * ACL that is not there; writing to a FIFO, which gives it an mtime outside alone; giving
 * another name to what was there when the script began; renaming a directory that was there
 * then and holds one of several names of a file that was; with `begin upper`, any directory
 * that was there. When such a directory is renamed, descriptors of what is in it are closed.
 * With `shared` no link counts are printed: a layer's file shares its inode with the object.
 *
 * In C, and linked dynamically, because that is how programs call rename(2): a preload
 * library sees it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 8

static char *word[16];
static int words;
static int slot[SLOTS];
static int top;

/* Decimal, 0x… or 0o…; a word that is no number is a mistake in the script. */
static long number(int at) {
    char *end;
    if (at >= words) return 0;
    int octal = !strncmp(word[at], "0o", 2);
    long value = strtol(word[at] + (octal ? 2 : 0), &end, octal ? 8 : 0);
    if (*end || end == word[at]) { fprintf(stderr, "`%s` is no number\n", word[at]); exit(2); }
    return value;
}
static int fd(int at) { long n = number(at); return n >= 0 && n < SLOTS ? slot[n] : -1; }

static void decode(char *text) {
    char *to = text;
    for (; *text; text++) {
        unsigned byte;
        if (*text == '%' && sscanf(text + 1, "%2x", &byte) == 1) { *to++ = (char)byte; text += 2; }
        else *to++ = *text;
    }
    *to = 0;
}

static void print_name(const char *name) {
    for (; *name; name++) {
        unsigned char byte = (unsigned char)*name;
        if (byte <= ' ' || byte > '~' || byte == '%' || byte == ',' || byte == '=') printf("%%%02x", byte);
        else putchar(byte);
    }
}

/* --- what the kernel of an overlay cannot do -------------------------------------------- */

/* Each name that was there when the script began: kept open, so that no inode number is given
 * twice, that its number is known after it was copied up, and its path after it was renamed. */
static struct old { int held, names, is_dir, moves; } *olds;
static size_t old_count;
static int keep_dirs, exact_links;

static struct old *find_old(ino_t ino) {
    struct stat st;
    for (size_t n = 0; n < old_count; n++)
        if (olds[n].held >= 0 && !fstat(olds[n].held, &st) && st.st_ino == ino) return &olds[n];
    return NULL;
}

/* Directories that cannot be read are opened up for the moment. */
static void walk_old(int above, const char *name) {
    struct stat own, st;
    if (fstatat(above, name, &own, AT_SYMLINK_NOFOLLOW)) return;
    if ((own.st_mode & 0700) != 0700) fchmodat(above, name, own.st_mode | 0700, 0);
    int dir = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *list = dir < 0 ? NULL : fdopendir(dir);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) continue;
        olds = realloc(olds, ++old_count * sizeof *olds);
        olds[old_count - 1] = (struct old){openat(dir, entry->d_name, O_PATH | O_NOFOLLOW), 1, S_ISDIR(st.st_mode), 0};
        if (S_ISDIR(st.st_mode)) walk_old(dir, entry->d_name);
    }
    if (list) closedir(list);
    if ((own.st_mode & 0700) != 0700) fchmodat(above, name, own.st_mode & 07777, 0);
}
static void count_names(void) {
    struct stat a, b;
    for (size_t n = 0; n < old_count; n++)
        for (size_t m = 0; m < old_count; m++)
            if (n != m && !fstat(olds[n].held, &a) && !fstat(olds[m].held, &b) && a.st_ino == b.st_ino) olds[n].names++;
}

static int is_group(ino_t ino) { struct old *old = find_old(ino); return old && !old->is_dir && old->names > 1; }

static int is_old(const struct stat *st, int dirs) {
    struct old *old = find_old(st->st_ino);
    return old && (old->is_dir ? dirs && keep_dirs : old->names > 1);
}
static int old_at(const char *path, int flags, int dirs) {
    struct stat st;
    return !fstatat(AT_FDCWD, path, &st, flags) && is_old(&st, dirs);
}

/* Where an open file is, in `name`; whether that name is no more. -1: nowhere. */
static int place(int file, char name[PATH_MAX]) {
    static const char gone[] = " (deleted)";
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    ssize_t length = readlink(path, name, PATH_MAX - 1);
    if (length < 0) return -1;
    name[length] = 0;
    return length >= (ssize_t)sizeof gone && !strcmp(name + length - (sizeof gone - 1), gone);
}
/* Also: opened for reading, or a FIFO, and then deleted. */
static int old_fd(int file) {
    struct stat st;
    char name[PATH_MAX];
    if (fstat(file, &st)) return 0;
    if (is_old(&st, 0)) return 1;
    return ((fcntl(file, F_GETFL) & O_ACCMODE) == O_RDONLY || S_ISFIFO(st.st_mode)) && place(file, name) == 1;
}

/* What goes along when a directory that was there when the script began is renamed. */
static int slot_moves[SLOTS];

static int is_below(const char *name, const char *top) {
    size_t length = strlen(top);
    return !strncmp(name, top, length) && (!name[length] || name[length] == '/' || name[length] == ' ');
}
/* Marks what is in such a directory; whether that cannot be done as on a bare directory. */
static int mark_moving(const char *path) {
    struct stat st;
    char top[PATH_MAX], name[PATH_MAX];
    struct old *old = lstat(path, &st) ? NULL : find_old(st.st_ino);
    if (!old || !old->is_dir || place(old->held, top)) return 0;
    for (size_t n = 0; n < old_count; n++) {
        if (olds[n].held < 0) continue;
        int gone = place(olds[n].held, name);
        if (gone < 0 || !is_below(name, top)) continue;
        if (!gone && !olds[n].is_dir && olds[n].names > 1) return 1;
        olds[n].moves = 1;
    }
    for (int n = 0; n < SLOTS; n++) {
        if (slot[n] < 0 || fstat(slot[n], &st) || place(slot[n], name) < 0 || !is_below(name, top)) continue;
        slot_moves[n] = !S_ISREG(st.st_mode) || (fcntl(slot[n], F_GETFL) & O_ACCMODE) == O_RDONLY || find_old(st.st_ino);
    }
    return 0;
}
/* Whether there was any, and it moved. All of it is new from now on, and its descriptors are closed: inside they are the old
 * directory's, and of files of it. Not those for writing of files that are new already. */
static int settle_moved(int moved) {
    int any = 0;
    for (size_t n = 0; n < old_count; n++) {
        if (moved && olds[n].moves) { close(olds[n].held); olds[n].held = -1; any = 1; }
        olds[n].moves = 0;
    }
    for (int n = 0; n < SLOTS; n++) {
        if (moved && slot_moves[n]) { close(slot[n]); slot[n] = -1; }
        slot_moves[n] = 0;
    }
    return any;
}

static int is_fifo(int file) { struct stat st; return !fstat(file, &st) && S_ISFIFO(st.st_mode); }

/* --- results ---------------------------------------------------------------------------- */

static void gave(long value) { value < 0 ? printf("-%d", errno) : printf("%ld", value); }
static void done(int value) { value < 0 ? printf("-%d", errno) : printf("ok"); }
static int skipped(int yes) { if (yes) printf("skipped"); return yes; }

static uint64_t hash(uint64_t hash, const void *bytes, size_t count) {
    for (const unsigned char *byte = bytes; count--; byte++) hash = (hash ^ *byte) * 0x100000001b3;
    return hash;
}
#define HASH 0xcbf29ce484222325

static unsigned char *content(size_t count, unsigned seed) {
    unsigned char *bytes = malloc(count + 1);
    for (size_t n = 0; n < count; n++) bytes[n] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
    return bytes;
}

/* --- descriptors ------------------------------------------------------------------------ */

static void keep(int file) {
    long n = number(1);
    if (file < 0) { printf("-%d", errno); return; }
    if (slot[n] >= 0) close(slot[n]);
    slot[n] = file;
    printf("ok");
}

static void do_open(void) { /* open SLOT PATH FLAGS MODE */
    int flags = (int)number(3);
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    if (skipped(writes && old_at(word[2], flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0, 0))) return;
    keep(open(word[2], flags | O_NONBLOCK | O_CLOEXEC, (mode_t)number(4)));
}
static void do_tmpfile(void) { keep(open(word[2], O_TMPFILE | O_RDWR, (mode_t)number(3))); } /* SLOT DIR MODE */
static void do_dup(void) { keep(fcntl(fd(2), F_DUPFD_CLOEXEC, 0)); } /* SLOT SLOT */
static void do_close(void) { done(close(fd(1))); if (number(1) < SLOTS) slot[number(1)] = -1; }

static void do_read(void) { /* SLOT COUNT [OFFSET] */
    unsigned char *bytes = malloc((size_t)number(2) + 1);
    ssize_t got = words > 3 ? pread(fd(1), bytes, (size_t)number(2), number(3)) : read(fd(1), bytes, (size_t)number(2));
    gave(got);
    if (got > 0) printf(" %016lx", (unsigned long)hash(HASH, bytes, (size_t)got));
    free(bytes);
}
static void do_write(void) { /* SLOT COUNT SEED [OFFSET] */
    if (skipped(is_fifo(fd(1)))) return;
    unsigned char *bytes = content((size_t)number(2), (unsigned)number(3));
    gave(words > 4 ? pwrite(fd(1), bytes, (size_t)number(2), number(4)) : write(fd(1), bytes, (size_t)number(2)));
    free(bytes);
}
static void do_lseek(void) { /* an overlay's merged directory has no end (README, known limits) */
    struct stat st;
    if (skipped(number(3) == SEEK_END && fstat(fd(1), &st) == 0 && S_ISDIR(st.st_mode))) return;
    gave(lseek(fd(1), number(2), (int)number(3)));
}
static void do_ftruncate(void) { done(ftruncate(fd(1), number(2))); }
static void do_fallocate(void) { done(fallocate(fd(1), (int)number(2), number(3), number(4))); }
static void do_copy(void) { /* FROM TO OFFSET OFFSET COUNT */
    off_t from = number(3), to = number(4);
    gave(copy_file_range(fd(1), &from, fd(2), &to, (size_t)number(5), 0));
}
static void do_sendfile(void) { /* FROM TO OFFSET COUNT: by way of memory, because within one file the pages that are sent change while they are written */
    off_t from = number(3);
    if (skipped(is_fifo(fd(2)))) return;
    int memory = memfd_create("sent", MFD_CLOEXEC);
    ssize_t count = sendfile(memory, fd(1), &from, (size_t)number(4));
    char *sent = count > 0 ? malloc((size_t)count) : NULL;
    if (sent && pread(memory, sent, (size_t)count, 0) == count) count = write(fd(2), sent, (size_t)count);
    int error = errno;
    free(sent);
    close(memory);
    errno = error;
    gave(count);
}
static void do_fsync(void) { done(number(2) ? fdatasync(fd(1)) : fsync(fd(1))); }
static void do_mmap(void) { /* SLOT COUNT SEED: a shared mapping of the file's beginning is written */
    struct stat st;
    size_t count = (size_t)number(2);
    if (fstat(fd(1), &st) || (size_t)st.st_size < count || !count) { printf("small"); return; }
    unsigned char *at = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_SHARED, fd(1), 0);
    if (at == MAP_FAILED) { printf("-%d", errno); return; }
    unsigned char *bytes = content(count, (unsigned)number(3));
    memcpy(at, bytes, count);
    free(bytes);
    done(msync(at, count, MS_SYNC));
    munmap(at, count);
}
static void do_lock(void) { /* SLOT KIND: 0 flock, 1 fcntl, 2 open file description; does another process see it? */
    char path[64];
    struct flock all = {.l_type = F_WRLCK};
    int kind = (int)number(2), file = fd(1), none = -1;
    int first = kind == 0 ? flock(file, LOCK_EX | LOCK_NB) : fcntl(file, kind == 1 ? F_SETLK : F_OFD_SETLK, &all);
    if (first) { printf("-%d", errno); return; }
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", getppid(), file);
        all.l_type = F_RDLCK;
        int other = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        int got = other < 0 ? -1 : kind == 0 ? flock(other, LOCK_EX | LOCK_NB) : fcntl(other, F_SETLK, &all);
        _exit(got ? errno : 0);
    }
    waitpid(child, &none, 0);
    printf("other %d", WEXITSTATUS(none));
    all.l_type = F_UNLCK;
    kind == 0 ? flock(file, LOCK_UN) : fcntl(file, kind == 1 ? F_SETLK : F_OFD_SETLK, &all);
}

/* --- names ------------------------------------------------------------------------------ */

static void do_unlink(void) { done(unlink(word[1])); }
static void do_rmdir(void) { done(rmdir(word[1])); }
static void do_mkdir(void) { done(mkdir(word[1], (mode_t)number(2))); }
static void do_symlink(void) { done(symlink(word[1], word[2])); }
static void do_link(void) { /* FROM TO FLAGS */
    int flags = (int)number(3), at = flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW;
    struct stat st;
    if (skipped(!fstatat(AT_FDCWD, word[1], &st, at) && find_old(st.st_ino))) return;
    done(linkat(AT_FDCWD, word[1], AT_FDCWD, word[2], flags));
}
static void do_linkfd(void) { /* SLOT PATH */
    char path[64];
    struct stat st;
    if (skipped(old_fd(fd(1)) || (!fstat(fd(1), &st) && find_old(st.st_ino)))) return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd(1));
    done(linkat(AT_FDCWD, path, AT_FDCWD, word[2], AT_SYMLINK_FOLLOW));
}
static void do_mknod(void) { done(mknod(word[1], (mode_t)number(2), 0)); }
static void do_rename(void) { /* FROM TO FLAGS */
    unsigned flags = (unsigned)number(3);
    if (skipped(old_at(word[1], AT_SYMLINK_NOFOLLOW, 1))) return;
    if (skipped(flags & RENAME_EXCHANGE && old_at(word[2], AT_SYMLINK_NOFOLLOW, 1))) return;
    int shared = mark_moving(word[1]) || (flags & RENAME_EXCHANGE && mark_moving(word[2])), answer = -1;
    if (!skipped(shared)) done(answer = flags ? renameat2(AT_FDCWD, word[1], AT_FDCWD, word[2], flags) : rename(word[1], word[2]));
    if (settle_moved(!answer)) printf(" directory");
}
/* Each name of a file that has several becomes a file of its own: PATH */
static void do_part(void) {
    struct stat st;
    char *bytes;
    if (lstat(word[1], &st) || !S_ISREG(st.st_mode) || (exact_links && st.st_nlink < 2 && !is_group(st.st_ino))) { printf("not"); return; }
    int from = open(word[1], O_RDONLY);
    if (from < 0) { printf("-%d", errno); return; }
    bytes = malloc((size_t)st.st_size + 1);
    ssize_t got = read(from, bytes, (size_t)st.st_size);
    close(from);
    unlink(word[1]);
    int to = open(word[1], O_WRONLY | O_CREAT | O_EXCL, 0600);
    gave(to < 0 ? -1 : write(to, bytes, (size_t)got));
    if (to >= 0) close(to);
    free(bytes);
}

/* --- metadata --------------------------------------------------------------------------- */

static void do_truncate(void) { if (!skipped(old_at(word[1], 0, 0))) done(truncate(word[1], number(2))); }
static void do_chmod(void) {
    if (skipped(old_at(word[1], 0, 0))) return;
    done(chmod(word[1], (mode_t)number(2)));
}
static void do_fchmod(void) { if (!skipped(old_fd(fd(1)))) done(fchmod(fd(1), (mode_t)number(2))); }
static void do_chown(void) { /* PATH NOFOLLOW: to oneself */
    int flags = number(2) ? AT_SYMLINK_NOFOLLOW : 0;
    if (!skipped(old_at(word[1], flags, 0))) done(fchownat(AT_FDCWD, word[1], geteuid(), getegid(), flags));
}
static void do_utimens(void) { /* PATH NOFOLLOW SECONDS NANOS */
    int flags = number(2) ? AT_SYMLINK_NOFOLLOW : 0;
    struct timespec times[2] = {{number(3), number(4)}, {number(3), number(4)}};
    if (!skipped(old_at(word[1], flags, 0))) done(utimensat(AT_FDCWD, word[1], times, flags));
}
static void do_futimens(void) { /* SLOT SECONDS NANOS */
    struct timespec times[2] = {{number(2), number(3)}, {number(2), number(3)}};
    if (!skipped(old_fd(fd(1)))) done(futimens(fd(1), times));
}
static void do_setxattr(void) { /* PATH NAME COUNT SEED FLAGS */
    unsigned char *value = content((size_t)number(3), (unsigned)number(4));
    if (!skipped(old_at(word[1], AT_SYMLINK_NOFOLLOW, 0)))
        done(lsetxattr(word[1], word[2], value, (size_t)number(3), (int)number(5)));
    free(value);
}
static void do_fsetxattr(void) { /* SLOT NAME COUNT SEED */
    unsigned char *value = content((size_t)number(3), (unsigned)number(4));
    if (!skipped(old_fd(fd(1)))) done(fsetxattr(fd(1), word[2], value, (size_t)number(3), 0));
    free(value);
}
static void do_removexattr(void) { /* removing an ACL that is not there succeeds on a bare file alone */
    if (skipped(old_at(word[1], AT_SYMLINK_NOFOLLOW, 0))) return;
    if (skipped(!strncmp(word[2], "system.", 7) && lgetxattr(word[1], word[2], NULL, 0) < 0 && errno == ENODATA)) return;
    done(lremovexattr(word[1], word[2]));
}
static void do_getxattr(void) {
    char value[4096];
    ssize_t got = lgetxattr(word[1], word[2], value, sizeof value);
    gave(got);
    if (got > 0) printf(" %016lx", (unsigned long)hash(HASH, value, (size_t)got));
}
static void do_acl(void) { /* PATH DEFAULT USER-BITS MASK GROUP-BITS: names the caller (acl(5), linux/posix_acl_xattr.h) */
    struct { uint32_t version; struct { uint16_t tag, perm; uint32_t id; } entry[6]; } __attribute__((packed)) acl = {2, {
        {1, 7, ~0u}, {2, (uint16_t)number(3), geteuid()}, {4, 5, ~0u}, {8, (uint16_t)number(5), getegid()},
        {16, (uint16_t)number(4), ~0u}, {32, 1, ~0u}}};
    const char *name = number(2) ? "system.posix_acl_default" : "system.posix_acl_access";
    if (!skipped(old_at(word[1], 0, 0))) done(setxattr(word[1], name, &acl, sizeof acl, 0));
}
static void do_umask(void) { gave(umask((mode_t)number(1))); }

/* --- looking ---------------------------------------------------------------------------- */

static char kind(mode_t mode) {
    return S_ISREG(mode) ? 'f' : S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : S_ISFIFO(mode) ? 'p' : S_ISSOCK(mode) ? 's' : '?';
}
static void print_stat(const struct stat *st, int links) {
    printf("%c %o @%ld.%09ld", kind(st->st_mode), st->st_mode & 07777u, (long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    if (!S_ISDIR(st->st_mode)) printf(" size %ld", (long)st->st_size);
    if (links && exact_links && !S_ISDIR(st->st_mode) && !is_group(st->st_ino)) printf(" links %ld", (long)st->st_nlink);
    if (st->st_uid != geteuid() || st->st_gid != getegid()) printf(" foreign");
}
static void do_stat(void) { /* PATH NOFOLLOW: after opening, blocks are the file's own */
    struct stat st;
    int flags = number(2) ? AT_SYMLINK_NOFOLLOW : 0;
    int open_it = open(word[1], O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fstatat(AT_FDCWD, word[1], &st, flags)) printf("-%d", errno);
    else {
        print_stat(&st, 1);
        if (S_ISREG(st.st_mode) && open_it >= 0) {
            unsigned char bytes[4096];
            ssize_t got;
            int data = 0;
            while (!data && (got = read(open_it, bytes, sizeof bytes)) > 0)
                for (ssize_t n = 0; n < got; n++) data |= bytes[n];
            printf(" #%ld/%ld/%d", (long)st.st_blocks, (long)st.st_size / 512, data > 0);
        }
    }
    if (open_it >= 0) close(open_it);
}
static void do_fstat(void) { /* SLOT; without links: an open file that was unlinked may keep one (README, limits) */
    struct stat st;
    struct statx x;
    if (fstat(fd(1), &st)) { printf("-%d", errno); return; }
    print_stat(&st, 0);
    if (statx(fd(1), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x)) printf(" statx -%d", errno);
    else if (x.stx_ino != st.st_ino || x.stx_size != (uint64_t)st.st_size || x.stx_mode != st.st_mode) printf(" statx differs");
}
static void do_access(void) { done(faccessat(AT_FDCWD, word[1], (int)number(2), AT_EACCESS)); }
static void do_readlink(void) {
    char target[PATH_MAX];
    ssize_t got = readlink(word[1], target, sizeof target - 1);
    if (got < 0) { printf("-%d", errno); return; }
    target[got] = 0;
    print_name(target);
}
static void do_realpath(void) { /* and getcwd, where it is a directory */
    char start[PATH_MAX], path[PATH_MAX], here[PATH_MAX];
    if (!getcwd(start, sizeof start) || !realpath(word[1], path)) { printf("-%d", errno); return; }
    size_t length = strlen(start);
    printf(strncmp(path, start, length) ? "elsewhere " : "./");
    print_name(path + length);
    if (chdir(path)) { printf(" -%d", errno); return; }
    printf(getcwd(here, sizeof here) && !strcmp(here, path) ? " cwd" : " other cwd");
    if (fchdir(top)) abort();
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* All names, sorted; the rest after a seek must be what it was; d_ino and d_type are stat's. */
static void do_readdir(void) {
    DIR *list = opendir(word[1]);
    if (!list) { printf("-%d", errno); return; }
    char **names = NULL, *rest[2] = {NULL, NULL};
    size_t count = 0;
    long place = -1;
    struct dirent *entry;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) seekdir(list, place);
        size_t length = 0;
        FILE *memory = open_memstream(&rest[pass], &length);
        for (size_t n = 0; (entry = readdir(list)); n++) {
            struct stat st;
            if (!pass) {
                names = realloc(names, (count + 1) * sizeof *names);
                names[count++] = strdup(entry->d_name);
            }
            if (place >= 0) fprintf(memory, "%s/", entry->d_name);
            else if (!pass && n == 3) place = telldir(list);
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
            if (fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) continue;
            if (entry->d_ino != st.st_ino) printf("[d_ino] ");
            if (entry->d_type != DT_UNKNOWN && entry->d_type != IFTODT(st.st_mode)) printf("[d_type] ");
        }
        fclose(memory);
        if (place < 0) break;
    }
    if (place >= 0 && strcmp(rest[0], rest[1])) printf("[seekdir] ");
    qsort(names, count, sizeof *names, by_name);
    for (size_t n = 0; n < count; n++) { print_name(names[n]); putchar(' '); free(names[n]); }
    free(names); free(rest[0]); free(rest[1]);
    closedir(list);
}

/* --- the tree --------------------------------------------------------------------------- */

static void print_xattrs(const char *path) {
    char list[65536], value[65536], *names[256];
    size_t count = 0;
    ssize_t length = llistxattr(path, list, sizeof list);
    for (char *name = list; length > 0 && name < list + length && count < 256; name += strlen(name) + 1)
        if (!strncmp(name, "user.", 5) || !strncmp(name, "system.posix", 12)) names[count++] = name;
    qsort(names, count, sizeof *names, by_name);
    for (size_t n = 0; n < count; n++) {
        ssize_t got = lgetxattr(path, names[n], value, sizeof value);
        putchar(',');
        print_name(names[n]);
        putchar('=');
        for (ssize_t byte = 0; byte < got; byte++) printf("%02x", (unsigned char)value[byte]);
        if (got < 0) printf("?");
    }
}

/* |PATH KIND MODE @MTIME INODE LINKS WHAT XATTRS; WHAT: size:hash, target, `?` if it cannot be read, `-` */
static void print_tree(const char *path) {
    struct stat st;
    if (lstat(path, &st)) { printf("|"); print_name(path); printf(" -%d\n", errno); return; }
    printf("|");
    print_name(path);
    printf(" %c %o @%ld.%09ld %ld %ld ", kind(st.st_mode), st.st_mode & 07777u, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
           (long)st.st_ino, (long)st.st_nlink);
    DIR *list = NULL;
    if (S_ISREG(st.st_mode)) {
        int file = open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        char buffer[65536];
        uint64_t sum = HASH;
        ssize_t got;
        if (file < 0) printf("?");
        else {
            while ((got = read(file, buffer, sizeof buffer)) > 0) sum = hash(sum, buffer, (size_t)got);
            if (got < 0) printf("-%d", errno); else printf("%ld:%016lx", (long)st.st_size, (unsigned long)sum);
            close(file);
        }
    } else if (S_ISLNK(st.st_mode)) {
        char target[PATH_MAX];
        ssize_t got = readlink(path, target, sizeof target - 1);
        target[got < 0 ? 0 : got] = 0;
        print_name(target);
    } else if (S_ISDIR(st.st_mode)) {
        list = faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS) ? NULL : opendir(path);
        printf(list ? "-" : "?");
    } else printf("-");
    putchar(' ');
    print_xattrs(path);
    putchar('\n');
    if (!list) return;
    for (struct dirent *entry; (entry = readdir(list));) {
        char below[PATH_MAX];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || !strncmp(entry->d_name, ".vrift-", 7)) continue;
        if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < (int)sizeof below) print_tree(below);
    }
    closedir(list);
}
static void do_tree(void) { printf("tree\n"); print_tree("."); }

/* begin upper|any exact|shared: the time from which on everything is new, after all that was before. */
static void do_begin(void) {
    struct timespec now, coarse;
    clock_gettime(CLOCK_REALTIME, &now);
    /* files get the coarse time, or a finer one after it */
    do clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
    while (coarse.tv_sec < now.tv_sec || (coarse.tv_sec == now.tv_sec && coarse.tv_nsec <= now.tv_nsec));
    keep_dirs = !strcmp(word[1], "upper");
    exact_links = !strcmp(word[2], "exact");
    walk_old(AT_FDCWD, ".");
    count_names();
    printf("@%ld.%09ld", (long)coarse.tv_sec, coarse.tv_nsec);
}

static const struct { const char *name; int least; void (*perform)(void); } calls[] = {
    {"begin", 3, do_begin}, {"tree", 1, do_tree}, {"open", 5, do_open}, {"tmpfile", 4, do_tmpfile}, {"dup", 3, do_dup},
    {"close", 2, do_close}, {"read", 3, do_read}, {"write", 4, do_write}, {"lseek", 4, do_lseek},
    {"ftruncate", 3, do_ftruncate}, {"fallocate", 5, do_fallocate}, {"copy", 6, do_copy}, {"sendfile", 5, do_sendfile},
    {"fsync", 3, do_fsync}, {"mmap", 4, do_mmap}, {"lock", 3, do_lock}, {"unlink", 2, do_unlink}, {"rmdir", 2, do_rmdir},
    {"mkdir", 3, do_mkdir}, {"symlink", 3, do_symlink}, {"link", 4, do_link}, {"linkfd", 3, do_linkfd},
    {"mknod", 3, do_mknod}, {"rename", 4, do_rename}, {"part", 2, do_part}, {"truncate", 3, do_truncate},
    {"chmod", 3, do_chmod}, {"fchmod", 3, do_fchmod}, {"chown", 3, do_chown}, {"utimens", 5, do_utimens},
    {"futimens", 4, do_futimens}, {"setxattr", 6, do_setxattr}, {"fsetxattr", 5, do_fsetxattr},
    {"removexattr", 3, do_removexattr}, {"getxattr", 3, do_getxattr}, {"acl", 6, do_acl}, {"umask", 2, do_umask},
    {"stat", 3, do_stat}, {"fstat", 2, do_fstat}, {"access", 3, do_access}, {"readlink", 2, do_readlink},
    {"realpath", 2, do_realpath}, {"readdir", 2, do_readdir},
};

/* Writing to a set-user-ID file clears the bit but for CAP_FSETID in the initial namespace. */
static void without_fsetid(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data)) return;
    data[0].effective &= ~(1u << CAP_FSETID);
    data[0].permitted &= ~(1u << CAP_FSETID);
    syscall(SYS_capset, &header, data);
}

int main(int count, char **arguments) {
    char line[8192];
    FILE *script = count == 2 ? fopen(arguments[1], "re") : NULL;
    if (!script || (top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) { perror("executor"); return 2; }
    for (int n = 0; n < SLOTS; n++) slot[n] = -1;
    umask(022);
    without_fsetid();
    signal(SIGPIPE, SIG_IGN);
    for (int at = 0; fgets(line, sizeof line, script); at++) {
        words = 0;
        for (char *next = strtok(line, " \n"); next && words < 16; next = strtok(NULL, " \n")) word[words++] = next;
        for (int n = 0; n < words; n++) decode(word[n]);
        printf("%d ", at);
        size_t call = 0;
        while (call < sizeof calls / sizeof *calls && (!words || strcmp(calls[call].name, word[0]))) call++;
        if (call == sizeof calls / sizeof *calls || words < calls[call].least) { printf("what is `%s`?\n", words ? word[0] : ""); return 2; }
        errno = 0;
        calls[call].perform();
        if (strcmp(word[0], "tree")) putchar('\n');
    }
    return fflush(stdout) ? 2 : 0;
}
