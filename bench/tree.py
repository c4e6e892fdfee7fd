#!/usr/bin/env python3
"""Makes a source tree for measurements: always the same one for the same numbers.

    tree.py DIR [FILES] [SEED]

10,000 files by default, one directory for about twelve of them, sizes log-normal with a median
of 3 kB (a few reach several hundred kB), text that compresses like source code, no two files
alike, mtimes of last year.
"""

import os
import random
import sys

ENDINGS = [".c", ".h", ".rs", ".py", ".js", ".ts", ".md", ".json", ".txt", ""]
MEDIAN = 3000
SIGMA = 1.4
LARGEST = 2_000_000
PER_DIRECTORY = 12.5
PARTS = ["src", "lib", "core", "net", "test", "util", "api", "doc", "data", "cmd", "model", "view"]


def words(rng):
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(4000)]


def directories(rng, count):
    """Relative paths; each one's parent is an earlier one, most are three to six deep."""
    made = [""]
    while len(made) < count:
        parent = rng.choice(made[-200:])
        if parent.count("/") < 8:
            made.append(os.path.join(parent, f"{rng.choice(PARTS)}{len(made)}"))
    return made


def content(rng, vocabulary, number, size):
    text = [f"/* {number} */\n"]
    length = len(text[0])
    while length < size:
        line = "    " * rng.randint(0, 3) + " ".join(rng.choices(vocabulary, k=rng.randint(1, 9))) + ";\n"
        text.append(line)
        length += len(line)
    return "".join(text)[:size]


def main():
    top = sys.argv[1]
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    vocabulary = words(rng)
    dirs = directories(rng, max(1, round(files / PER_DIRECTORY)))
    for path in dirs:
        os.makedirs(os.path.join(top, path), exist_ok=True)
    total = 0
    for number in range(files):
        size = min(LARGEST, max(16, int(rng.lognormvariate(0, SIGMA) * MEDIAN)))
        name = f"{rng.choice(vocabulary)}{number}{rng.choice(ENDINGS)}"
        path = os.path.join(top, rng.choice(dirs), name)
        with open(path, "w", encoding="ascii") as out:
            out.write(content(rng, vocabulary, number, size))
        stamp = 1_700_000_000 + rng.randint(0, 30_000_000)
        os.utime(path, (stamp, stamp))
        total += size
    print(f"{files} files in {len(dirs)} directories, {total / 1e6:.1f} MB")


main()
