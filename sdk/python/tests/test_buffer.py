import math
import random

import pytest

from lynx_sdk._buffer import BATCH_BYTES, Buffer
from lynx_sdk._proto import telemetry_pb2 as pb


def fill(buffer: Buffer, samples: int) -> None:
    for k in range(samples):
        buffer.append(k, {"k": k})


def test_a_batch_closes_when_it_is_full() -> None:
    buffer = Buffer("a-1", {}, 1 << 20)
    values = {f"v{k}": k for k in range(9)}  # 11 + 9 * 15 bytes
    news = [buffer.append(k, values) for k in range(-(-BATCH_BYTES // 147))]
    assert news == [True] + [False] * (len(news) - 2) + [True]
    assert not buffer.has_open
    batch = buffer.next_after(0)
    assert batch is not None
    assert (batch.sequence, batch.samples) == (1, len(news))
    assert len(pb.StreamRequest.FromString(batch.payload).samples) == len(news)


def test_room_ends_at_the_limit_and_comes_back_with_acknowledgements() -> None:
    buffer = Buffer("a-1", {}, 1000)
    while buffer.has_room():
        fill(buffer, 1)
        buffer.close_batch()
    pending = buffer.pending
    buffer.acknowledge(1)
    assert buffer.has_room()
    assert (buffer.pending, buffer.acknowledged) == (pending - 1, 1)


def test_drops_are_reported_by_the_next_batch() -> None:
    buffer = Buffer("a-1", {}, 1000)
    buffer.dropped = 7
    assert buffer.unreported_drops
    buffer.close_batch()
    assert not buffer.unreported_drops
    batch = buffer.next_after(0)
    assert batch is not None
    assert pb.StreamRequest.FromString(batch.payload).client_dropped_samples == 7


def test_giving_up_counts_open_and_queued_samples() -> None:
    buffer = Buffer("a-1", {}, 1 << 20)
    fill(buffer, 3)
    buffer.close_batch()
    fill(buffer, 2)
    assert buffer.drop_all() == 5
    assert (buffer.dropped, buffer.pending, buffer.next_after(0)) == (5, 0, None)


def test_a_sample_that_cannot_be_encoded_leaves_no_trace() -> None:
    buffer = Buffer("a-1", {}, 1 << 20)
    fill(buffer, 1)
    for bad in (
        {"a": 1, "b": None},
        {"a": (1, None)},
        {"a": (1, 2)},
        {"a": (None, "km")},
        {3: 1},
        {"a": ()},
    ):
        with pytest.raises((TypeError, ValueError)):
            buffer.append(1, bad)  # type: ignore[arg-type]
    buffer.append(2, {"a": 1})
    buffer.close_batch()
    batch = buffer.next_after(0)
    assert batch is not None
    samples = pb.StreamRequest.FromString(batch.payload).samples
    assert [(s.time_seconds, [v.name for v in s.values]) for s in samples] == [
        (0.0, ["k"]),
        (2.0, ["a"]),
    ]
    assert samples[1].values[0].unit == ""  # of the failed sample, nothing is remembered


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_events_keeps_the_counts_and_the_order(seed: int) -> None:
    """Against a model: a plain list of what is neither acknowledged nor dropped."""
    generator = random.Random(seed)
    buffer = Buffer("a-1", {}, 2000)
    batches: list[list[int]] = []
    model: list[int] = []
    emitted = acknowledged = 0
    for _ in range(300):
        action = generator.randrange(4)
        if action <= 1 and buffer.has_room():
            buffer.append(emitted, {"k": emitted})
            model.append(emitted)
            emitted += 1
        elif action == 2 and buffer.has_open:
            buffer.close_batch()
            batches.append(model)
            model = []
        elif action == 3 and batches:
            upto = generator.randrange(acknowledged, len(batches) + 1)
            buffer.acknowledge(upto)
            acknowledged = max(acknowledged, upto)
        waiting = sum(len(b) for b in batches[acknowledged:]) + len(model)
        assert buffer.pending == waiting
        assert buffer.acknowledged == emitted - waiting
        sent = acknowledged
        while (batch := buffer.next_after(sent)) is not None:
            sent += 1
            assert batch.sequence == sent
            decoded = pb.StreamRequest.FromString(batch.payload)
            assert [s.time_seconds for s in decoded.samples] == batches[sent - 1]
        assert sent == len(batches)


NAMES = ["a", "orbit.radius_km", "höhe", "n" * 200]


@pytest.mark.parametrize("seed", range(20))
def test_samples_are_the_bytes_that_the_generated_classes_give(seed: int) -> None:
    generator = random.Random(seed)
    units = {"a": "km", "höhe": "m" * 130}
    buffer = Buffer("a-1", units, 1 << 20)
    want = pb.StreamRequest(attempt_id="a-1", sequence=1)
    for _ in range(30):
        time = generator.choice([0.0, -1.5, 10, generator.random()])
        sample = want.samples.add()
        sample.time_seconds = time
        values: dict[str, float | tuple[float, str]] = {}
        for name in generator.sample(NAMES, generator.randrange(len(NAMES) + 1)):
            number = generator.choice([0, True, 1e300, math.inf, generator.random()])
            values[name] = number
            if generator.random() < 0.3:
                units[name] = generator.choice(["", "km", "°"])
                values[name] = (number, units[name])
            sample.values.add(name=name, value=number, unit=units.get(name, ""))
        buffer.append(time, values)
    buffer.close_batch()
    batch = buffer.next_after(0)
    assert batch is not None
    assert pb.StreamRequest.FromString(batch.payload) == want
