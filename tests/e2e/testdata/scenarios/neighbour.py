"""Looks whether an earlier run left a trace, then leaves one itself: the run's index says which."""

import builtins
import ctypes
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

OUT = Path(os.environ["TETRYX_OUTPUT_DIR"])
PLACES = [Path(p) for p in ("/tmp", os.environ["HOME"], "/dev/shm", "/dev/mqueue")]
LIBC = ctypes.CDLL(None, use_errno=True)
SERVER = os.getppid()


def started(pid):
    """When a process was started, in clock ticks: no two servers have the same."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def traces():
    """Everything that a run could find of another one."""
    found = [str(p / name) for p in PLACES for name in os.listdir(p)]
    found.remove("/tmp/matplotlib")  # the image makes it at each start of an interpreter
    found += [f"in the output: {name}" for name in os.listdir(OUT)]
    found += [f"process {p}" for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, SERVER, os.getpid())]
    for kind in ("shm", "sem", "msg"):
        found += Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
    found += [f"descriptor {n}" for n in os.listdir("/proc/self/fd") if int(n) > 2 and os.path.exists(f"/proc/self/fd/{n}")]
    checks = {
        "interpreter": hasattr(builtins, "left_by") or "left_by" in sys.modules or math.pi < 3,
        "environment": "LEFT_BY" in os.environ,
        "directory": os.getcwd() != "/lynx/work",
        "umask": os.umask(0o22) != 0o22,
        "signals": signal.getsignal(signal.SIGTERM) != signal.SIG_DFL or signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "threads": threading.active_count() != 1,
        "session": os.getsid(0) != os.getpid() and SERVER != 1,
        "arguments": sys.argv != ["/lynx/work/neighbour.py"],
        "path": sys.path[0] != "/lynx/work",
        "priority": os.getpriority(os.PRIO_PROCESS, 0) != 0,
    }
    return found + [name for name, wrong in checks.items() if wrong]


def escape():
    """What a run could reach outside of its own directories."""
    ways = [
        lambda: (OUT.parent / "mine").write_text("x"),
        lambda: OUT.rename(OUT.parent / "other"),
        lambda: OUT.parent.chmod(0o777),
        lambda: Path(os.environ["TETRYX_RUN_CONFIG"]).write_text("{}"),
        lambda: os.open(f"/proc/{SERVER}/mem", os.O_RDWR),
        lambda: os.open("/proc/1/mem", os.O_RDWR),
    ]
    done = []
    for number, way in enumerate(ways):
        try:
            way()
            done.append(f"way {number}")
        except OSError:
            pass
    return done if SERVER != 1 else []


def interpreter():
    builtins.left_by = math.pi = 1
    sys.modules["left_by"] = sys
    os.environ["LEFT_BY"] = "x"
    os.chdir("/")
    os.umask(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    sys.path.insert(0, "/tmp")
    os.dup2(1, 50)
    os.setpriority(os.PRIO_PROCESS, 0, 5)


def process():
    loop = "while true; do echo x >>/tmp/left; echo x >>$TETRYX_OUTPUT_DIR/late; sleep 0.01; done"
    subprocess.Popen(["setsid", "sh", "-c", loop], stdout=subprocess.DEVNULL)
    time.sleep(0.2)


def places():
    for place in PLACES[:3]:
        closed = place / "closed" / "deep"
        closed.mkdir(parents=True)
        (closed / "file").write_text("x")
        closed.chmod(0)
        closed.parent.chmod(0)
        try:
            with open(place / "full", "wb") as file:
                while True:
                    file.write(b"x" * (4 << 20))
        except OSError:
            pass
    assert LIBC.mq_open(b"/left", os.O_CREAT | os.O_RDWR, 0o600, None) >= 0
    for make in (LIBC.shmget(0, 4096, 0o1600), LIBC.semget(0, 1, 0o1600), LIBC.msgget(0, 0o1600)):
        assert make >= 0, os.strerror(ctypes.get_errno())


def link():
    (OUT / "linked").write_text("of the run that made it")
    os.link(OUT / "linked", OUT.parent / "log" / "linked")


def thread():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def crash():
    ctypes.string_at(0)


def priority():
    os.sched_setaffinity(SERVER, {min(os.sched_getaffinity(SERVER))})


def server():
    os.kill(SERVER, signal.SIGKILL)
    time.sleep(60)


def memory():
    hoard = []
    while True:
        hoard.append(b"x" * (8 << 20))


def fail():
    sys.exit("no")


DEEDS = [interpreter, process, places, link, thread, fail, crash, priority, server, memory]

run = json.loads(Path(os.environ["TETRYX_RUN_CONFIG"]).read_text())
seen = {"traces": traces(), "escapes": escape(), "server": started(SERVER), "random": random.random()}
(OUT / "seen.json").write_text(json.dumps(seen))
print("run", run["run_index"], flush=True)
if run["run_index"] < len(DEEDS):
    DEEDS[run["run_index"]]()
