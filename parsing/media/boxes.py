"""The outermost boxes of MP4 and MOV files (ISO/IEC 14496-12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Readable(Protocol):
    size: int

    def read(self, num_bytes: int) -> bytes: ...
    def seek(self, offset: int) -> int: ...


class Box(NamedTuple):
    """A box: its kind and where it lies, `end` after its last byte, which may be behind the end of a file that was cut."""

    kind: bytes
    start: int
    end: int


def boxes(file: Readable) -> Iterator[Box]:
    """Boxes from the beginning of a file, up to its end or the first that is none."""
    start = 0
    while start + 8 <= file.size:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:  # up to the file's end
            length = file.size - start
        if length < 8:
            return
        yield Box(head[4:8], start, start + length)
        start += length
