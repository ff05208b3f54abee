from collections.abc import Iterator

import pytest
from telemetry_server import TelemetryServer


@pytest.fixture
def server() -> Iterator[TelemetryServer]:
    server = TelemetryServer()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests set what they need."""
    for name in ("RUN_CONFIG", "OUTPUT_DIR", "TELEMETRY_URL", "TELEMETRY_TARGET"):
        monkeypatch.delenv(f"TETRYX_{name}", raising=False)
