"""How a process ends must not matter for what it had emitted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from telemetry_server import TelemetryServer

SDK = str(Path(__file__).parents[1] / "src")

EMIT = """
from lynx_sdk import Telemetry
telemetry = Telemetry.from_env()
for k in range(1000):
    telemetry.emit(k, {"k": (k, "1")})
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": SDK, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("raise RuntimeError('boom')", 1),
        ("import sys; sys.exit(3)", 3),
        ("raise KeyboardInterrupt", -2),
        ("1 / 0", 1),
        ("import threading; threading.Thread(target=lambda: 1 / 0).start()", 0),
    ],
)
def test_all_is_sent_whatever_ends_the_process(
    server: TelemetryServer, ending: str, status: int
) -> None:
    done = python(EMIT + ending, TETRYX_TELEMETRY_URL=f"http://{server.target}")
    assert done.returncode == status, done.stderr
    assert [time for time, _ in server.samples()] == list(range(1000))
    assert server.ended_cleanly == 1
    assert "lynx_sdk" not in done.stderr


def test_a_server_that_is_away_does_not_fail_a_run(server: TelemetryServer) -> None:
    server.stop()
    done = python(EMIT + "print('done')", TETRYX_TELEMETRY_URL=f"http://{server.target}")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert "1000 telemetry samples are lost" in done.stderr


def test_a_forked_child_sends_nothing(server: TelemetryServer) -> None:
    code = (
        EMIT
        + """
import os
pid = os.fork()
telemetry.emit(1000, {"k": 1000})
if pid:
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
"""
    )
    done = python(code, TETRYX_TELEMETRY_URL=f"http://{server.target}")
    assert done.returncode == 0, done.stderr
    assert [time for time, _ in server.samples()] == list(range(1001))


def test_without_an_address_grpc_is_not_even_imported() -> None:
    done = python(
        EMIT + "import sys; print([m for m in sys.modules if m.startswith(('grpc', 'google'))])",
        TETRYX_TELEMETRY_URL="",
    )
    assert done.stdout == "[]\n", done.stderr


def test_without_grpc_a_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "grpc.py").write_text("raise ImportError('no grpc here')")
    done = python(
        EMIT + "print(telemetry.enabled)",
        PYTHONPATH=f"{tmp_path}:{SDK}",
        TETRYX_TELEMETRY_URL="http://127.0.0.1:1",
    )
    assert done.stdout == "False\n"
    assert "telemetry is off: no grpc here" in done.stderr
