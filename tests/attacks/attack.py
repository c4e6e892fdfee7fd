"""Tries to get at the store, at init and at the machine from inside a run. Prints a line
`OPEN what` for each way that works, and `tried N` at the end."""
import ctypes, os, stat, struct, subprocess, sys, errno

libc = ctypes.CDLL(None, use_errno=True)
STORE, PROJECT, HANDLE, BINARY = (os.environ[name] for name in ("T_STORE", "T_PROJECT", "T_HANDLE", "T_BINARY"))
HANDLE_TYPE, HANDLE = int(HANDLE.split(":")[0]), bytes.fromhex(HANDLE.split(":")[1])
CONFINED = os.environ.get("T_CONFINED") == "1"
tried = 0
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC = 1, 32, 4096, 8192, 16384

def call(name, *args):
    result = getattr(libc, name)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result

def syscall(number, *args):
    return call("syscall", ctypes.c_long(number), *args)

def attempt(name, work):
    """`work` says True when it got somewhere; anything else, and every error, is a refusal."""
    global tried
    tried += 1
    try:
        if work() is True:
            print("OPEN", name, flush=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        pass

def mount(source, target, kind, flags, data=None):
    return call("mount", source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data)

def store_is_seen(at=STORE):
    return os.path.isdir(os.path.join(at, "objects"))

def then_seen(work, at=STORE):
    def both():
        work()
        return store_is_seen(at)
    return both

def works(work):
    def done():
        work()
        return True
    return done

def by_handle(directory):
    """Opens an object of the store by its file handle (open_by_handle_at)."""
    def open_it():
        at = os.open(directory, os.O_RDONLY)
        try:
            handle = struct.pack("Ii", len(HANDLE), HANDLE_TYPE) + HANDLE
            fd = syscall(304, at, ctypes.create_string_buffer(handle, len(handle)), os.O_RDONLY)
            os.close(fd)
            return True
        finally:
            os.close(at)
    return open_it

def mounts(prefix):
    os.makedirs("at", exist_ok=True)
    here = os.path.join(os.getcwd(), "at")
    top = os.path.dirname(STORE)
    attempt(prefix + "umount the cover", then_seen(lambda: call("umount2", STORE.encode(), 2)))
    attempt(prefix + "umount the view", lambda: call("umount2", PROJECT.encode(), 2) == 0)
    attempt(prefix + "remount the cover writable", works(lambda: mount("none", STORE, None, MS_REMOUNT | MS_BIND)))
    attempt(prefix + "bind what is below the cover", then_seen(lambda: mount(top, here, None, MS_BIND), here + "/" + os.path.basename(STORE)))
    attempt(prefix + "bind all of it", then_seen(lambda: mount(top, here, None, MS_BIND | MS_REC), here + "/" + os.path.basename(STORE)))
    attempt(prefix + "bind the root alone", then_seen(lambda: mount("/", here, None, MS_BIND), here + STORE))
    attempt(prefix + "move the cover", then_seen(lambda: mount(STORE, here, None, MS_MOVE)))
    def open_tree():
        fd = syscall(428, -100, top.encode(), 1)
        return "objects" in os.listdir("/proc/self/fd/%d/%s" % (fd, os.path.basename(STORE)))
    attempt(prefix + "clone the tree without the cover", open_tree)
    def clear():
        # struct mount_attr: set, clear, propagation, userns
        attr = struct.pack("QQQQ", 0, 1, 0, 0)
        syscall(442, -100, STORE.encode(), 0, ctypes.create_string_buffer(attr, 32), 32)
        with open(os.path.join(STORE, "new"), "w"): pass
        return True
    attempt(prefix + "mount_setattr the cover", clear)
    if CONFINED:
        def writable():
            attr = struct.pack("QQQQ", 0, 1, 0, 0)
            syscall(442, -100, b"/", 0x8000, ctypes.create_string_buffer(attr, 32), 32)
            with open(os.path.join(top, "new"), "w"): pass
            return True
        attempt(prefix + "make the machine writable", writable)
        attempt(prefix + "remount the machine", works(lambda: mount("none", "/", None, MS_REMOUNT | MS_BIND)))
        attempt(prefix + "bind the machine writable", works(lambda: (mount("/", here, None, MS_BIND | MS_REC), open(here + top + "/new", "w"))))
    attempt(prefix + "pivot", then_seen(lambda: syscall(155, here.encode(), here.encode())))
    # an overlay's lower is a mount's clone, without what is mounted on it
    def through_overlay(lower):
        def see():
            mount("overlay", here, "overlay", 0, ("lowerdir=%s:%s,userxattr" % (lower, here)).encode())
            try:
                return store_is_seen(here + "/" + os.path.basename(STORE)) or store_is_seen(here)
            finally:
                libc.umount2(here.encode(), 2)
        return see
    for lower in (top, STORE, "/proc/1/root" + STORE, "/proc/self/root" + top):
        attempt(prefix + "an overlay over " + lower, through_overlay(lower))
    device = "/dev/" + os.path.basename(os.path.realpath("/sys/dev/block/%d:%d" % (os.major(os.stat(top).st_dev), os.minor(os.stat(top).st_dev))))
    for kind in ("ext4", "xfs", "btrfs"):
        attempt(prefix + "mount the store's disk as " + kind, works(lambda: mount(device, here, kind, MS_RDONLY)))
    def moved_root():
        mount("tmpfs", here, "tmpfs", 0)
        os.makedirs(here + "/old", exist_ok=True)
        syscall(155, here.encode(), (here + "/old").encode())
        return store_is_seen("/old" + STORE)
    def in_a_child(work):
        # it would change our own root
        def done():
            child = os.fork()
            if child == 0:
                try:
                    os._exit(0 if work() is True else 1)
                except BaseException:
                    os._exit(1)
            return os.waitpid(child, 0)[1] == 0
        return done
    attempt(prefix + "pivot to a root of our own and uncover", in_a_child(moved_root))
    attempt(prefix + "open an object by handle", by_handle("/"))
    attempt(prefix + "open an object by handle from beside", by_handle(top))
    attempt(prefix + "open an object by handle from the view", by_handle(PROJECT))

def init():
    for name in ("ns/mnt", "ns/user", "ns/pid", "exe", "mem", "environ", "maps", "auxv"):
        attempt("open /proc/1/" + name, works(lambda: os.close(os.open("/proc/1/" + name, os.O_RDONLY))))
    for name in ("root", "cwd", "map_files", "task/1/root"):
        attempt("list /proc/1/" + name, lambda: len(os.listdir("/proc/1/" + name)) > 0)
    for number in range(3, 32):
        attempt("open a descriptor of init's", works(lambda: os.readlink("/proc/1/fd/%d" % number)))
    attempt("write init's memory", works(lambda: os.close(os.open("/proc/1/mem", os.O_RDWR))))
    attempt("trace init", works(lambda: call("ptrace", 16, 1, 0, 0)))
    attempt("seize init", works(lambda: call("ptrace", 0x4206, 1, 0, 0)))
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("QQ", ctypes.addressof(buffer), 8)
    remote = struct.pack("QQ", 0x400000, 8)
    for name, number in (("read", 310), ("write over", 311)):
        attempt(name + " init's memory by process_vm", works(lambda: syscall(number, 1, local, 1, remote, 1, 0)))
    attempt("compare with init", works(lambda: syscall(312, os.getpid(), 1, 0, 0, 0)))
    def take():
        pidfd = syscall(434, 1, 0)
        return any(syscall(438, pidfd, number, 0) >= 0 for number in range(3, 16))
    attempt("take init's descriptors", take)
    def enter():
        pidfd = syscall(434, 1, 0)
        syscall(308, pidfd, 0x00020000)
        return store_is_seen()
    attempt("enter init's mounts", enter)
    attempt("kill init", lambda: os.kill(1, 9) is None and False)

def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]

