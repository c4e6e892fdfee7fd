"""What was measured, as markdown."""

import statistics

from bed import seconds


def tables(results):
    """The whole text between the marks of docs/benchmarks.md."""
    parts = [*results["machine"], ""]
    if results["aims"]:
        parts += ["### the aims", "", *aims(results["aims"]), ""]
    for table in results["tables"]:
        parts += [f"### {table['title']}", "", *rows(table), ""]
        if table["note"]:
            parts += [table["note"], ""]
    if results["notes"]:
        parts += [*(f"- {note}" for note in results["notes"]), ""]
    return "\n".join(parts)


def aims(lines):
    yield "| case | beside | aim | measured | |"
    yield "|---|---|---|---|---|"
    for line in lines:
        ratio, aim = line["ratio"], line["aim"]
        case, beside = line["case"], line["beside"]
        if isinstance(aim, str):  # a limit in words, with the figure and whether it holds
            figure, holds = ratio if ratio else ("not measured", None)
            yield f"| {case} | {beside} | {aim} | {figure} | {mark(holds)} |"
        elif aim is None:
            yield f"| {case} | {beside} | – | {shown(ratio)} | |"
        else:
            holds = None if ratio is None else ratio <= aim
            yield f"| {case} | {beside} | ≤ {aim:g} × | {shown(ratio)} | {mark(holds)} |"


def shown(ratio):
    if ratio is None:
        return "not measured"
    return f"{ratio:.2f} ×" if ratio >= 0.1 else f"{ratio:.3f} ×"


def mark(holds):
    return {None: "", True: "holds", False: "**missed**"}[holds]


def rows(table):
    yield "| command | median | fastest to slowest | quartiles | times | vrift takes |"
    yield "|---|---|---|---|---|---|"
    first = statistics.median(table["rows"][0][1])
    for number, (label, times) in enumerate(table["rows"]):
        median = statistics.median(times)
        ratio = "–" if number == 0 else shown(first / median)
        low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else (median, median, median)
        spread = f"{seconds(min(times))} to {seconds(max(times))}"
        middle = f"{seconds(max(low, min(times)))} to {seconds(min(high, max(times)))}"
        yield f"| {label} | {seconds(median)} | {spread} | {middle} | {len(times)} | {ratio} |"
