import itertools
import threading

import grpc
import pytest
from telemetry_server import TelemetryServer

from lynx_sdk import Telemetry, TelemetryStats
from lynx_sdk._buffer import BATCH_BYTES
from lynx_sdk._proto import telemetry_pb2 as pb


def emit_many(telemetry: Telemetry, count: int, start: int = 0) -> None:
    for k in range(start, start + count):
        telemetry.emit(k, {"k": k})


def times(server: TelemetryServer) -> list[float]:
    return [time for time, _ in server.samples()]


def test_samples_arrive_in_order_with_their_units(server: TelemetryServer) -> None:
    with Telemetry(server.target, attempt_id="job-2", units={"speed": "km/s"}) as telemetry:
        telemetry.emit(0, {"radius": (7000.25, "km"), "speed": 7.5, "count": 3})
        telemetry.emit(10.5, {"radius": 6999, "speed": (7500, "m/s")})
    assert server.samples() == [
        (0.0, {"radius": (7000.25, "km"), "speed": (7.5, "km/s"), "count": (3.0, "")}),
        (10.5, {"radius": (6999.0, "km"), "speed": (7500.0, "m/s")}),
    ]
    assert {batch.attempt_id for batch in server.kept()} == {"job-2"}
    assert telemetry.stats == TelemetryStats(emitted=2, acknowledged=2, connections=1)
    assert server.ended_cleanly == 1


def test_many_samples_are_few_batches(server: TelemetryServer) -> None:
    with Telemetry(server.target) as telemetry:
        emit_many(telemetry, 5000)
    assert times(server) == list(range(5000))
    assert len(server.kept()) < 500
    assert telemetry.stats.acknowledged == 5000


def test_a_lone_sample_is_sent_at_once_and_what_follows_is_gathered(
    server: TelemetryServer,
) -> None:
    with Telemetry(server.target, batch_seconds=3600) as telemetry:
        telemetry.emit(0, {"k": 0})
        server.wait_for(lambda s: len(s.requests) == 1)
        emit_many(telemetry, 10, start=1)
        assert telemetry.flush()
        assert [len(batch.samples) for batch in server.kept()] == [1, 10]
        emit_many(telemetry, 5, start=11)
    assert [len(batch.samples) for batch in server.kept()] == [1, 10, 5]


def test_flush_returns_when_the_server_has_acknowledged(server: TelemetryServer) -> None:
    release = threading.Event()

    def late(requests, _):
        for request in requests:
            release.wait(20)
            yield pb.StreamResponse(acknowledged_sequence=request.sequence)

    server.handler = late
    with Telemetry(server.target) as telemetry:
        emit_many(telemetry, 3)
        assert not telemetry.flush(timeout=0.05)
        assert telemetry.stats.acknowledged == 0
        release.set()
        assert telemetry.flush()
        assert telemetry.stats.acknowledged == 3


@pytest.mark.parametrize("acknowledge", [True, False])
@pytest.mark.parametrize("every", [1, 2, 7])
def test_a_stream_that_breaks_loses_nothing(
    server: TelemetryServer, every: int, acknowledge: bool
) -> None:
    """Each stream is broken off after some batches, five times; some acknowledged."""
    breaks = itertools.count(1)

    def breaking(requests, context):
        fatal = next(breaks) <= 5
        for count, request in enumerate(requests, 1):
            if fatal and count == every:
                context.abort(grpc.StatusCode.UNAVAILABLE, "broken on purpose")
            if acknowledge or not fatal:
                yield pb.StreamResponse(acknowledged_sequence=request.sequence)

    server.handler = breaking
    with Telemetry(server.target, batch_seconds=0) as telemetry:
        # Enough for every stream to see the batches that break it.
        for k in range(20_000):
            telemetry.emit(k, {"k": k})
            if server.streams > 5:
                break
        total = telemetry.stats.emitted
        assert telemetry.flush(20)
    assert times(server) == list(range(total))
    assert telemetry.stats.acknowledged == total
    assert telemetry.stats.dropped == 0


def test_a_server_that_ends_the_stream_by_itself_is_connected_to_again(
    server: TelemetryServer,
) -> None:
    first = itertools.count()

    def ending(requests, context):
        if next(first) == 0:
            next(requests)
            return
        yield from server.acknowledge_all(requests, context)

    server.handler = ending
    with Telemetry(server.target) as telemetry:
        emit_many(telemetry, 100)
        assert telemetry.flush(20)
    assert times(server) == list(range(100))


def test_a_server_that_comes_back_gets_what_it_missed(server: TelemetryServer) -> None:
    with Telemetry(server.target) as telemetry:
        emit_many(telemetry, 100)
        assert telemetry.flush()
        server.stop()
        emit_many(telemetry, 2000, start=100)
        again = TelemetryServer(server.port)
        try:
            assert again.port == server.port
            emit_many(telemetry, 100, start=2100)
            assert telemetry.flush(20)
            # Numbers go on where the first server's ended.
            server.requests += again.requests
            assert times(server) == list(range(2200))
            assert telemetry.close()
        finally:
            again.stop()
    assert telemetry.stats == TelemetryStats(
        emitted=2200, acknowledged=2200, connections=telemetry.stats.connections
    )