def leads_into_the_store(path):
    """Whether a descriptor's link or a directory is of the store, however it is named."""
    try:
        # the cover itself, with the preload library, is for everybody
        if os.readlink(path).startswith(tuple(STORE + "/" + name for name in ("objects", "projects", "psfs", "lock", "format"))):
            return True
    except OSError:
        pass
    return "objects" in os.listdir(path) or "manifest.db" in os.listdir(path)

def descriptors():
    """Every descriptor, working directory and root that /proc shows, our own too."""
    for pid in pids() + ["self", "thread-self"]:
        for kind in ("cwd", "root"):
            attempt("the %s of %s" % (kind, pid), lambda: leads_into_the_store("/proc/%s/%s" % (pid, kind)))
            attempt("write by the %s of %s" % (kind, pid), works(lambda: open("/proc/%s/%s%s/new" % (pid, kind, STORE), "w")))
        try:
            numbers = os.listdir("/proc/%s/fd" % pid)
        except OSError:
            continue
        for number in numbers:
            attempt("descriptor %s of %s" % (number, pid), lambda: leads_into_the_store("/proc/%s/fd/%s" % (pid, number)))

def named_paths():
    """Paths that mountinfo tells, some from the store on: upper, work, lowers, and what lies beside them."""
    told = set()
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        told.add(left.split()[3])
        for option in right.split()[2].split(","):
            if "=" in option:
                told.update(os.path.join(STORE, part) for part in option.split("=", 1)[1].split(":"))
    told = {path for path in told if path.startswith((STORE + "/projects/", STORE + "/objects"))}
    for path in sorted(told | {os.path.dirname(os.path.dirname(path)) for path in told if "/projects/" in path}):
        attempt("the path " + path, lambda: os.path.lexists(path))
        attempt("open by the path " + path, works(lambda: os.close(os.open(path, os.O_PATH))))
        attempt("write by the path " + path, works(lambda: open(path + "/new", "w")))
        attempt("link by the path " + path, works(lambda: os.link(path, "linked")))
        attempt("rename by the path " + path, works(lambda: os.rename(path, PROJECT + "/moved")))
    print("told", sum(path.endswith("/upper") for path in told), flush=True)

