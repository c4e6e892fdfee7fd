// Every call on every path of a list (each ended by a NUL): first by the kernel, then, while
// the kernel refuses to look, by the library. Prints for each call how many paths were
// answered, left to the kernel, and answered otherwise than by the kernel.
#include "calls.h"

enum { STAT, LSTAT, FSTATAT, FSTATAT_LINK, OLD_STAT, OLD_LSTAT, STATX, ACCESS = STATX + 11, READABLE, FACCESSAT, OPEN, OPENAT, CALLS };
static const char *names[CALLS] = {
    "stat", "lstat", "fstatat", "fstatat-nofollow", "__xstat", "__lxstat",
    "statx-0", "statx-type", "statx-basic", "statx-btime", "statx-mount", "statx-all", "statx-nofollow", "statx-no-automount",
    "statx-by-number", "statx-mtime", "statx-ctime", "access", "access-readable", "faccessat", "open", "openat",
};
static const struct { unsigned mask; int flags; } variants[11] = {
    { 0, 0 }, { 1, 0 }, { 0x7ff, 0 }, { 0xfff, 0 }, { 0x17ff, 0 }, { 0x1fff, 0 }, { 0xfff, 0x100 }, { 0x7ff, 0x900 }, { 0xfff, 0x100 }, { 0x40, 0 }, { 0x80 | 0x800, 0 },
};

struct answer {
    int errno_of[CALLS];
    struct stat stats[STATX];
    struct statx extended[11];
};

int __xstat(int, const char *, struct stat *);
int __lxstat(int, const char *, struct stat *);

static void kernel(const char *path, struct answer *a) {
    long p = (long)path;
    a->errno_of[STAT] = raw(SYS_newfstatat, AT_FDCWD, p, (long)&a->stats[STAT], 0, 0);
    a->errno_of[LSTAT] = raw(SYS_newfstatat, AT_FDCWD, p, (long)&a->stats[LSTAT], AT_SYMLINK_NOFOLLOW, 0);
    for (int i = FSTATAT; i < STATX; i++) {
        int from = i == FSTATAT || i == OLD_STAT ? STAT : LSTAT;
        a->errno_of[i] = a->errno_of[from];
        a->stats[i] = a->stats[from];
    }
    for (int i = 0; i < 11; i++)
        a->errno_of[STATX + i] = raw(SYS_statx, AT_FDCWD, p, variants[i].flags, variants[i].mask, (long)&a->extended[i]);
    a->errno_of[ACCESS] = a->errno_of[FACCESSAT] = raw(SYS_faccessat, AT_FDCWD, p, F_OK, 0, 0);
    a->errno_of[READABLE] = raw(SYS_faccessat, AT_FDCWD, p, R_OK, 0, 0);
    int fd = raw(SYS_openat, AT_FDCWD, p, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, 0);
    a->errno_of[OPEN] = a->errno_of[OPENAT] = fd < 0 ? fd : 0;
    if (fd >= 0) {
        struct stat of;
        if (fstat(fd, &of) || of.st_dev != a->stats[LSTAT].st_dev || of.st_ino != a->stats[LSTAT].st_ino) {
            printf("fstat differs: %s\n", path);
            exit(1);
        }
        close(fd);
    }
}

static int said(int answer) { return answer < 0 ? -errno : 0; }

static void library(const char *path, struct answer *a) {
    a->errno_of[STAT] = said(stat(path, &a->stats[STAT]));
    a->errno_of[LSTAT] = said(lstat(path, &a->stats[LSTAT]));
    a->errno_of[FSTATAT] = said(fstatat(-7, path, &a->stats[FSTATAT], 0));
    a->errno_of[FSTATAT_LINK] = said(fstatat(AT_FDCWD, path, &a->stats[FSTATAT_LINK], AT_SYMLINK_NOFOLLOW));
    a->errno_of[OLD_STAT] = said(__xstat(1, path, &a->stats[OLD_STAT]));
    a->errno_of[OLD_LSTAT] = said(__lxstat(0, path, &a->stats[OLD_LSTAT]));
    for (int i = 0; i < 11; i++)
        if (i != 8) a->errno_of[STATX + i] = said(statx(AT_FDCWD, path, variants[i].flags, variants[i].mask, &a->extended[i]));
    a->errno_of[STATX + 8] = said(syscall(SYS_statx, AT_FDCWD, path, variants[8].flags, variants[8].mask, &a->extended[8]));
    a->errno_of[ACCESS] = said(access(path, F_OK));
    a->errno_of[READABLE] = said(access(path, R_OK));
    a->errno_of[FACCESSAT] = said(faccessat(AT_FDCWD, path, F_OK, 0));
    a->errno_of[OPEN] = said(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
    a->errno_of[OPENAT] = said(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
}

int main(int argc, char **argv) {
    FILE *list = fopen(argv[1], "r");
    size_t count = 0, room = 0, length = 0;
    char *line = 0, **paths = 0;
    while (getdelim(&line, &length, 0, list) > 0) {
        if (count == room) paths = realloc(paths, (room = 2 * room + 64) * sizeof *paths);
        paths[count++] = strdup(line);
    }
    struct answer *expected = calloc(count, sizeof *expected), *got = malloc(sizeof *got);
    for (size_t i = 0; i < count; i++) kernel(paths[i], &expected[i]);
    long answered[CALLS] = { 0 }, absent[CALLS] = { 0 }, cold[CALLS] = { 0 }, wrong[CALLS] = { 0 };
    refuse_paths();
    for (size_t i = 0; i < count; i++) {
        memset(got, 0xa5, sizeof *got);
        library(paths[i], got);
        for (int c = 0; c < CALLS; c++) {
            int errno_of = got->errno_of[c], is_right = errno_of == expected[i].errno_of[c];
            if (errno_of == -REFUSED) {
                cold[c]++;
                continue;
            }
            if (is_right && errno_of == 0 && c < STATX)
                is_right = !memcmp(&got->stats[c], &expected[i].stats[c], sizeof(struct stat));
            if (is_right && errno_of == 0 && c >= STATX && c < ACCESS)
                is_right = !memcmp(&got->extended[c - STATX], &expected[i].extended[c - STATX], sizeof(struct statx));
            if (errno_of) absent[c]++;
            else answered[c]++;
            if (!is_right && wrong[c]++ == 0) dprintf(2, "%s %s: %d\n", names[c], paths[i], errno_of);
        }
    }
    for (int c = 0; c < CALLS; c++)
        dprintf(1, "%s there %ld absent %ld cold %ld wrong %ld\n", names[c], answered[c], absent[c], cold[c], wrong[c]);
    return 0;
}
