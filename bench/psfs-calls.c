// Medians of what one call costs in CPU time: $1 is a list of paths, $2 how many rounds. Prints
// ns of stat by the library and by the kernel, of open of absent names likewise, the same for the
// first 20 paths, and µs of starting and ending `true`.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long raw(long n, long a, long b, long c, long d) {
    long answer;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(answer) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return answer;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int order(const void *a, const void *b) { return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b); }

static double median(double *of, int count) {
    qsort(of, count, sizeof *of, order);
    return of[count / 2];
}

// Below it a twentieth lies: what something costs that nothing else delays.
static double twentieth(double *of, int count) {
    qsort(of, count, sizeof *of, order);
    return of[count / 20];
}

int main(int argc, char **argv) {
    static char *there[4096], *absent[4096];
    int all = 0, rounds = atoi(argv[2]) * 5;
    char line[4096];
    FILE *list = fopen(argv[1], "r");
    while (all < 4096 && fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        there[all] = strdup(line);
        line[strlen(line) - 1] = '_';
        absent[all++] = strdup(line);
    }
    double *times[8], *starts[3];
    for (int i = 0; i < 8; i++) times[i] = calloc(rounds, sizeof(double));
    for (int i = 0; i < 3; i++) starts[i] = calloc(20 * rounds, sizeof(double));
    struct stat of;
    for (int round = 0; round < 2 * rounds; round++) {
        int few = round % 2, count = few ? 20 : all, repeats = few ? 200 : 5;
        double t0 = now();
        for (int again = 0; again < repeats; again++)
            for (int i = 0; i < count; i++) stat(there[i], &of);
        double t1 = now();
        for (int again = 0; again < repeats; again++)
            for (int i = 0; i < count; i++) raw(SYS_newfstatat, AT_FDCWD, (long)there[i], (long)&of, 0);
        double t2 = now();
        for (int again = 0; again < repeats; again++)
            for (int i = 0; i < count; i++) open(absent[i], O_RDONLY);
        double t3 = now();
        for (int again = 0; again < repeats; again++)
            for (int i = 0; i < count; i++) raw(SYS_openat, AT_FDCWD, (long)absent[i], O_RDONLY, 0);
        double t4 = now();
        double *of_round[4] = { times[few * 4] + round / 2, times[few * 4 + 1] + round / 2, times[few * 4 + 2] + round / 2, times[few * 4 + 3] + round / 2 };
        *of_round[0] = (t1 - t0) / count / repeats;
        *of_round[1] = (t2 - t1) / count / repeats;
        *of_round[2] = (t3 - t2) / count / repeats;
        *of_round[3] = (t4 - t3) / count / repeats;
    }
    // starts by turns: as things are, without the library, and with it by a name without a variable
    char *kept = getenv("LD_PRELOAD"), plain[4096] = "";
    if (kept) {
        char *variable = strstr(kept, "$PLATFORM");
        if (variable) snprintf(plain, sizeof plain, "%.*sx86_64%s", (int)(variable - kept), kept, variable + 9);
        else snprintf(plain, sizeof plain, "%s", kept);
        kept = strdup(kept);
    }
    for (int round = 0; round < 20 * rounds; round++) {
        for (int way = 0; way < 3; way++) {
            if (!kept || way == 1) unsetenv("LD_PRELOAD");
            else setenv("LD_PRELOAD", way ? plain : kept, 1);
            char *words[] = { "true", 0 };
            double before = wall();
            pid_t pid;
            if (posix_spawn(&pid, "/bin/true", 0, 0, words, environ)) return 1;
            waitpid(pid, 0, 0);
            starts[way][round] = wall() - before;
        }
    }
    for (int i = 0; i < 8; i++) printf("%.1f ", median(times[i], rounds));
    for (int i = 0; i < 3; i++) printf("%.1f ", twentieth(starts[i], 20 * rounds));
    return 0;
}
