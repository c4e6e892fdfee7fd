"""Timing commands in alternation, and keeping what came of it.

A case is one command of a comparison. The cases of a comparison take turns, the first one first in every
other round, so that whatever else the machine does meets all of them. Times are from just before the
process is made to just after it was waited for.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field


class Failed(Exception):
    """A command did not do what it was to do."""


@dataclass
class Case:
    """One command; `prepare` is run before each time and not timed, `measure` takes the command's place and
    returns seconds."""

    label: str
    argv: list = field(default_factory=list)
    cwd: str = "."
    env: dict = field(default_factory=dict)
    prepare: object = None
    measure: object = None
    times: list = field(default_factory=list)

    @property
    def median(self):
        return statistics.median(self.times)


@dataclass
class Scale:
    """How much is measured."""

    sizes: list
    rounds: float = 1.0

    def times(self, usual, least=2):
        return max(least, round(usual * self.rounds))


class Bed:
    """A directory to measure in, an environment that is nobody's, and the results so far."""

    def __init__(self, scratch, vrift, scale):
        self.scratch = os.path.realpath(scratch)
        self.scale = scale
        self.home = self.path("home")
        self.aims, self.tables, self.curves, self.notes = [], [], {}, []
        os.makedirs(self.home, exist_ok=True)
        os.makedirs(self.path("bin"), exist_ok=True)
        if not os.path.lexists(self.path("bin", "vrift")):
            os.symlink(os.path.realpath(vrift), self.path("bin", "vrift"))
        keep = {name: os.environ[name] for name in ("TMPDIR", "USER", "LOGNAME") if name in os.environ}
        self.env = keep | {
            "HOME": self.home,
            "PATH": self.path("bin") + ":" + os.environ.get("PATH", "/usr/bin:/bin"),
            "LC_ALL": "C",
            "VRIFT_STORE": self.path("store"),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "bench",
            "GIT_AUTHOR_EMAIL": "bench@localhost",
            "GIT_COMMITTER_NAME": "bench",
            "GIT_COMMITTER_EMAIL": "bench@localhost",
        }

    def path(self, *parts):
        return os.path.join(self.scratch, *parts)

    def has(self, tool):
        return shutil.which(tool, path=self.env["PATH"]) is not None

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def run(self, *argv, cwd=".", env=None, check=True):
        """Runs a command that is not measured; its output."""
        done = subprocess.run(
            argv, cwd=self.path(cwd), env=self.env | (env or {}), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
        )
        if check and done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            words = " ".join(word.splitlines()[0] if word.strip() else "''" for word in argv)
            raise Failed(f"{words}: {said[-1] if said else f'status {done.returncode}'}")
        return done.stdout.decode(errors="replace").strip()

    def remove(self, *names):
        for name in names:
            if name.startswith("store"):
                self.run("chmod", "-R", "u+rwX", name, check=False)
                # whoever writes a store out in the background may make a file in it meanwhile
                self.run("rm", "-rf", name, check=False)
            self.run("rm", "-rf", name)

    def settle(self):
        """Nothing is left to be written back."""
        self.run("sync", "-f", ".")

    def once(self, case):
        """Runs a case; seconds."""
        if case.prepare:
            case.prepare()
        if case.measure:
            return case.measure()
        env = self.env | case.env
        program = shutil.which(case.argv[0], path=env["PATH"])
        if program is None:
            raise Failed(f"there is no {case.argv[0]}")
        said = self.path("said")
        os.chdir(self.path(case.cwd))
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        ]
        began = time.perf_counter()
        child = os.posix_spawn(program, case.argv, env, file_actions=actions)
        _, status = os.waitpid(child, 0)
        took = time.perf_counter() - began
        os.chdir(self.scratch)
        if status != 0:
            with open(said, encoding="utf-8", errors="replace") as lines:
                last = lines.read().strip().splitlines()
            raise Failed(f"{case.label}: {last[-1] if last else f'wait status {status}'}")
        return took

    def compare(self, title, cases, rounds, warm=1, note=""):
        """Measures the cases in alternation and keeps a table; a case that fails at first is left out and said."""
        able = []
        for case in cases:
            try:
                for _ in range(max(1, warm)):
                    self.once(case)
                able.append(case)
            except (Failed, OSError) as why:
                if case is cases[0]:
                    raise
                self.leave_out(case.label, why)
        for number in range(self.scale.times(rounds)):
            for case in able if number % 2 == 0 else reversed(able):
                case.times.append(self.once(case))
        self.table(title, able, note)
        return able

    def leave_out(self, label, why):
        self.say(f"left out: {label}: {why}")
        self.notes.append(f"Not measured: `{label}`: {why}.")

    def table(self, title, cases, note=""):
        rows = [(case.label, list(case.times)) for case in cases if case.times]
        self.tables.append({"title": title, "rows": rows, "note": note})
        shown = ", ".join(f"{label} {seconds(statistics.median(times))}" for label, times in rows)
        self.say(f"{title}: {shown}")

    def aim(self, case, beside, aim, ratio):
        """A line of the table of aims: `ratio` is what was measured, `None` where nothing could be."""
        self.aims.append({"case": case, "beside": beside, "aim": aim, "ratio": ratio})

    def aims_of(self, case, cases, aims):
        """A line for each peer: the first case's median over that of the one whose label begins so."""
        ours = cases[0].median
        for beginning, (beside, aim) in aims.items():
            found = [other for other in cases[1:] if other.label.startswith(beginning)]
            self.aim(case, beside, aim, ours / found[0].median if found else None)

    def curve(self, panel, line, size, value):
        """A point of the plot."""
        self.curves.setdefault(panel, {}).setdefault(line, []).append([size, value])


def seconds(value):
    if value < 1:
        return f"{value * 1000:.3g} ms" if value * 1000 < 100 else f"{value * 1000:.0f} ms"
    return f"{value:.2f} s"
