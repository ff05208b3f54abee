"""A Python that has its modules loaded, and forks a child for each run of a script.

lynx-runner's shim starts it in the container of a batch whose study asks for
``compute.isolation: batch``; nobody else needs to::

    python -m lynx_sdk.forkserver --preload MODULE[?],... -- SCRIPT [ARGUMENT ...]

The shim holds the other end of a socket, descriptor 3. It sends one byte and two
descriptors, standard output and error, for each run; the answers are lines of JSON:
``{"ready": true}`` once, then for each run ``{"pid": ...}`` and, when that has ended,
``{"status": ..., "cpu_micros": ..., "max_rss_bytes": ...}`` (the status as wait(2)
has it). Runs come one at a time. A module whose name ends in ``?`` may be missing.

Each child is as near to ``python SCRIPT ARGUMENT ...`` as a fork can be: its own
session, the environment, directory, umask and signals that the server was started
with, no descriptor above 2, generators that are seeded anew, and the script as
``__main__``. Two things differ: what the script would import is imported already, so
its modules are shared with the other runs as they were before the first one, and the
interpreter is not torn down at the end. Functions of :mod:`atexit` are called,
threads waited for and output flushed, but objects that are alive then are not
deleted one by one, which takes longer than many a run.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import random
import resource
import signal
import socket
import sys
import threading
import traceback
import types
from pathlib import Path
from typing import NoReturn

from lynx_sdk import _basilisk

_CHANNEL = 3
_PR_SET_DUMPABLE = 4
# How much likelier than its server a run is to be killed for want of memory.
_OOM_SCORE = 200
# The interpreter's exit status where its output cannot be written.
_CANNOT_FLUSH = 120

_libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):  # noqa: N818 - what the server says of a preload
    """A preload that no run could be forked from."""


class Inherited:
    """What a new interpreter has, noted before anything is preloaded."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.directory = Path.cwd()
        self.umask = os.umask(0o022)
        os.umask(self.umask)
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self.path = list(sys.path)

    def restore(self) -> None:
        """Undo what preloaded modules have changed."""
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.directory)
        os.umask(self.umask)
        signal.set_wakeup_fd(-1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self.handlers.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        sys.path[:] = self.path
        # What lynx-runner's image does at each start of an interpreter: it lays out
        # matplotlib's directory, which went with the last run.
        if "lynx_image" in sys.modules:
            importlib.reload(sys.modules["lynx_image"])


def preload(names: list[str]) -> None:
    """Import modules; raise Refused where that fails, or leaves threads running."""
    for name in names:
        module = name.removesuffix("?")
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as err:
            if module == name or not err.name or not f"{module}.".startswith(f"{err.name}."):
                raise Refused(f"cannot preload {module}: {err}") from err
        except Exception as err:
            raise Refused(f"cannot preload {module}: {type(err).__name__}: {err}") from err
    # Numerical libraries end their threads at a fork and start them again where they
    # are needed. What others are left would be missing in every run.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    count = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are enough
    if count > 1:
        known = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        raise Refused(
            f"the preloaded modules ({', '.join(names)}) leave {count - 1} threads running"
            f"{': ' + ', '.join(known) if known else ''}; a forked run would not have them"
        )


def serve(channel: socket.socket) -> None:
    """Fork a child for each order; return in the child, and exit at the channel's end."""
    _flush()
    gc.collect()
    gc.freeze()  # the collector then leaves the shared pages alone
    _say(channel, {"ready": True})
    while True:
        order, descriptors, _, _ = socket.recv_fds(channel, 1, 2)
        if not order:
            _flush()
            os._exit(0)  # no teardown here either: see _basilisk
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(descriptors[0], 1)
            os.dup2(descriptors[1], 2)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            channel.detach()
            os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _say(channel, {"pid": pid})
        _, status, usage = os.wait4(pid, 0)
        _say(
            channel,
            {
                "status": status,
                "cpu_micros": round((usage.ru_utime + usage.ru_stime) * 1e6),
                "max_rss_bytes": usage.ru_maxrss << 10,
            },
        )


class Script:
    """The script, compiled once for as long as its text stays the same."""

    def __init__(self, path: str) -> None:
        """Read and compile it; what is wrong with it each run tells by itself."""
        self.path = path
        self._text = b""
        self._code: types.CodeType | None = None
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            self.compiled()

    def compiled(self) -> types.CodeType:
        """Return its code. Raises what the interpreter would."""
        with open(self.path, "rb") as file:  # noqa: PTH123
            text = file.read()
        if self._code is None or text != self._text:
            self._code = compile(text, self.path, "exec", dont_inherit=True)
            self._text = text
        return self._code


def run(script: Script, arguments: list[str]) -> NoReturn:
    """Run a script as the interpreter runs its main program, and exit as it does."""
    code, interrupted = 0, False
    try:
        _execute(script, arguments)
    except SystemExit as err:
        code = _status(err.code)
    except BaseException as err:
        _print_exception()
        code, interrupted = 1, isinstance(err, KeyboardInterrupt)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        _flush()
    except (OSError, ValueError):
        code = _CANNOT_FLUSH
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def _execute(script: Script, arguments: list[str]) -> None:
    random.seed()
    if "numpy.random" in sys.modules:  # else it seeds itself when it is imported
        sys.modules["numpy.random"].seed()
    sys.argv = [script.path, *arguments]
    # `python -m` puts the current directory first, `python SCRIPT` the script's.
    sys.path[0] = os.path.dirname(os.path.realpath(script.path))  # noqa: PTH120
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=script.path, __builtins__=__builtins__, __spec__=None)
    sys.modules["__main__"] = main
    exec(script.compiled(), main.__dict__)  # noqa: S102 - running it is what this is for


def _status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _print_exception() -> None:
    kind, error, trace = sys.exc_info()
    # Not the frames of this file: they are no part of the script.
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    if kind is not None and error is not None:
        if sys.excepthook is sys.__excepthook__:
            traceback.print_exception(kind, error, trace)
        else:
            sys.excepthook(kind, error, trace)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    _libc.fflush(None)  # what C and C++ code has printed


def _say(channel: socket.socket, message: dict[str, int | bool]) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


def _dumpable(value: int) -> None:
    """Let processes of the same user trace this one and read its memory, or not."""
    if _libc.prctl(_PR_SET_DUMPABLE, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def _first_to_go() -> None:
    """Have the kernel kill the run before its server where memory is short."""
    try:
        file = Path("/proc/self/oom_score_adj")
        file.write_text(str(min(int(file.read_text()) + _OOM_SCORE, 1000)))
    except OSError:
        pass  # then it chooses by size alone


def main() -> NoReturn:
    """Run the server, and, in each child, the script."""
    parser = argparse.ArgumentParser(prog="lynx_sdk.forkserver")
    parser.add_argument("--preload", default="", metavar="MODULE[?],...")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    inherited = Inherited()
    _dumpable(0)
    try:
        preload([name for name in given.preload.split(",") if name])
    except Refused as err:
        print(err, file=sys.stderr)
        sys.exit(2)
    _basilisk.look_once()
    _basilisk.leave_unmarked()
    script = Script(given.script)
    serve(socket.socket(fileno=_CHANNEL))
    inherited.restore()
    _dumpable(1)
    _first_to_go()
    run(script, given.arguments)


if __name__ == "__main__":
    main()