def launcher():
    """The process that started us, by the number it has outside; without a pid namespace it is seen here."""
    pid = int(os.environ.get("T_LAUNCHER", "0")) or os.getppid()
    if pid == 0:
        return
    attempt("trace the launcher", works(lambda: call("ptrace", 16, pid, 0, 0)))
    attempt("seize the launcher", works(lambda: call("ptrace", 0x4206, pid, 0, 0)))
    for name in ("mem", "environ", "maps", "exe", "ns/mnt", "ns/user", "syscall", "auxv"):
        attempt("open the launcher's " + name, works(lambda: os.read(os.open("/proc/%d/%s" % (pid, name), os.O_RDONLY), 1)))
    # the numbers of its descriptors may be listed by who has its uid; what they are may not be seen
    for name in ("cwd", "root", "fd/3", "fd/4", "fd/5", "map_files"):
        attempt("list the launcher's " + name, works(lambda: os.listdir("/proc/%d/%s" % (pid, name))))
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("QQ", ctypes.addressof(buffer), 8)
    remote = struct.pack("QQ", 0x400000, 8)
    for name, number in (("read", 310), ("write over", 311)):
        attempt(name + " the launcher's memory", works(lambda: syscall(number, pid, local, 1, remote, 1, 0)))
    def take():
        pidfd = syscall(434, pid, 0)
        return any(syscall(438, pidfd, number, 0) >= 0 for number in range(3, 16))
    attempt("take the launcher's descriptors", take)
    for flags in (0x00020000, 0x10000000, 0x10000000 | 0x00020000):
        def enter():
            syscall(308, syscall(434, pid, 0), flags)
            return store_is_seen()
        attempt("enter the launcher's namespaces %x" % flags, enter)

def stop_init():
    """A process that may be stopped would keep everybody waiting; in a pid namespace init may not."""
    def stopped():
        for signal in (19, 20, 21, 22):
            os.kill(1, signal)
        return open("/proc/1/stat").read().rsplit(")", 1)[1].split()[0] in "tT"
    if os.path.exists("/proc/1/comm") and open("/proc/1/comm").read() == "vrift-init\n":
        attempt("stop init", stopped)

