"""The fork server, with the shim's end of its channel played by the test."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[1] / "src"


class Server:
    """A fork server for one script."""

    def __init__(
        self, directory: Path, script: str, *arguments: str, preload: str = "json"
    ) -> None:
        self.directory = directory
        path = directory / "script.py"
        path.write_text(script)
        ours, theirs = socket.socketpair()
        self.channel, self.answers = ours, ours.makefile()
        # As the shim does: the channel is descriptor 3, and no signal is ignored, whatever
        # the tests were started with.
        launch = (
            "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
            "os.dup2(int(sys.argv[1]), 3); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        )
        command = ["-m", "lynx_sdk.forkserver", f"--preload={preload}", "--", str(path), *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-c", launch, str(theirs.fileno()), *command],
            pass_fds=(theirs.fileno(), 3) if theirs.fileno() != 3 else (3,),
            cwd=directory,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), "PYTHONUNBUFFERED": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()

    def answer(self) -> dict[str, Any]:
        line = self.answers.readline()
        return dict(json.loads(line)) if line else {}

    def run(self) -> tuple[int, str, str]:
        """Run the script; return its status, as wait(2) has it, and its output."""
        paths = [self.directory / "stdout", self.directory / "stderr"]
        files = [path.open("wb") for path in paths]
        socket.send_fds(self.channel, [b"j"], [file.fileno() for file in files])
        assert self.answer()["pid"] > 0
        end = self.answer()
        for file in files:
            file.close()
        assert end["cpu_micros"] > 0
        assert end["max_rss_bytes"] > 1 << 20
        stdout, stderr = (path.read_text() for path in paths)
        return end["status"], stdout, stderr

    def end(self) -> tuple[int, str]:
        self.answers.close()
        self.channel.close()
        _, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stderr


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    servers = []

    def make(script: str, *arguments: str, preload: str = "json") -> Server:
        servers.append(Server(tmp_path, script, *arguments, preload=preload))
        return servers[-1]

    yield make
    for server in servers:
        server.end()


@pytest.mark.parametrize(("preload", "said"), [("numpy.random", "seeded\n"), ("numpy", "")])
def test_seeds_numpy_if_it_can_draw(serve: Any, tmp_path: Path, preload: str, said: str) -> None:
    """Its generators are imported for no run that does not ask for them."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy/__init__.py").write_text("")
    (tmp_path / "numpy/random.py").write_text("def seed(): print('seeded')")
    server = serve(
        "import sys; assert ('numpy.random' in sys.modules) == bool(sys.argv[1:])",
        *(["x"] if said else []),
        preload=preload,
    )
    assert server.answer() == {"ready": True}
    assert server.run() == (0, said, "")