def test_memory_is_bounded_and_drops_are_reported(
    server: TelemetryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    with Telemetry(server.target, buffer_bytes=50_000) as telemetry:
        emit_many(telemetry, 20_000)
        dropped = telemetry.stats.dropped
        assert dropped > 10_000
        assert telemetry._buffer._queued_bytes < 50_000 + 1.1 * BATCH_BYTES  # at most a batch more
        again = TelemetryServer(server.port)
        try:
            assert not telemetry.close(20)
        finally:
            again.stop()
    stats = telemetry.stats
    assert stats.emitted == 20_000
    assert stats.acknowledged + stats.dropped == 20_000
    assert times(again) == list(range(stats.acknowledged))  # the oldest are kept
    assert again.kept()[-1].client_dropped_samples == stats.dropped == dropped
    assert capfd.readouterr().err.count("dropped") == 1


def test_without_a_server_close_gives_up_in_time(
    server: TelemetryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    telemetry = Telemetry(server.target)
    emit_many(telemetry, 10)
    assert not telemetry.close(timeout=0.2)
    assert telemetry.stats.dropped == 10
    assert not telemetry.close()
    assert "10 telemetry samples are lost" in capfd.readouterr().err
    assert not any(thread.name == "lynx-telemetry" for thread in threading.enumerate())


def test_a_refused_attempt_is_not_tried_again(
    server: TelemetryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(requests, context):
        next(requests)
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this is attempt job-1")
        yield

    server.handler = refuse
    telemetry = Telemetry(server.target, attempt_id="job-2")
    emit_many(telemetry, 3)
    assert not telemetry.flush()
    telemetry.emit(4, {"k": 4})
    assert not telemetry.close()
    assert telemetry.stats == TelemetryStats(emitted=4, dropped=4, connections=1)
    assert "this is attempt job-1" in capfd.readouterr().err


def test_values_that_cannot_be_sent_are_left_out_whole(
    server: TelemetryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with Telemetry(server.target) as telemetry:
        telemetry.emit(0, {"a": 1, "b": "text"})  # type: ignore[dict-item]
        telemetry.emit(1, {"a": (1, 2, 3)})  # type: ignore[dict-item]
        telemetry.emit("now", {"a": 1})  # type: ignore[arg-type]
        telemetry.emit(2, {f"variable {k}": k for k in range(100_000)})
        telemetry.emit(3, {"a": 5, "nan": float("nan"), "inf": float("inf")})
    [(time, values)] = server.samples()
    assert time == 3
    assert values["a"] == (5.0, "")
    assert values["inf"] == (float("inf"), "")
    assert values["nan"][0] != values["nan"][0]
    assert telemetry.stats == TelemetryStats(emitted=5, acknowledged=1, rejected=4, connections=1)
    assert "too large" in capfd.readouterr().err


def test_several_threads_may_emit(server: TelemetryServer) -> None:
    with Telemetry(server.target) as telemetry:
        threads = [
            threading.Thread(target=emit_many, args=(telemetry, 1000, 1000 * n)) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(times(server)) == list(range(4000))


def test_emit_after_close_does_nothing_but_count(server: TelemetryServer) -> None:
    telemetry = Telemetry(server.target)
    emit_many(telemetry, 2)
    assert telemetry.close()
    emit_many(telemetry, 3)
    assert telemetry.stats.dropped == 3
    assert times(server) == [0, 1]


@pytest.mark.parametrize(
    ("environment", "target"),
    [
        ({}, None),
        ({"TETRYX_TELEMETRY_URL": ""}, None),
        ({"TETRYX_TELEMETRY_TARGET": "{0}"}, None),
        ({"TETRYX_TELEMETRY_URL": "http://{0}"}, "{0}"),
        ({"TETRYX_TELEMETRY_URL": "http://{0}/"}, "{0}"),
        ({"TETRYX_TELEMETRY_URL": "{0}"}, "{0}"),
        ({"TETRYX_TELEMETRY_URL": "http://x:1", "TETRYX_TELEMETRY_TARGET": "{0}"}, "{0}"),
    ],
)
def test_the_address_comes_from_the_environment(
    server: TelemetryServer,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    target: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(server.target))
    # A proxy must never see telemetry.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with Telemetry.from_env(attempt_id="a-1") as telemetry:
        telemetry.emit(1, {"x": 1})
        assert telemetry.enabled == (target is not None)
    assert times(server) == ([1] if target else [])


def test_without_an_address_everything_is_a_no_op() -> None:
    with Telemetry.from_env() as telemetry:
        telemetry.emit(0, {"x": object()})  # type: ignore[dict-item]
        assert telemetry.flush()
        assert telemetry.stats == TelemetryStats()
    assert telemetry.close()