def type_ahead():
    for fd in range(3):
        attempt("type into descriptor %d" % fd, works(lambda: call("ioctl", fd, 0x5412, b"x")))
        attempt("type with a high half", works(lambda: call("ioctl", fd, ctypes.c_ulong(0x5412 | 1 << 32), b"x")))
    def terminal():
        fd = os.open("/dev/tty", os.O_RDWR)
        return call("ioctl", fd, 0x5412, b"x") == 0
    attempt("type into the terminal", terminal)

def files():
    attempt("see the store", store_is_seen)
    attempt("write in the cover", works(lambda: open(os.path.join(STORE, "new"), "w")))
    attempt("remove from the cover", works(lambda: os.unlink(os.path.join(STORE, "inside.json"))))
    device = os.stat(os.path.dirname(STORE)).st_dev
    def disk():
        os.mknod("disk", 0o600 | stat.S_IFBLK, device)
        return len(os.read(os.open("disk", os.O_RDONLY), 512)) > 0
    attempt("make the store's disk", disk)
    def disk_elsewhere():
        os.mknod("/tmp/vrift-disk", 0o600 | stat.S_IFBLK, device)
        return True
    attempt("make a disk elsewhere", disk_elsewhere)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        attempt("the root of " + pid, lambda: store_is_seen("/proc/%s/root%s" % (pid, STORE)))
    def chroot():
        child = os.fork()
        if child == 0:
            try:
                os.chroot("at"); os.chdir("../../../../../../../..")
                os._exit(0 if os.path.isdir("." + STORE + "/objects") else 1)
            except OSError:
                os._exit(1)
        return os.waitpid(child, 0)[1] == 0
    os.makedirs("at", exist_ok=True)
    attempt("leave by chroot", chroot)
    if CONFINED:
        attempt("write over vrift", works(lambda: os.close(os.open(BINARY, os.O_WRONLY))))
        attempt("change vrift's mode", works(lambda: os.chmod(BINARY, 0o777)))
        attempt("set a core pattern", works(lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))))
        attempt("pull the trigger", works(lambda: os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))))
        attempt("a helper of the kernel's", works(lambda: os.close(os.open("/sys/kernel/uevent_helper", os.O_WRONLY))))
        attempt("a group's release agent", works(lambda: os.close(os.open("/sys/fs/cgroup/pids/release_agent", os.O_WRONLY))))
        for directory, _, names in os.walk("/dev"):
            for name in names:
                path = os.path.join(directory, name)
                attempt("the disk " + path, lambda: stat.S_ISBLK(os.lstat(path).st_mode))

def trick():
    """A script whose interpreter is /proc/self/exe makes the launcher's child run vrift
    itself (CVE-2019-5736); somebody else takes hold of its exe and changes the file."""
    def through_exe():
        before = os.stat(BINARY)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) == os.getpid():
                continue
            try:
                path = "/proc/%s/exe" % pid
                if os.stat(path).st_ino == before.st_ino and os.stat(path).st_dev == before.st_dev:
                    os.chmod(path, before.st_mode & 0o7777 | 0o001)
                    return True
            except OSError:
                pass
    if CONFINED:
        attempt("change vrift through an exe", through_exe)

files()
descriptors()
named_paths()
init()
launcher()
stop_init()
type_ahead()
mounts("")
trick()
try:
    child = os.fork()
    if child == 0:
        uid, gid = os.getuid(), os.getgid()
        try:
            # user, mount, pid and network namespace below our own: every capability there
            call("unshare", 0x10000000 | 0x00020000 | 0x40000000)
            for name, text in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
                with open("/proc/self/" + name, "w") as f: f.write(text)
        except OSError as error:
            print("no namespace below:", error); os._exit(0)
        mounts("below: ")
        def fresh_proc():
            with open("/proc/sys/kernel/core_pattern", "w"): return True
        if CONFINED:
            attempt("below: write core_pattern", fresh_proc)
            attempt("below: a fresh sysfs", works(lambda: (mount("sysfs", "at", "sysfs", 0), open("at/kernel/uevent_helper", "w"))))
        init()
        launcher()
        descriptors()
        named_paths()
        sys.stdout.flush()
        print("tried", tried, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
finally:
    print("tried", tried, flush=True)