def test_spares_basilisk(serve: Any, tmp_path: Path) -> None:
    """A simulation looks for new message classes only, and none hears of the end."""
    for name, text in {
        "Basilisk/architecture/messaging.py": """
import atexit
one = two = 1
def _bsk_mark_python_shutting_down():
    print("marked")
atexit.register(_bsk_mark_python_shutting_down)
""",
        "late.py": """
from Basilisk.architecture import messaging
messaging.late = 1
""",
        "Basilisk/utilities/SimulationBaseClass.py": """
from Basilisk.architecture import messaging
looks = 0
def _ensureRecorderSourceHooks():
    global looks
    looks += 1
_ensureRecorderSourceHooks()
class SimBaseClass:
    def __init__(self):
        _ensureRecorderSourceHooks()
""",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    server = serve(
        """
from Basilisk.architecture import messaging
from Basilisk.utilities import SimulationBaseClass as base
base.SimBaseClass(), base.SimBaseClass()
before = base.looks
messaging.three = 1
base.SimBaseClass()
print(before, base.looks)
""",
        preload="Basilisk.utilities.SimulationBaseClass,late",
    )
    assert server.answer() == {"ready": True}
    assert server.run()[:2] == (0, "2 3\n")


@pytest.mark.parametrize(
    ("script", "status", "stdout", "stderr"),
    [
        ("print('done')", 0, "done\n", ""),
        ("import sys; sys.exit(3)", 3 << 8, "", ""),
        ("import sys; sys.exit()", 0, "", ""),
        ("import sys; sys.exit(256 + 4)", 4 << 8, "", ""),
        ("import sys; sys.exit('no fuel')", 1 << 8, "", "no fuel\n"),
        ("import os; os._exit(5)", 5 << 8, "", ""),
        ("import os; os.abort()", signal.SIGABRT, "", ""),
        ("import os; os.kill(os.getpid(), 9)", signal.SIGKILL, "", ""),
        ("raise KeyboardInterrupt", signal.SIGINT, "", "KeyboardInterrupt\n"),
        ("1 / 0", 1 << 8, "", "ZeroDivisionError: division by zero\n"),
        ("def", 1 << 8, "", "SyntaxError: invalid syntax\n"),
        ("import ctypes; ctypes.CDLL(None).printf(b'from C')", 0, "from C", ""),
        ("import atexit; atexit.register(print, 'late')", 0, "late\n", ""),
        (
            "import threading, time\n"
            "threading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()",
            0,
            "thread\n",
            "",
        ),
        ("import sys; sys.excepthook = lambda *a: print('hook'); 1 / 0", 1 << 8, "hook\n", ""),
    ],
)
def test_ends_as_a_program_does(
    serve: Any, script: str, status: int, stdout: str, stderr: str
) -> None:
    server = serve(script)
    assert server.answer() == {"ready": True}
    for _ in range(2):
        got = server.run()
        assert got[:2] == (status, stdout)
        assert got[2].endswith(stderr)
        assert "forkserver" not in got[2]
        assert bool(got[2]) == bool(stderr)
    assert server.end() == (0, "")


def test_each_run_begins_anew(serve: Any) -> None:
    """Whatever a run does to its interpreter, the next one finds it as it was."""
    server = serve(
        """
import builtins, json, math, os, pickle, random, signal, sys
class Thing: pass
print(json.dumps({
    "name": __name__, "file": __file__, "argv": sys.argv[1:], "path": sys.path[0], "pi": math.pi,
    "left": hasattr(builtins, "left"), "environment": sorted(os.environ), "directory": os.getcwd(),
    "umask": os.umask(0), "term": str(signal.getsignal(signal.SIGTERM)),
    "int": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "mask": len(signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])),
    "leader": os.getsid(0) == os.getpid(),
    "pickle": type(pickle.loads(pickle.dumps(Thing()))) is Thing,
    "main": sys.modules["__main__"].Thing is Thing,
    "open": [n for n in os.listdir("/proc/self/fd")
             if int(n) > 2 and os.path.exists(f"/proc/self/fd/{n}")],
    "stdin": os.readlink("/proc/self/fd/0"),
    "dumpable": os.stat("/proc/self/mem").st_uid == os.getuid(),
}, sort_keys=True))
print(random.random(), file=sys.stderr)
builtins.left = math.pi = 1
os.environ["LEFT"] = "x"
os.chdir("/")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path.insert(0, "/left")
""",
        "-v",
        "two words",
        preload="json,random,math,pickle,no_such_module?",
    )
    assert server.answer() == {"ready": True}
    first, second = server.run(), server.run()
    assert first[0] == second[0] == 0, first
    assert first[1] == second[1]
    assert first[2] != second[2]
    seen = json.loads(first[1])
    here = str(server.directory)
    assert seen == {
        **seen,
        "name": "__main__",
        "file": f"{here}/script.py",
        "argv": ["-v", "two words"],
        "path": here,
        "directory": here,
        "left": False,
        "open": [],
        "stdin": "/dev/null",
        "leader": True,
        "pickle": True,
        "main": True,
        "int": True,
        "mask": 0,
        "dumpable": True,
    }
    assert set(seen["environment"]) == {"PATH", "PYTHONPATH", "PYTHONUNBUFFERED"} | (
        {"LC_CTYPE"} & set(seen["environment"])
    )


def test_runs_the_script_as_it_is_then(serve: Any) -> None:
    server = serve("print('first')")
    server.answer()
    assert server.run()[1] == "first\n"
    (server.directory / "script.py").write_text("print('second')")
    assert server.run()[1] == "second\n"


def test_no_run_can_trace_its_server(serve: Any) -> None:
    server = serve("import os; open(f'/proc/{os.getppid()}/environ').read()")
    server.answer()
    if os.getuid() != 0:  # root reads everything
        assert "PermissionError" in server.run()[2]
    assert Path(f"/proc/{server.process.pid}/mem").stat().st_uid == 0


@pytest.mark.parametrize(
    ("module", "preload", "says"),
    [
        ("", "no_such_module", "cannot preload no_such_module: No module named"),
        ("raise ValueError('broken')", "loaded", "cannot preload loaded: ValueError: broken"),
        ("raise ValueError('broken')", "loaded?", "cannot preload loaded: ValueError: broken"),
        ("import no_such_module", "loaded?", "cannot preload loaded: No module named"),
        (
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(600,), name='stays', daemon=True).start()",
            "json,loaded",
            "the preloaded modules (json, loaded) leave 1 threads running: stays",
        ),
    ],
)
def test_refuses_a_preload(
    serve: Any, tmp_path: Path, module: str, preload: str, says: str
) -> None:
    (tmp_path / "loaded.py").write_text(module)
    server = serve("", preload=preload)
    assert server.answer() == {}
    status, stderr = server.end()
    assert status == 2
    assert says in stderr
