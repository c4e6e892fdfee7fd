"""Looks without a pause at every process that appears: its descriptors, root, memory and
namespaces. Prints a line `OPEN what` for what it got of the store, and `seen N` at the end
of its standard input."""
import os, select, sys

STORE = os.environ["T_STORE"]
# what a process inside may see of another: the same as of itself
OWN = {name: os.readlink("/proc/self/ns/" + name) for name in ("mnt", "user")}
seen = set()
print("up", flush=True)

def is_of_the_store(path):
    try:
        # the cover itself, with the preload library, is for everybody
        if os.readlink(path).startswith(tuple(STORE + "/" + name for name in ("objects", "projects", "psfs", "lock", "format"))):
            return True
        return bool({"objects", "manifest.db", "session.json"} & set(os.listdir(path)))
    except OSError:
        return False

def others(pid):
    for name, own in OWN.items():
        try:
            yield name, os.readlink("/proc/%s/ns/%s" % (pid, name)) != own
        except OSError:
            pass

while not select.select([sys.stdin], [], [], 0)[0]:
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) in (1, os.getpid(), os.getppid()):
            continue
        seen.add(pid)
        for name, is_other in others(pid):
            if is_other:
                print("OPEN the %s namespace of %s" % (name, pid), flush=True)
        for kind in ("root", "cwd"):
            if is_of_the_store("/proc/%s/%s" % (pid, kind)):
                print("OPEN the %s of %s" % (kind, pid), flush=True)
        try:
            for number in os.listdir("/proc/%s/fd" % pid):
                if is_of_the_store("/proc/%s/fd/%s" % (pid, number)):
                    print("OPEN descriptor %s of %s" % (number, pid), flush=True)
        except OSError:
            pass
print("seen", len(seen), flush=True)
