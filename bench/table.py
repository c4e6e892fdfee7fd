#!/usr/bin/env python3
"""Prints hyperfine's results as a markdown table.

    table.py TITLE RESULTS.json

The first command is vrift's; the last column says how long vrift takes compared with each other one.
"""

import json
import statistics
import sys


def shown(seconds):
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds * 1000 < 100 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s"


def main():
    title, path = sys.argv[1:]
    with open(path, encoding="utf-8") as source:
        results = json.load(source)["results"]
    first = statistics.median(results[0]["times"])
    print(f"### {title}\n")
    print("| command | median | fastest to slowest | runs | vrift takes |")
    print("|---|---|---|---|---|")
    for result in results:
        times = result["times"]
        median = statistics.median(times)
        ratio = "–" if result is results[0] else f"{first / median:.2f} ×"
        spread = f"{shown(min(times))} to {shown(max(times))}"
        print(f"| `{result['command']}` | {shown(median)} | {spread} | {len(times)} | {ratio} |")
    print()


main()
