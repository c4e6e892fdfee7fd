"""Parts about runs: their ends, joining them, what programs notice inside."""

import json
import os
import subprocess
import time

from bed import Case, Failed
from trees import known

# Run in a tree: times each command as often as told, and says so.
INSIDE = """
import json, subprocess, sys, time
times = []
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    times.append(time.perf_counter() - began)
print(json.dumps(times))
"""


def end(bed):
    """From a command's end to its run's end, when much was written."""
    count = 10_000
    bed.run("mkdir", "-p", "small", "ends")
    for number in range(count):
        directory = bed.path("small", f"d{number % 100}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, f"f{number}"), "w", encoding="ascii") as out:
            out.write(f"{number}\n" * (20 + number % 200))
    bed.run("vrift", "-q", "-C", "ends", "exec", "true")
    stamp = bed.path("stamp")

    def fresh():
        bed.run("vrift", "-q", "-C", "ends", "exec", "--no-sync", "--", "rm", "-rf", "out")
        bed.remove("copy")
        # each time contents that the store has not: else there would be nothing to store
        with open(bed.path("round"), "w", encoding="ascii") as out:
            out.write(str(time.time_ns()))
        bed.settle()

    copying = ('import os, shutil, sys, time\nmark = open(sys.argv[1]).read()\n'
               'for top, dirs, files in os.walk(sys.argv[2]):\n'
               '    here = os.path.join(sys.argv[3], os.path.relpath(top, sys.argv[2]))\n'
               '    os.makedirs(here, exist_ok=True)\n'
               '    for name in files:\n'
               '        text = open(os.path.join(top, name)).read()\n'
               '        open(os.path.join(here, name), "w").write(text + mark)\n'
               'open(sys.argv[4], "w").write(str(time.time_ns()))\n')

    def of_run():
        bed.run("vrift", "-q", "exec", "--no-sync", "--", "python3", "-c", copying, bed.path("round"),
                bed.path("small"), "out", stamp, cwd="ends")
        ended = time.time_ns()
        with open(stamp, encoding="ascii") as text:
            return (ended - int(text.read())) / 1e9

    cases = bed.compare(f"the end of a run that wrote {count:,} small files", [
        Case("from the command's end to the end of `vrift exec`", measure=of_run, prepare=fresh),
        Case("`cp -a small copy`", ["cp", "-a", "small", "copy"], prepare=fresh),
    ], 7)
    bed.aims_of(f"the end of a run that wrote {count:,} small files", cases, {"`cp": ("`cp -a` of them", 0.8)})
    bed.remove("small", "ends", "copy")


def end_of_few(bed):
    """The same end in a small and in a large project."""
    few, many = bed.scale.sizes[0], bed.scale.sizes[-1]
    cases = []
    for files in (many, few):
        name, _ = known(bed, files)
        stamp = bed.path("stamp")

        def of_run(name=name, stamp=stamp):
            bed.run("vrift", "-q", "exec", "--no-sync", "--", "python3", "-c",
                    'import sys, time\nfor n in range(10): open(f"new{n}", "w").write(f"{n} {time.time_ns()}")\n'
                    'open(sys.argv[1], "w").write(str(time.time_ns()))', stamp, cwd=name)
            ended = time.time_ns()
            with open(stamp, encoding="ascii") as text:
                return (ended - int(text.read())) / 1e9

        cases.append(Case(f"in {files:,} files", measure=of_run))
    cases = bed.compare("the end of a run that wrote ten files", cases, 40, warm=3)
    bed.aim(f"the end of a run that wrote 10 files in {many:,}", f"in {few:,}", 1.3, cases[0].median / cases[1].median)


def join(bed):
    """Joining a live session beside entering another running container."""
    bed.run("mkdir", "-p", "joined")
    bed.run("vrift", "-q", "-C", "joined", "exec", "true")
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": bed.path("joined"), "env": bed.env}
    say = ["sh", "-c", "echo ready; read line"]
    live = subprocess.Popen(["vrift", "exec", "--no-sync", "--", *say], **quiet)
    shell = subprocess.Popen(["unshare", "-Ump", "--fork", "--map-current-user", "--mount-proc", *say], **quiet)
    pod = None
    try:
        for process in (live, shell):
            process.stdout.readline()
        with open(f"/proc/{shell.pid}/task/{shell.pid}/children", encoding="ascii") as children:
            inner = children.read().split()[0]
        cases = [
            Case("`vrift exec --no-sync -- true`", ["vrift", "exec", "--no-sync", "--", "true"], cwd="joined"),
            Case("`nsenter -t PID -U -m -p --preserve-credentials true`",
                 ["nsenter", "-t", inner, "-U", "-m", "-p", "--preserve-credentials", "true"]),
        ]
        try:
            pod = podman(bed)
            cases.append(Case("`podman exec NAME true`", ["podman", *PODMAN, "exec", pod, "true"], env=runtime(bed)))
        except (Failed, OSError) as why:
            bed.leave_out("podman exec", why)
        cases = bed.compare("joining a live session", cases, 150, warm=5)
        bed.aims_of("joining a live session, `true`", cases,
                    {"`nsenter": ("nsenter into a running container", 1.2), "`podman": ("podman exec", 0.5)})
    finally:
        for process in (live, shell):
            process.stdin.close()
            process.wait()
        if pod:
            bed.run("podman", *PODMAN, "rm", "-f", "-t", "0", pod, env=runtime(bed), check=False)
            bed.run("podman", *PODMAN, "unshare", "rm", "-rf", bed.path("podman"), env=runtime(bed), check=False)


PODMAN = ["--log-level=error", "--cgroup-manager=cgroupfs"]


def runtime(bed):
    return {"XDG_RUNTIME_DIR": bed.path("podman-run"), "XDG_DATA_HOME": bed.path("podman")}


def podman(bed):
    """A running container without an image: its root is a directory with one static program."""
    if not bed.has("podman"):
        raise Failed("there is no podman")
    bed.run("mkdir", "-p", "root/bin", "root/proc", "root/sys", "root/dev", "root/etc", "root/tmp", "root/run", "podman-run")
    os.chmod(bed.path("podman-run"), 0o700)
    bed.run("cp", "/bin/busybox", "root/bin/busybox")
    for name in ("true", "sleep", "sh"):
        if not os.path.lexists(bed.path("root/bin", name)):
            os.symlink("busybox", bed.path("root/bin", name))
    return bed.run("podman", *PODMAN, "run", "-d", "--network=none", "--cgroups=disabled", "--rootfs", bed.path("root"),
                   "sleep", "600", env=runtime(bed)).splitlines()[-1]


def rounds_inside(bed, name, argv, times=4):
    """What each of some runs of a command in one fresh session takes."""
    return json.loads(bed.run("vrift", "-q", "exec", "--no-sync", "--", "python3", "-c", INSIDE, str(times), *argv, cwd=name))


def rounds_bare(bed, name, argv, times=4):
    return json.loads(bed.run("python3", "-c", INSIDE, str(times), *argv, cwd=name))


def inside(bed):
    """Programs that read a whole tree: first thing in a fresh session, and again."""
    import builds
    files = max(size for size in bed.scale.sizes if size <= 10_000)
    name, words = known(bed, files)
    bed.run("cp", "-a", name, "warm")
    for argv in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "tree"]):
        bed.run("git", *argv, cwd="warm")
    builds.c_project(bed.path("make"), 200, 2)
    bed.run("make", "-s", "-j2", "CFLAGS=-O0", cwd="make")
    jobs = [("warm", ["git", "status", "--porcelain"]), ("warm", ["find", ".", "-printf", "%s %T@\n"]),
            ("warm", ["du", "-s", "."]), ("make", ["make", "-s", "CFLAGS=-O0"])]
    for place in ("warm", "make"):
        bed.run("vrift", "-q", "-C", place, "exec", "true")
        bed.run("vrift", "-q", "-C", place, "exec", "git", "status") if place == "warm" else None
    for place, argv in jobs:
        shown = f"`{argv[0]} {argv[1]}`" if argv[0] == "git" else "an empty `make`" if argv[0] == "make" else f"`{argv[0]}`"
        again, first, bare = Case("inside, again"), Case("first in a fresh session"), Case("bare, warm")
        for _ in range(bed.scale.times(8, 3)):
            passes = rounds_inside(bed, place, argv)
            first.times.append(passes[0])
            again.times += passes[1:]
            bare.times += rounds_bare(bed, place, argv)[1:]
        bed.table(f"{shown} ({'200 C files' if place == 'make' else words})", [again, first, bare])
        bed.aim(f"{shown}, inside, second pass", "bare, warm", 1.2, again.median / bare.median)
        bed.aim(f"{shown}, first in a fresh session", "bare, warm", 2.5, first.median / bare.median)
    # stat of what is declared not to change is answered from a table
    table = subprocess_stats(bed)
    bed.aim("stat of 2,000 Tier-1 paths, with PSFS, second pass", "bare, warm", 0.7, table)
    bed.remove("warm", "make")


