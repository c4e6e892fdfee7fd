#!/usr/bin/env python3
"""Makes a source tree for measurements: always the same one for the same numbers.

    tree.py DIR [FILES] [SEED]
    tree.py --hollow DIR [FILES]

10,000 files by default, one directory for about twelve of them, sizes log-normal with a median
of 3 kB (a few reach several hundred kB), text that compresses like source code, no two files
alike, mtimes of last year.

A hollow tree has the same shape, and files of holes, of a thousand sizes: for measurements that
depend on names alone. A million of them are made in half a minute, and take no data blocks.
"""

import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor

ENDINGS = [".c", ".h", ".rs", ".py", ".js", ".ts", ".md", ".json", ".txt", ""]
MEDIAN = 3000
SIGMA = 1.4
LARGEST = 2_000_000
PER_DIRECTORY = 12.5
PARTS = ["src", "lib", "core", "net", "test", "util", "api", "doc", "data", "cmd", "model", "view"]
WORKERS = os.cpu_count() or 1


def words(rng):
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(4000)]


def directories(rng, count):
    """Relative paths; each one's parent is an earlier one, most are three to six deep."""
    made = [""]
    refused = 0
    while len(made) < count:
        # the last ones may all be as deep as there are any
        parent = rng.choice(made[-200:] if refused < 100 else made)
        refused += 1
        if parent.count("/") < 8:
            made.append(os.path.join(parent, f"{rng.choice(PARTS)}{len(made)}"))
            refused = 0
    return made


def prose(rng, vocabulary):
    """As much text as the largest file twice: contents are parts of it."""
    text, length = [], 0
    while length < 2 * LARGEST:
        line = "    " * rng.randint(0, 3) + " ".join(rng.choices(vocabulary, k=rng.randint(1, 9))) + ";\n"
        text.append(line)
        length += len(line)
    return "".join(text)


def content(rng, text, number, size):
    begin = rng.randrange(len(text) - size)
    return (f"/* {number} */\n" + text[begin : begin + size])[:size]


def full(top, files, seed):
    rng = random.Random(seed)
    vocabulary = words(rng)
    text = prose(rng, vocabulary)
    dirs = directories(rng, max(1, round(files / PER_DIRECTORY)))
    for path in dirs:
        os.makedirs(os.path.join(top, path), exist_ok=True)
    total = 0
    for number in range(files):
        size = min(LARGEST, max(16, int(rng.lognormvariate(0, SIGMA) * MEDIAN)))
        name = f"{rng.choice(vocabulary)}{number}{rng.choice(ENDINGS)}"
        path = os.path.join(top, rng.choice(dirs), name)
        with open(path, "w", encoding="ascii") as out:
            out.write(content(rng, text, number, size))
        stamp = 1_700_000_000 + rng.randint(0, 30_000_000)
        os.utime(path, (stamp, stamp))
        total += size
    print(f"{files} files in {len(dirs)} directories, {total / 1e6:.1f} MB")


def fill(top, dirs, files, worker):
    """One worker's share of a hollow tree's files."""
    for number in range(worker, files, WORKERS):
        path = os.path.join(top, dirs[number % len(dirs)], f"file{number}{ENDINGS[number % len(ENDINGS)]}")
        out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.ftruncate(out, 1 + number % 1000)
        stamp = 1_700_000_000 + number % 30_000_000
        os.utime(out, (stamp, stamp))
        os.close(out)


def hollow(top, files):
    dirs = directories(random.Random(1), max(1, round(files / PER_DIRECTORY)))
    for path in dirs:
        os.makedirs(os.path.join(top, path), exist_ok=True)
    with ProcessPoolExecutor(WORKERS) as pool:
        for share in [pool.submit(fill, top, dirs, files, worker) for worker in range(WORKERS)]:
            share.result()
    print(f"{files} files in {len(dirs)} directories")


def main():
    arguments = sys.argv[1:]
    is_hollow = arguments[0] == "--hollow"
    top, *numbers = arguments[is_hollow:]
    files = int(numbers[0]) if numbers else 10_000
    if is_hollow:
        hollow(top, files)
    else:
        full(top, files, int(numbers[1]) if len(numbers) > 1 else 1)


if __name__ == "__main__":
    main()
