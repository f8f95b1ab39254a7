"""The size of the pictures in an AV1 bitstream, which need not be what the file around it says.

A decoder takes memory by what the bitstream says. AV1 specification, 5.3 to 5.5 and 5.9.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

MAX_UNITS = 10_000  # a photo is in three or four
_SEQUENCE_HEADER = 1


class _Bits:
    """Reads numbers bit by bit; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        shifted = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return shifted & ((1 << count) - 1)

    def take_uvlc(self) -> int:
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        return 0xFFFFFFFF if zeros == 32 else self.take(zeros) + (1 << zeros) - 1


def largest_picture(bitstream: bytes) -> int:
    """The pixels of the largest picture that a sequence header of the bitstream allows; 0 if it has none.

    Raises struct.error if it is in over MAX_UNITS units.
    """
    return max(map(_pixels, _sequence_headers(bitstream)), default=0)


def _sequence_headers(bitstream: bytes) -> Iterator[bytes]:
    at, units = 0, 0
    while at < len(bitstream):
        units += 1
        if units > MAX_UNITS:
            raise struct.error("too many units")
        header = bitstream[at]
        at += 2 if header & 4 else 1  # with an extension
        length = len(bitstream) - at
        if header & 2:
            length, at = _leb128(bitstream, at)
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            yield bitstream[at : at + min(length, 200)]
        at += length


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    return len(data), at + 8


def _pixels(header: bytes) -> int:
    bits = _Bits(header)
    bits.take(3 + 1)  # profile, still picture
    if bits.take(1):  # reduced header
        bits.take(5)
    else:
        delay_bits, has_model = 0, 0
        if bits.take(1):  # timing
            bits.take(32 + 32)
            if bits.take(1):
                bits.take_uvlc()
            has_model = bits.take(1)
            if has_model:
                delay_bits = bits.take(5) + 1
                bits.take(32 + 5 + 5)
        has_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):  # operating points
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if has_model and bits.take(1):
                bits.take(2 * delay_bits + 1)
            if has_delay and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return (bits.take(width_bits) + 1) * (bits.take(height_bits) + 1)
