"""A job that goes against its limits, and says as one line of JSON how far it got:
run by `lynx-runner check`."""

import errno
import json
import os
import resource
import signal
import socket
import sys
import time

limits = json.loads(sys.argv[1])


def memory():
    """A child writes to twice its memory."""
    pid = os.fork()
    if pid == 0:
        try:
            block = bytearray(2 * limits["memory"])
            for i in range(0, len(block), 4096):
                block[i] = 1
        except MemoryError:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 3:
        return True, "a process was ended for it"
    return False, "a job with %d bytes wrote to twice as many" % limits["memory"]


def pids():
    """Children are started until the kernel says no."""
    children = []
    try:
        for _ in range(limits["pids"] + 8):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
    except OSError:
        return True, "no more after %d" % len(children)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return False, "a job with %d processes started %d" % (limits["pids"], len(children))


def throttled():
    """How often the kernel has held this container's processes back, if it says so."""
    for name in ("", "cpu/", "cpu,cpuacct/"):
        try:
            with open("/sys/fs/cgroup/" + name + "cpu.stat") as f:
                fields = dict(line.split() for line in f)
            return int(fields["nr_throttled"])
        except (OSError, KeyError, ValueError):
            pass
    return 0


def cpu():
    """Half a second's work takes longer. A busy host looks the same, but for its counters."""
    before, start, used = throttled(), time.monotonic(), time.process_time()
    while time.monotonic() < start + 0.5:
        pass
    share = (time.process_time() - used) / (time.monotonic() - start)
    if throttled() > before or share < 2 * limits["cpu_millis"] / 1000:
        return True, "%.2f of a CPU" % share
    return False, "a job with %.2f of a CPU used %.2f" % (limits["cpu_millis"] / 1000, share)


def tmp():
    s = os.statvfs("/tmp")
    size = s.f_blocks * s.f_frsize
    if size <= limits["tmp"]:
        return True, size
    return False, "/tmp has %d bytes, and should have %d" % (size, limits["tmp"])


def filesize():
    """A sparse file may not grow beyond the limit either."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = os.path.join(os.environ["TETRYX_OUTPUT_DIR"], "large")
    try:
        with open(path, "wb") as f:
            f.truncate(limits["file"] + 1)
    except OSError as e:
        if e.errno == errno.EFBIG:
            return True, soft
        raise
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return False, "a file grew beyond %d bytes" % limits["file"]


def label():
    for path in ("/proc/self/attr/apparmor/current", "/proc/self/attr/current"):
        try:
            with open(path) as f:
                return True, f.read().strip("\0\n ")
        except OSError:
            pass
    return True, ""


def usermap():
    with open("/proc/self/uid_map") as f:
        return True, f.readline()


def refused():
    """Whether socket families are refused that no other filter refuses in this way."""
    found = {}
    for name, family in (("AF_ALG", 38), ("AF_RDS", 21)):
        try:
            socket.socket(family, socket.SOCK_SEQPACKET).close()
            found[name] = False
        except OSError as e:
            found[name] = e.errno == errno.EPERM
    return True, found


found = {}
for trial in (memory, pids, cpu, tmp, filesize, label, usermap, refused):
    try:
        ok, value = trial()
    except BaseException as e:
        ok, value = False, "%s: %s" % (type(e).__name__, e)
    found[trial.__name__] = {"ok": ok, "value": value}
print(json.dumps(found))
