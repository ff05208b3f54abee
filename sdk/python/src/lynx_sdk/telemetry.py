"""Live telemetry: numbers that a run reports while it runs.

:class:`Telemetry` batches samples, sends them over one gRPC stream
(``lynx.telemetry.v1``, served by the runner for each attempt), and keeps each
batch until the server has acknowledged it. A stream that breaks is opened again
and what was not acknowledged is sent again, under the same sequence numbers, so
that nothing is lost or counted twice.

It must never be the reason that a simulation fails or slows down:

- Without ``TETRYX_TELEMETRY_URL`` it does nothing, and imports nothing.
- ``emit`` appends to a batch in memory; a background thread does the rest.
- Memory is bounded. While the server is away and the bound is reached, new
  samples are dropped, counted, and the count is reported to the server.
- No method raises because of the network or of a value. What goes wrong is said
  once on stderr.

What was emitted is sent at exit too, also after an uncaught exception. A process
that is killed, or ends through ``os._exit``, takes its last batch with it.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    import grpc

    from lynx_sdk._buffer import Batch

_METHOD = "/lynx.telemetry.v1.TelemetryService/Stream"

# Pauses between attempts to connect: first, and longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


@dataclass(frozen=True)
class TelemetryStats:
    """Counts since the start, in samples unless said otherwise."""

    emitted: int = 0
    acknowledged: int = 0
    """Samples that the server has, for good."""
    dropped: int = 0
    """Samples lost because the buffer was full or the server never came back."""
    rejected: int = 0
    """Samples that could not be encoded, such as one whose value is not a number."""
    connections: int = 0
    """Streams opened: 1 in a run without trouble."""


class Telemetry:
    """A telemetry stream. Thread-safe; a context manager that flushes on leaving.

    ``target`` is the server's ``HOST:PORT``; None makes every method a no-op.
    ``attempt_id``, where given, lets the server refuse samples of another attempt.
    ``units`` declares units by variable name. ``buffer_bytes`` bounds what is kept
    for a server that is away. At most one batch is sent in ``batch_seconds``, unless
    batches fill up sooner.
    """

    def __init__(
        self,
        target: str | None,
        *,
        attempt_id: str = "",
        units: Mapping[str, str] | None = None,
        buffer_bytes: int = 32 << 20,
        batch_seconds: float = 0.05,
    ) -> None:
        self._batch_seconds = batch_seconds
        # Guards everything below; notified when there is something to send, when
        # an acknowledgement arrives, and when a stream or everything ends.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._emitted = self._rejected = self._connections = 0
        self._stream = 0  # number of the stream in use; 0 between two
        self._last_sent = -math.inf
        self._flushing = False
        self._closing = False
        self._ended = False  # nothing is sent any more
        self._said: set[str] = set()
        self._thread: threading.Thread | None = None
        self._enabled = False
        if target:
            self._start(target, attempt_id, units or {}, buffer_bytes)

    @classmethod
    def from_env(cls, *, attempt_id: str = "", units: Mapping[str, str] | None = None) -> Telemetry:
        """Return a stream to the address in the environment, or one that does nothing.

        ``TETRYX_TELEMETRY_TARGET`` is used as it is; else the scheme is taken off
        ``TETRYX_TELEMETRY_URL``.
        """
        url = os.environ.get("TETRYX_TELEMETRY_URL", "")
        target = os.environ.get("TETRYX_TELEMETRY_TARGET", "") if url else ""
        if url and not target:
            target = url.removeprefix("http://").rstrip("/")
        return cls(target or None, attempt_id=attempt_id, units=units)

    @property
    def enabled(self) -> bool:
        """Whether there is anywhere to send samples to."""
        return self._enabled

    @property
    def stats(self) -> TelemetryStats:
        """The counts so far."""
        if not self._enabled:
            return TelemetryStats()
        with self._changed:
            return TelemetryStats(
                emitted=self._emitted,
                acknowledged=self._buffer.acknowledged,
                dropped=self._buffer.dropped,
                rejected=self._rejected,
                connections=self._connections,
            )

    def emit(self, time_seconds: float, values: Mapping[str, float | tuple[float, str]]) -> None:
        """Report values at one instant of simulation time.

        A value is a number, or a number and its unit; a unit given once is
        remembered for the variable. Samples are sent in the order of these calls.
        NaN and infinity are sent as they are: the runner treats them as an error
        in a variable that an early-termination condition watches.
        """
        if not self._enabled:
            return
        with self._lock:  # what entering the condition does, in less time
            self._emitted += 1
            if self._ended or self._closing or not self._buffer.has_room():
                self._buffer.dropped += 1
                if not (self._ended or self._closing):
                    self._say("samples are dropped: the telemetry server is away or too slow")
                return
            try:
                news = self._buffer.append(time_seconds, values)
            except Exception as err:  # a simulation never fails because of its telemetry
                self._rejected += 1
                self._say(f"a telemetry sample was left out: {err}")
                return
            if news:
                self._changed.notify_all()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the server has everything emitted so far.

        False if it has not in time, or if samples were dropped before.
        """
        if not self._enabled:
            return True
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ended or not self._buffer.pending, timeout)
            self._flushing = False
            return not self._buffer.pending and not self._buffer.dropped

    def close(self, timeout: float = 5.0) -> bool:
        """Send what is left and end the stream; False if any sample was lost.

        Called at exit by itself. Calling it again does nothing.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            thread.join(timeout)
            with self._changed:
                self._end("the server did not take them in time")
            # Not under the lock: cancelling wakes threads that take it.
            self._call.cancel()
            thread.join(1.0)
            atexit.unregister(self.close)
        return not self._enabled or self._buffer.dropped == 0

    def __enter__(self) -> Telemetry:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the stream, also when the block ends with an exception."""
        self.close()

    def _end(self, reason: str) -> None:
        """Stop sending; what is left is lost. With the lock held."""
        self._ended = True
        lost = self._buffer.drop_all()
        if lost:
            self._say(f"{lost} telemetry samples are lost: {reason}")
        self._changed.notify_all()

    def _say(self, message: str) -> None:
        """Write a line to stderr, once for each message and not without end."""
        if message not in self._said and len(self._said) < 20:
            self._said.add(message)
            print(f"lynx_sdk: {message}", file=sys.stderr)

    # --- the connection ----------------------------------------------------------

    def _start(
        self, target: str, attempt_id: str, units: Mapping[str, str], buffer_bytes: int
    ) -> None:
        try:
            # Here and not at the top: a run without telemetry needs neither. Not in
            # the thread either: imports and new threads fail while an interpreter
            # shuts down, and a short script may be there already.
            import grpc

            from lynx_sdk._buffer import Buffer
            from lynx_sdk._encode import decode_acknowledged
        except ImportError as err:
            self._say(f"telemetry is off: {err}")
            return
        self._grpc, self._decode = grpc, decode_acknowledged
        self._target = target
        self._buffer = Buffer(attempt_id, units, buffer_bytes)
        self._open_stream()
        self._enabled = True
        self._thread = threading.Thread(target=self._run, name="lynx-telemetry", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        # A forked child has this object, but not the threads behind it.
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _disable(itself()))

    def _open_stream(self) -> None:
        """Begin a call, on a channel of its own, which has no pause to sit out."""
        self._channel = self._grpc.insecure_channel(
            self._target,
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                # Telemetry never leaves the host, whatever the environment's proxies.
                ("grpc.enable_http_proxy", 0),
            ],
        )
        method = self._channel.stream_stream(
            _METHOD, request_serializer=_identity, response_deserializer=self._decode
        )
        with self._changed:
            self._connections += 1
            self._stream = self._connections
        self._call: Any = method(self._requests(self._stream))

    def _requests(self, stream: int) -> Iterator[bytes]:
        """Yield what the server does not have yet, then new batches as they close.

        Consumed by a thread of gRPC's own, with its flow control. Ends when all is
        sent after close, or when another stream has taken over.
        """
        sent = 0
        while (batch := self._next_batch(stream, sent)) is not None:
            sent = batch.sequence
            yield batch.payload

    def _next_batch(self, stream: int, sent: int) -> Batch | None:
        with self._changed:
            while stream == self._stream and not self._ended:
                if (batch := self._buffer.next_after(sent)) is not None:
                    self._last_sent = time.monotonic()
                    return batch
                if self._buffer.has_open:
                    # At once after a quiet while, so that a paced simulation is seen
                    # live; else as many samples together as the batch time gathers.
                    pause = self._last_sent + self._batch_seconds - time.monotonic()
                    if pause <= 0 or self._closing or self._flushing:
                        self._buffer.close_batch()
                    else:
                        self._changed.wait(pause)
                elif self._closing:
                    if not self._buffer.unreported_drops:
                        return None
                    self._buffer.close_batch()  # an empty one, for the final count
                else:
                    self._changed.wait()
            return None

    def _run(self) -> None:
        """Receive acknowledgements; connect again for as long as there is need."""
        pause = _FIRST_PAUSE
        while True:
            problem, progress = self._receive()
            self._channel.close()
            with self._changed:
                self._stream = 0  # the old request iterator ends
                self._changed.notify_all()
                done = problem is None and self._closing and not self._buffer.pending
                if done or self._ended:
                    return
                if problem in self._final_answers():
                    self._end(f"the server refuses them: {self._call.details()}")
                    return
                pause = _FIRST_PAUSE if progress else min(2 * pause, _LONGEST_PAUSE)
                if self._changed.wait_for(lambda: self._ended, pause):
                    return
            try:
                self._open_stream()
            except RuntimeError as err:  # no new threads in an interpreter that shuts down
                with self._changed:
                    self._end(str(err))
                return

    def _receive(self) -> tuple[grpc.StatusCode | None, bool]:
        """Take acknowledgements until the stream ends.

        Returns its status if that is not OK, and whether any acknowledgement came.
        """
        progress = False
        try:
            for acknowledged in self._call:
                progress = True
                with self._changed:
                    self._buffer.acknowledge(acknowledged)
                    self._changed.notify_all()
        except self._grpc.RpcError:
            return self._call.code(), progress
        return None, progress

    def _final_answers(self) -> tuple[grpc.StatusCode, ...]:
        """Return the statuses that would be the same the next time."""
        code = self._grpc.StatusCode
        return (
            code.INVALID_ARGUMENT,
            code.UNIMPLEMENTED,
            code.PERMISSION_DENIED,
            code.UNAUTHENTICATED,
        )


def _identity(payload: bytes) -> bytes:
    return payload


def _disable(telemetry: Telemetry | None) -> None:
    if telemetry is not None:
        telemetry._enabled = False
        telemetry._thread = None
        atexit.unregister(telemetry.close)
