"""The bytes of ``lynx.telemetry.v1``, as the generated classes make and read them.

By hand, for two reasons. A simulation may report at each of its steps, and a sample
takes the classes four times as long: between its numbers, of eight bytes each, all
samples of the same variables in the same units are the same bytes. And to import them
takes longer than a short run's samples do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

# Of a simulation that never reports the same variables twice, so many are kept.
_MAX_LAYOUTS = 100


def encode_head(attempt_id: str, sequence: int, dropped: int) -> bytes:
    """Encode a ``StreamRequest`` but its samples, which may follow in any number."""
    return _text(b"\x0a", attempt_id) + _number(b"\x10", sequence) + _number(b"\x20", dropped)


def decode_acknowledged(response: bytes) -> int:
    """Read ``StreamResponse.acknowledged_sequence``. ValueError for what is no message.

    Fields that a newer server may add are passed over.
    """
    acknowledged, at = 0, 0
    while at < len(response):
        tag, at = _read_varint(response, at)
        kind = tag & 7
        if kind == 0:
            number, at = _read_varint(response, at)
            if tag >> 3 == 1:
                acknowledged = number
        elif kind == 2:
            size, at = _read_varint(response, at)
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a telemetry acknowledgement has a field of kind {kind}")
    if at > len(response):
        raise ValueError("a telemetry acknowledgement is cut off")
    return acknowledged


class Encoder:
    """Encodes samples, and remembers the unit that was last given for a variable."""

    def __init__(self, units: Mapping[str, str]) -> None:
        self._units = dict(units)
        self._layouts: dict[tuple[str, ...], _Layout] = {}

    def encode(self, time_seconds: float, values: Mapping[str, Any]) -> bytes:
        """Encode a sample, of numbers or of tuples of a number and its unit.

        Raises TypeError or ValueError, and remembers nothing, for what is neither.
        """
        names = tuple(values)
        layout = self._layouts.get(names)
        if layout is not None:
            try:
                return layout.encode(time_seconds, values.values())
            except (struct.error, OverflowError):
                pass  # there are units in it, or it is wrong
        numbers = []
        units = self._units
        for name, number in values.items():
            if type(number) is tuple:
                number, unit = number
                if units.get(name, "") != unit:
                    units = {**units, name: unit}
            numbers.append(number)
        if layout is None or units is not self._units:
            layout = _Layout(names, units)
        try:
            sample = layout.encode(time_seconds, numbers)
        except (struct.error, OverflowError):
            numbers.append(time_seconds)
            raise TypeError(f"one of {numbers} is no number") from None
        if units is not self._units or len(self._layouts) >= _MAX_LAYOUTS:
            self._layouts.clear()
        self._units = units
        self._layouts[names] = layout
        return sample


class _Layout:
    """What samples of the same variables, in the same units, have in common."""

    def __init__(self, names: Iterable[str], units: Mapping[str, str]) -> None:
        fixed, tail = [b""], b""
        for name in names:
            value = _text(b"\x0a", name) + b"\x11"  # Value.name, Value.value
            unit = _text(b"\x1a", units.get(name, ""))  # Value.unit
            size = len(value) + 8 + len(unit)
            fixed.append(tail + b"\x12" + _varint(size) + value)  # Sample.values
            tail = unit
        fixed.append(tail)
        size = 1 + 8 * (len(fixed) - 1) + sum(map(len, fixed))
        # StreamRequest.samples, Sample.time_seconds
        fixed[0] = b"\x1a" + _varint(size) + b"\x09"
        self._pack = struct.Struct("<" + "d".join(f"{len(part)}s" for part in fixed)).pack
        self._parts: list[Any] = [None] * (2 * len(fixed) - 1)
        self._parts[::2] = fixed

    def encode(self, time_seconds: float, numbers: Iterable[Any]) -> bytes:
        """Encode a sample. Raises struct.error or OverflowError for what is no number."""
        parts = self._parts.copy()
        parts[1::2] = (time_seconds, *numbers)
        return self._pack(*parts)


def _text(tag: bytes, text: str) -> bytes:
    """Encode a field of type string; an empty one is left out."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a text")
    data = text.encode()
    return tag + _varint(len(data)) + data if data else b""


def _number(tag: bytes, number: int) -> bytes:
    """Encode a field of type uint64; 0 is left out."""
    return tag + _varint(number) if number else b""


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a telemetry acknowledgement is cut off")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a telemetry acknowledgement has a number of more than 64 bits")


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
