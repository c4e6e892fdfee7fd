// A library whose constructor asks before the program's libraries are up, preloaded beside
// the table's.
#include "calls.h"

__attribute__((constructor)) static void early(void) {
    struct stat of;
    const char *path = getenv("EARLY");
    if (path && stat(path, &of) == 0 && of.st_ino) setenv("EARLY_SAID", "there", 1);
}
