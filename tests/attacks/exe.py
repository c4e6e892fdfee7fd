"""Waits for a process that runs vrift itself, takes hold of its exe, and changes its mode.
Prints `held` when it got one."""
import os, sys, time

end = time.time() + float(sys.argv[1])
while time.time() < end:
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) in (1, os.getpid()):
            continue
        path = "/proc/%s/exe" % pid
        try:
            if "vrift" in os.path.basename(os.readlink(path)):
                os.chmod(path, 0o4777)
                print("held", flush=True)
                sys.exit()
        except OSError:
            pass