def subprocess_stats(bed):
    """A program that asks for the metadata of absolute paths, as compilers and make do for toolchains."""
    bed.run("mkdir", "-p", "tables/vendor")
    for number in range(2000):
        directory = bed.path("tables/vendor", f"part{number % 40}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, f"head{number}.h"), "w", encoding="ascii") as out:
            out.write(f"#define N{number} {number}\n")
    with open(bed.path("tables/vrift.toml"), "w", encoding="ascii") as out:
        out.write('[tier1]\npaths = ["vendor"]\n')
    with open(bed.path("tables/look.py"), "w", encoding="ascii") as out:
        out.write("import os, sys, time, glob\n"
                  "names = [os.path.join(top, f) for top, d, fs in os.walk(os.path.abspath('vendor')) for f in fs]\n"
                  "for n in names: os.stat(n)\n"
                  "began = time.perf_counter()\n"
                  "for _ in range(20):\n    for n in names: os.stat(n)\n"
                  "print((time.perf_counter() - began) / 20)\n")
    bed.run("vrift", "-q", "-C", "tables", "exec", "true")
    tabled, bare = Case("inside, from the table"), Case("bare")
    for _ in range(bed.scale.times(9, 3)):
        tabled.times.append(float(bed.run("vrift", "-q", "exec", "--no-sync", "--", "python3", "look.py", cwd="tables")))
        bare.times.append(float(bed.run("python3", "look.py", cwd="tables")))
    bed.table("2,000 stats by absolute path, of Tier-1 files", [tabled, bare])
    bed.remove("tables")
    return tabled.median / bare.median


def doors(bed):
    """The preload library: file renames, which it looks at and leaves to the kernel, and programs it is loaded into."""
    bed.run("mkdir", "-p", "doors")
    loops = bed.scale.times(20000, 1000)
    files = {
        "a": "x\n",
        "rename.py": 'import os, sys\nfor _ in range(int(sys.argv[1])):\n    os.rename("a", "b")\n    os.rename("b", "a")\n',
        "start.sh": "count=0\nwhile [ $count -lt $1 ]; do /bin/true; count=$((count + 1)); done\n",
    }
    for name, text in files.items():
        with open(bed.path("doors", name), "w", encoding="ascii") as out:
            out.write(text)
    bed.run("vrift", "-q", "-C", "doors", "exec", "true")
    for title, argv in [
        (f"{loops * 2} renames of a file", ["python3", "rename.py", str(loops)]),
        (f"{loops // 20} programs started", ["sh", "start.sh", str(loops // 20)]),
    ]:
        inner = " ".join(argv)
        run = ["vrift", "exec", "--no-sync"]
        bed.compare(title, [
            Case(f"`vrift exec --no-sync -- {inner}`", [*run, "--", *argv], cwd="doors"),
            Case(f"`vrift exec --no-sync --rename off -- {inner}`", [*run, "--rename", "off", "--", *argv], cwd="doors"),
            Case(f"`{inner}`", argv, cwd="doors"),
        ], 11)
    bed.remove("doors")
