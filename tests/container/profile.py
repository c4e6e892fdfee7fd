#!/usr/bin/python3
"""Seccomp profiles of container engines, as data: which system calls a container may make.

    tests/container/profile.py default     what Docker applies unasked (engine 28, on x86-64 and arm64)
    tests/container/profile.py vrift       the same and what vrift needs: contrib/seccomp.json

Prints JSON in the engines' format (names, arguments, `includes` and `excludes` by capability). As a
module it gives the same to tests/container/run, which applies it, and compiles it to BPF.
"""
import json
import re
import struct
import sys

ALLOWED = """
 accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
 recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
 access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
 faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown
 fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
 fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents
 getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl
 lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr _llseek
 lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at
 newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
 readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir
 sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx symlink
 symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime
 utimensat utimensat_time64 utimes vmsplice write writev
 adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
 clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer
 time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
 timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
 timerfd_settime64 times
 brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall
 mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
 pkey_mprotect process_mrelease remap_file_pages
 capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
 getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid
 setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32
 setreuid setreuid32 setuid setuid32
 execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrlimit
 get_robust_list getrusage getsid get_thread_area gettid ioprio_get ioprio_set kill
 landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal
 prctl prlimit64 restart_syscall rseq sched_getaffinity sched_getattr sched_getparam
 sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
 sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
 sched_yield seccomp setpgid setpriority setrlimit set_robust_list setsid set_thread_area
 set_tid_address sysinfo tgkill tkill ugetrlimit uname uretprobe vfork wait4 waitid waitpid
 getrandom riscv_hwprobe
 pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
 rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4
 sigprocmask sigreturn
 cachestat epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
 epoll_wait_old eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
 _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select
 ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
 mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
 semtimedop_time64 shmat shmctl shmdt shmget
 process_vm_readv process_vm_writev ptrace
""".split()

# Who has the capability may make these as well.
BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie"
    " lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree"
    " perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}

# What vrift makes besides, seen with strace: namespaces, and the mounts in them. clone3 stays
# unknown (ENOSYS), clone does.
FOR_VRIFT = "clone fsconfig fsmount fsopen mount mount_setattr move_mount open_tree setns umount2 unshare"

NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
# Families of sockets; AF_ALG and AF_VSOCK are among those that are not there.
FAMILIES_BELOW = 12
FAMILIES = [13, 14, 15, 16, 17, 18, 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46)]
PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xFFFFFFFF]
ENOSYS = 38


def allow(names, **more):
    return {"names": sorted(names.split() if isinstance(names, str) else names), "action": "SCMP_ACT_ALLOW", **more}


def argument(index, op, value):
    return {"args": [{"index": index, "value": value, "op": f"SCMP_CMP_{op}"}]}


def profile(for_vrift):
    rules = [allow(ALLOWED), allow("socket", **argument(0, "LT", FAMILIES_BELOW))]
    rules += [allow("socket", **argument(0, "EQ", family)) for family in FAMILIES]
    rules += [allow("personality", **argument(0, "EQ", value)) for value in PERSONALITIES]
    amd64 = {"includes": {"arches": ["amd64", "x32"]}}
    arm64 = {"includes": {"arches": ["arm", "arm64"]}}
    rules += [allow("arch_prctl modify_ldt", **amd64)]
    rules += [allow("arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2", **arm64)]
    for capability, names in BY_CAPABILITY.items():
        rules.append(allow(names, includes={"caps": [capability]}))
    without = {"excludes": {"caps": ["CAP_SYS_ADMIN"]}}
    if for_vrift:
        rules.append(allow(FOR_VRIFT, **without, comment="what vrift needs and the engine's default refuses"))
    else:
        rules.append(allow("clone", **argument(0, "MASKED_EQ", NAMESPACES), **without))
    rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS, **without})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
        "syscalls": rules,
    }


def text(rules):
    """JSON of which the lists of names are filled lines."""
    return re.sub(
        r"\[\n\s+(\"[^\]{]*?)\n\s+\]",
        lambda found: filled(found[1].split()),
        json.dumps(rules, indent=1),
    ) + "\n"


def filled(words):
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) > 96:
            lines, line = [*lines, line], ""
        line += (" " if line else "") + word
    lines.append(line)
    return "[" + "\n    ".join(lines) + "]"


# linux/audit.h, linux/bpf_common.h, linux/seccomp.h; x86-64 only.
ARCH, ALLOW, ERRNO = 0xC000003E, 0x7FFF0000, 0x00050000
LOAD, EQUAL, ABOVE, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x25, 0x35, 0x54, 0x06
# Younger than many a header file.
YOUNG = {
    "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455,
    "futex_requeue": 456, "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460, "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463, "getxattrat": 464,
    "listxattrat": 465, "removexattrat": 466,
}  # fmt: skip


def numbers():
    for path in ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"]:
        try:
            found = re.findall(r"#define __NR_(\w+) (\d+)", open(path).read())
        except FileNotFoundError:
            continue
        return YOUNG | {name: int(number) for name, number in found}
    raise SystemExit("container: the kernel's header files (linux-libc-dev) are missing")


def applies(rule, caps):
    for condition, wanted in [("includes", True), ("excludes", False)]:
        of = rule.get(condition, {})
        found = [cap in caps for cap in of.get("caps", [])]
        found += ["amd64" in of["arches"]] if "arches" in of else []
        if wanted and not all(found) or not wanted and any(found):
            return False
    return True


def filter_of(rules, caps):
    """The BPF program for a process with these capabilities, as struct sock_filter after sock_filter.

    As the engine does: calls above the highest known one are unknown (ENOSYS).
    """
    known, steps = numbers(), []
    step = lambda code, k, yes=0, no=0: steps.append(struct.pack("=HBBI", code, yes, no, k))
    step(LOAD, 4)
    step(EQUAL, ARCH, 1, 0)
    step(RETURN, ERRNO | 1)
    step(LOAD, 0)
    highest = 0
    for rule in (rule for rule in rules["syscalls"] if applies(rule, caps)):
        answer = ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else ERRNO | rule["errnoRet"]
        for number in sorted(known[name] for name in rule["names"] if name in known):
            highest = max(highest, number)
            if "args" not in rule:
                step(EQUAL, number, 0, 1)
                step(RETURN, answer)
                continue
            [at] = rule["args"]
            low, value = 16 + 8 * at["index"], at["value"]
            match at["op"]:
                case "SCMP_CMP_EQ":
                    test = [(EQUAL, value, 0, 1)]
                case "SCMP_CMP_LT":
                    test = [(AT_LEAST, value, 1, 0)]
                case "SCMP_CMP_MASKED_EQ":
                    test = [(AND, value, 0, 0), (EQUAL, 0, 0, 1)]
            # these arguments are ints: the lower half is all of it
            step(EQUAL, number, 0, 3 + len(test))
            step(LOAD, low)
            for part in test:
                step(*part)
            step(RETURN, answer)
            step(LOAD, 0)
    step(ABOVE, highest, 0, 1)
    step(RETURN, ERRNO | ENOSYS)
    step(RETURN, ERRNO | 1)
    return b"".join(steps)


if __name__ == "__main__":
    if sys.argv[1:] not in (["default"], ["vrift"]):
        raise SystemExit(__doc__)
    sys.stdout.write(text(profile(for_vrift=sys.argv[1] == "vrift")))
