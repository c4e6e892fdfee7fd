"""Parts about trees: starting, looking at them, taking them in, forking them. One tree a size."""

import os
import tempfile
import time

from bed import Case, Failed

SANDBOX = ["bwrap", "--unshare-user", "--unshare-pid", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
MIDDLE = 10_000  # the size that the aims are for


def tree(bed, files):
    """The tree of that size, made when it is first asked for; its directory and what it is in words."""
    name = f"tree-{files}"
    said = bed.path(f"{name}.said")
    if not os.path.exists(said):
        bed.say(f"making {files} files")
        hollow = ["--hollow"] if files >= 1_000_000 else []
        words = bed.run("python3", os.path.join(os.path.dirname(__file__), "tree.py"), *hollow, name, str(files))
        with open(said, "w", encoding="utf-8") as out:
            out.write(words)
    with open(said, encoding="utf-8") as words:
        return name, words.read().strip()


def known(bed, files):
    """The same, taken in and run once, so that it is shown; all sizes are in one store."""
    name, words = tree(bed, files)
    if not os.path.exists(bed.path(f"{name}.known")):
        bed.run("vrift", "-q", "-C", name, "exec", "true")
        bed.run("vrift", "-q", "-C", name, "exec", "true")
        open(bed.path(f"{name}.known"), "w", encoding="utf-8").close()
    return name, words


def git_beside(bed, name, directory="repository"):
    """The environment of a git whose directory lies beside the tree, so that all walk the same names."""
    return {"GIT_DIR": bed.path(directory), "GIT_WORK_TREE": bed.path(name)}


def start(bed):
    """`exec --no-sync -- true` beside the same namespaces by bubblewrap."""
    names = [known(bed, files)[0] for files in bed.scale.sizes]
    bed.settle()
    cases = [Case(f"`vrift -C {name} exec --no-sync -- true`",
                  ["vrift", "-C", name, "exec", "--no-sync", "--", "true"]) for name in names]
    sandbox = Case(f"`{' '.join(SANDBOX)} true`", [*SANDBOX, "true"])
    middle = bed.scale.sizes.index(min(bed.scale.sizes, key=lambda size: abs(size - MIDDLE)))
    first = cases.pop(middle)
    bed.compare("a run, without looking at the host", [first, *cases, sandbox], 250, warm=10)
    by_size = sorted(zip(bed.scale.sizes, [*cases[:middle], first, *cases[middle:]]), key=lambda pair: pair[0])
    for size, case in by_size:
        bed.curve("a run", "vrift", size, case.median)
        bed.curve("a run", "bubblewrap", size, sandbox.median)
    for size, case in by_size:
        if size >= MIDDLE:
            bed.aim(f"`exec --no-sync -- true`, {size:,} files", "bubblewrap, the same namespaces", 0.75,
                    case.median / sandbox.median)
    (small, few), (large, many) = by_size[0], by_size[-1]
    bed.aim(f"the same, {large:,} files", f"{small:,} files", 1.1, many.median / few.median)


def diff(bed):
    """Two states of the largest tree of which one has one file changed."""
    name, words = known(bed, bed.scale.sizes[-1])
    bed.run("vrift", "-q", "-C", name, "exec", "--no-sync", "--", "sh", "-c",
            'echo changed >"$(find . -type f -print -quit)"')
    bed.compare(f"what differs between two states, one file changed ({words})", [
        Case(f"`vrift -C {name} diff --name-status main~1 main`",
             ["vrift", "-C", name, "diff", "--name-status", "main~1", "main"]),
        Case("`vrift --version`", ["vrift", "--version"]),
    ], 60)


def sync(bed):
    """A look at a tree that is as it was."""
    for files in bed.scale.sizes:
        name, words = known(bed, files)
        git = git_beside(bed, name)
        bed.remove("repository")
        bed.run("git", "init", "-q", env=git)
        bed.run("git", "add", "-A", cwd=name, env=git)
        bed.run("git", "commit", "-q", "-m", "tree", cwd=name, env=git)
        time.sleep(1.1)  # what was written in the tick of a walk is read once more
        bed.run("vrift", "-q", "sync", cwd=name)
        bed.run("git", "status", cwd=name, env=git)
        cases = bed.compare(f"sync of an unchanged tree ({words})", [
            Case("`vrift sync`", ["vrift", "sync"], cwd=name),
            Case("`find -printf '%s %T@\\n'`", ["find", "-printf", "%s %T@\n"], cwd=name),
            Case("`git status --porcelain`", ["git", "status", "--porcelain"], cwd=name, env=git),
        ], 40 if files <= MIDDLE else 10, warm=3, note="git's directory lies beside the tree.")
        for case, line in zip(cases, ["vrift", "find", "git status"]):
            bed.curve("sync of an unchanged tree", line, files, case.median)
        if files == MIDDLE:
            bed.aims_of(f"sync of an unchanged tree, {files:,} files", cases,
                        {"`find": ("`find -printf`", 0.7), "`git": ("`git status`", 0.6)})
        bed.remove("repository")


def take_in(bed):
    """Reading, hashing and storing all of it for the first time, the cache warm."""
    for files in bed.scale.sizes:
        if files >= 1_000_000:
            continue  # a tree of holes
        name, words = tree(bed, files)
        git = git_beside(bed, name)
        made = ["store-fresh", "copy", "synced", "repository", "ostree", "restic"]

        def fresh(*then, made=made, git=git):
            """Each begins without any result, and with nothing left to be written back."""
            def prepare():
                bed.remove(*made)
                for argv in then:
                    bed.run(*argv, env=git | {"RESTIC_PASSWORD": "bench"})
                bed.settle()
            return prepare

        restic = ["restic", "-q", "--no-cache", "-r", "restic"]
        cases = [
            Case(f"`vrift -C {name} sync`", ["vrift", "-C", name, "sync"], prepare=fresh(),
                 env={"VRIFT_STORE": bed.path("store-fresh")}),
            Case(f"`cp -a {name} copy`", ["cp", "-a", name, "copy"], prepare=fresh()),
        ]
        if files <= MIDDLE:
            cases += [
                Case(f"`rsync -a {name}/ synced/`", ["rsync", "-a", f"{name}/", "synced/"], prepare=fresh()),
                Case("`git add -A`", ["git", "add", "-A"], cwd=name, env=git, prepare=fresh(["git", "init", "-q"])),
                Case(f"`ostree commit --repo=ostree -b main --tree=dir={name}`",
                     ["ostree", "commit", "--repo=ostree", "-b", "main", f"--tree=dir={name}"],
                     prepare=fresh(["ostree", "init", "--repo=ostree", "--mode=bare-user"])),
                Case(f"`restic -q --no-cache -r restic backup {name}`", [*restic, "backup", name],
                     env={"RESTIC_PASSWORD": "bench"}, prepare=fresh([*restic, "init"])),
            ]
        cases = bed.compare(f"first take-in ({words}; warm cache)", cases, 7 if files <= MIDDLE else 3)
        lines = {"`vrift": "vrift", "`cp": "cp -a", "`git": "git add"}
        for case in cases:
            line = next((line for beginning, line in lines.items() if case.label.startswith(beginning)), None)
            if line:
                bed.curve("first take-in", line, files, case.median)
        if files == MIDDLE:
            bed.aims_of(f"first take-in, {files:,} files", cases, {
                "`cp": ("`cp -a`", 1.0), "`git": ("`git add`", 0.3),
                "`ostree": ("ostree commit", 0.3), "`restic": ("restic backup", 0.3),
            })
        bed.remove(*made)


def memory_tree(bed):
    """A first take-in where no disk is: files a second and core."""
    files = min(MIDDLE, bed.scale.sizes[-1])
    try:
        place = tempfile.mkdtemp(prefix="vrift-bench.", dir="/dev/shm")
    except OSError as why:
        bed.leave_out("a first take-in on tmpfs", why)
        return
    try:
        name, words = tree(bed, files)
        bed.run("cp", "-a", name, f"{place}/tree")
        cores = len(os.sched_getaffinity(0))

        def prepare():
            bed.run("rm", "-rf", f"{place}/store")

        cases = bed.compare(f"first take-in on tmpfs ({words})", [
            Case("`vrift -C tree sync`", ["vrift", "-C", f"{place}/tree", "sync"],
                 env={"VRIFT_STORE": f"{place}/store"}, prepare=prepare),
            Case("`cp -a tree copy`", ["cp", "-a", f"{place}/tree", f"{place}/copy"],
                 prepare=lambda: bed.run("rm", "-rf", f"{place}/copy")),
        ], 9, note=f"On {cores} processors.")
        rate = files / cases[0].median / cores
        bed.aim("first take-in on tmpfs, files a second", "a core", "≥ 14,000", (f"{rate:,.0f}", rate >= 14000))
    finally:
        bed.run("chmod", "-R", "u+rwX", place, check=False)
        bed.run("rm", "-rf", place)


def fork(bed):
    """A second tree: a fork with its first run, a copy of links, git's worktree, a copy."""
    for files in bed.scale.sizes:
        if files >= 1_000_000:
            continue
        name, words = tree(bed, files)
        store = {"VRIFT_STORE": bed.path("store-forks")}
        bed.run("git", "init", "-q", cwd=name)
        bed.run("git", "config", "gc.auto", "0", cwd=name)  # it would take files away under cp
        bed.run("git", "add", "-A", cwd=name)
        bed.run("git", "commit", "-q", "-m", "tree", cwd=name)
        bed.run("vrift", "-q", "-C", name, "exec", "true", env=store)

        def again(*argv, then=None, env=store):
            def prepare():
                bed.run(*argv, env=env, check=False)
                if then:
                    bed.run(*then)
            return prepare

        prune = ["git", "-C", name, "worktree", "prune"]
        cases = bed.compare(f"a fork and its first run ({words}, and the repository)", [
            Case(f"`vrift -q -C {name} exec --no-sync --fork f -- true`",
                 ["vrift", "-q", "-C", name, "exec", "--no-sync", "--fork", "f", "--", "true"], env=store,
                 prepare=again("vrift", "-q", "-C", name, "workspace", "delete", "f")),
            Case(f"`cp -al {name} copy`", ["cp", "-al", name, "copy"], prepare=again("rm", "-rf", "copy")),
            Case(f"`git -C {name} worktree add -q --detach ../worktree`",
                 ["git", "-C", name, "worktree", "add", "-q", "--detach", "../worktree"],
                 prepare=again("rm", "-rf", "worktree", then=prune)),
            Case(f"`cp -a {name} copy`", ["cp", "-a", name, "copy"], prepare=again("rm", "-rf", "copy")),
        ], 15 if files <= MIDDLE else 3)
        for case, line in zip(cases, ["vrift", "cp -al", "git worktree", "cp -a"]):
            bed.curve("a fork and its first run", line, files, case.median)
        bed.remove("copy", "worktree")
        bed.run(*prune)
        if files == MIDDLE:
            bed.aims_of(f"a fork and its first run, {files:,} files", cases,
                        {"`cp -al": ("`cp -al`", 0.03), "`git": ("`git worktree add`", 0.02)})
            disk(bed, name, store)
        bed.remove("store-forks", f"{name}/.git")


def taken(bed, *paths):
    """Bytes of disk below the last path and not below the others: links count once."""
    said = bed.run("du", "-s", "--block-size=1", *paths, check=False)
    return int(said.splitlines()[-1].split()[0])


def disk(bed, name, store):
    """What a second tree takes on the disk, and a hundred forks."""
    kib = lambda count: f"{(count + 512) // 1024} KiB"
    before, began = taken(bed, "store-forks"), time.monotonic()
    for number in range(100):
        bed.run("vrift", "-q", "-C", name, "exec", "--no-sync", "--fork", f"w{number}", "--", "true", env=store)
    one_by_one = time.monotonic() - began
    of_fork = (taken(bed, "store-forks") - before) // 100
    began = time.monotonic()
    bed.run("sh", "-c", "seq 0 99 | xargs -P 100 -I N vrift -q -C " + name + " exec --no-sync -w wN -- "
            "sh -c 'echo N >mine && test \"$(cat mine)\" = N'", env=store)
    at_once = time.monotonic() - began
    for number in (0, 50, 99):
        mine = bed.run("vrift", "-C", name, "exec", "--no-sync", "-w", f"w{number}", "--", "cat", "mine", env=store)
        if mine != str(number):
            raise Failed(f"fork w{number} has not its own file")
    before = taken(bed, f"{name}/.git")
    bed.run("git", "-C", name, "worktree", "add", "-q", "--detach", "../worktree")
    of_worktree = taken(bed, "worktree") + taken(bed, f"{name}/.git") - before
    bed.remove("worktree")
    bed.run("cp", "-al", name, "copy")
    of_links = taken(bed, name, "copy")
    bed.remove("copy")
    bed.run("cp", "-a", name, "copy")
    of_copy = taken(bed, "copy")
    bed.remove("copy")
    bed.tables[-1]["note"] = "\n".join([
        "| a second tree | disk |", "|---|---|",
        f"| a fork and its first run (the mean of 100) | {kib(of_fork)} |",
        f"| `cp -al`, whose files are the first tree's own | {kib(of_links)} |",
        f"| `git worktree add` | {kib(of_worktree)} |",
        f"| `cp -a` | {kib(of_copy)} |", "",
        f"A hundred forks, each with its first run, were made one after the other in {one_by_one * 1000:.0f} ms. "
        "A hundred runs at once, one in each",
        f"of them and each writing a file that the others do not see, took {at_once * 1000:.0f} ms from the first "
        "start to the last end.",
    ])


def memory(bed):
    """The largest resident set of a launcher."""
    files = max(size for size in bed.scale.sizes if size <= 100_000)
    name, words = known(bed, files)
    fresh = {"VRIFT_STORE": bed.path("store-fresh")}
    jobs = [
        ("exec", ["exec", "--no-sync", "--", "true"], {}, 16),
        ("sync, nothing changed", ["sync"], {}, 100),
        ("first sync", ["sync"], fresh, 100),
    ]
    # A process begins with the peak of who made it: time's own is small, this program's is not.
    peak = bed.path("peak")
    for label, words, env, limit in jobs:
        bed.run("/usr/bin/time", "-f", "%M", "-o", peak, "vrift", "-C", name, *words, env=env)
        with open(peak, encoding="utf-8") as said:
            used = int(said.read()) * 1024 / 1e6
        bed.aim(f"launcher's peak memory, {files:,} files: {label}", "", f"≤ {limit} MB",
                (f"{used:.1f} MB", used <= limit))
    bed.remove("store-fresh")


def commit(bed):
    """Sealing a state, ten files of many touched."""
    files = max(size for size in bed.scale.sizes if size <= 100_000)
    name, words = known(bed, files)
    names = []
    for top, dirs, found in os.walk(bed.path(name)):
        names += [os.path.relpath(os.path.join(top, file), bed.path(name)) for file in found]
        if len(names) >= 10:
            break
    touch = lambda: bed.run("vrift", "-q", "-C", name, "exec", "--no-sync", "--", "touch", *sorted(names)[:10])
    bed.compare(f"sealing a state, ten files touched ({words})", [
        Case(f"`vrift -q -C {name} commit --no-sync`", ["vrift", "-q", "-C", name, "commit", "--no-sync"], prepare=touch),
        Case("`sync -f .`", ["sync", "-f", "."], prepare=touch),
    ], 15, note="A commit is durable when it returns. The other line is what one `syncfs` of that filesystem takes "
                "after the same run, without any commit.")
