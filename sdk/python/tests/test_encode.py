import random

import pytest

from lynx_sdk._encode import decode_acknowledged, encode_head
from lynx_sdk._proto import telemetry_pb2 as pb

NUMBERS = [0, 1, 127, 128, 300, 2**14, 2**32 - 1, 2**32, 2**63, 2**64 - 1]


@pytest.mark.parametrize("attempt", ["", "job-1", "läuft-2", "x" * 300])
def test_a_head_is_what_the_generated_class_makes(attempt: str) -> None:
    for sequence in NUMBERS:
        for dropped in NUMBERS:
            want = pb.StreamRequest(
                attempt_id=attempt, sequence=sequence, client_dropped_samples=dropped
            )
            assert encode_head(attempt, sequence, dropped) == want.SerializeToString()


def test_an_acknowledgement_is_read_as_by_the_generated_class() -> None:
    for number in NUMBERS:
        data = pb.StreamResponse(acknowledged_sequence=number).SerializeToString()
        assert decode_acknowledged(data) == number


@pytest.mark.parametrize(
    "field",
    [b"\x10\x96\x01", b"\x1a\x03abc", b"\x21" + bytes(8), b"\x2d" + bytes(4), b"\x82\x01\x00"],
    ids=["number", "text", "eight bytes", "four bytes", "text with a high number"],
)
def test_fields_of_a_newer_server_are_passed_over(field: bytes) -> None:
    known = pb.StreamResponse(acknowledged_sequence=300).SerializeToString()
    for data in (known + field, field + known, field + known + field):
        assert pb.StreamResponse.FromString(data).acknowledged_sequence == 300
        assert decode_acknowledged(data) == 300
    assert decode_acknowledged(field) == 0


def test_the_last_of_several_counts() -> None:
    data = b"\x08\x05\x08\x07"
    assert pb.StreamResponse.FromString(data).acknowledged_sequence == 7
    assert decode_acknowledged(data) == 7


@pytest.mark.parametrize(
    "data",
    [b"\x08", b"\x08\x80", b"\x1a\x03ab", b"\x21\x00", b"\x08" + b"\xff" * 10, b"\x0b", b"\x80"],
)
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="acknowledgement"):
        decode_acknowledged(data)


def test_any_bytes_end_in_a_number_or_an_error() -> None:
    rng = random.Random(1)
    for _ in range(20_000):
        try:
            number = decode_acknowledged(rng.randbytes(rng.randrange(12)))
        except ValueError:
            continue
        assert 0 <= number < 2**70
