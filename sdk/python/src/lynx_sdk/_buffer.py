"""What telemetry keeps in memory: the batch being filled, and batches not acknowledged yet.

No threads and no network here; :class:`lynx_sdk.telemetry.Telemetry` holds a lock
around each call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lynx_sdk._encode import Encoder, encode_head

# A batch is full at so many bytes, some 1,500 values: each that is sent takes some
# of the interpreter's time from the simulation.
BATCH_BYTES = 64 << 10
# The runner takes messages up to 1 MiB; a single sample must stay below that.
MAX_SAMPLE_BYTES = 900 << 10


@dataclass(frozen=True)
class Batch:
    """A numbered batch, encoded."""

    sequence: int
    samples: int
    payload: bytes


class Buffer:
    """An open batch, then a queue of closed ones, bounded by ``limit`` bytes.

    At the limit new samples are dropped, not old ones: the numbers of the queued
    batches may have been seen by the server already and must stay without gaps.
    """

    def __init__(self, attempt_id: str, units: Mapping[str, str], limit: int) -> None:
        self._attempt_id = attempt_id
        self._encoder = Encoder(units)
        self._limit = limit
        self._queue: deque[Batch] = deque()
        self._queued_bytes = 0
        self._sequence = 0  # of the newest closed batch
        self._reported_dropped = 0
        self.acknowledged = self.dropped = 0
        self._open()

    def _open(self) -> None:
        self._samples: list[bytes] = []
        self._bytes = 0

    @property
    def has_open(self) -> bool:
        """Whether the open batch holds anything."""
        return bool(self._samples)

    @property
    def pending(self) -> int:
        """The samples that the server has not acknowledged."""
        return len(self._samples) + sum(batch.samples for batch in self._queue)

    @property
    def unreported_drops(self) -> bool:
        """Whether samples were dropped since the last batch said how many were."""
        return self.dropped != self._reported_dropped

    def has_room(self) -> bool:
        """Whether another sample may be added."""
        return self._queued_bytes < self._limit

    def append(self, time_seconds: float, values: Mapping[str, Any]) -> bool:
        """Add a sample; True if that began a batch, or closed it because it is full.

        Raises TypeError or ValueError, and adds nothing, for what cannot be sent.
        """
        sample = self._encoder.encode(time_seconds, values)
        if len(sample) > MAX_SAMPLE_BYTES:
            raise ValueError(f"one with {len(values)} values is too large")
        samples = self._samples
        samples.append(sample)
        self._bytes += len(sample)
        if self._bytes < BATCH_BYTES:
            return len(samples) == 1
        self.close_batch()
        return True

    def close_batch(self) -> None:
        """Give the open batch a number and the count of dropped samples, and queue it."""
        self._sequence += 1
        self._reported_dropped = self.dropped
        head = encode_head(self._attempt_id, self._sequence, self.dropped)
        payload = b"".join((head, *self._samples))
        self._queue.append(Batch(self._sequence, len(self._samples), payload))
        self._queued_bytes += len(payload)
        self._open()

    def acknowledge(self, sequence: int) -> None:
        """Forget all batches up to a number."""
        while self._queue and self._queue[0].sequence <= sequence:
            batch = self._queue.popleft()
            self._queued_bytes -= len(batch.payload)
            self.acknowledged += batch.samples

    def next_after(self, sequence: int) -> Batch | None:
        """Return the oldest closed batch with a number above the given one."""
        if not self._queue or self._queue[-1].sequence <= sequence:
            return None
        return self._queue[max(sequence + 1 - self._queue[0].sequence, 0)]

    def drop_all(self) -> int:
        """Give up what is left; return how many samples that were."""
        lost = self.pending
        self.dropped += lost
        self._queue.clear()
        self._queued_bytes = 0
        self._open()
        return lost
