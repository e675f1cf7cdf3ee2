"""JSON files: read from strangers with bounded depth and memory, and errors that name the file and the place; written whole.

NaN and Infinity, which Python writes and JSON does not know, are read as numbers: whoever reads a number says what it may be.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from parsing.errors import InputError
from parsing.files import atomic
from parsing.memory import memory_budget, read_bounded

# Bytes of memory that each of these costs when it becomes a Python object; measured on CPython 3.11, rounded up.
_COSTS = {b"{": 184, b"[": 80, b",": 40, b":": 40, b'"': 12}


def read_json(path: Path, *, unique_keys: bool = False) -> Any:
    """JSON from a file, in UTF-8 (with or without a byte order mark) or UTF-16.

    Args:
        unique_keys: refuse an object in which a key stands twice; otherwise the last one counts.

    Raises:
        InputError: it cannot be read, is no JSON, nests deeper than about 200, would not fit into half of the free memory,
            or repeats a key.
    """
    data = _utf8(read_bounded(path, memory_budget()), str(path))
    value = parse_json(data, str(path))
    if unique_keys:
        json.loads(data, object_pairs_hook=lambda pairs: _check_unique(pairs, path))
    return value


def parse_json(data: bytes | str, where: str) -> Any:
    """JSON from text or UTF-8.

    Args:
        where: what the text is, for messages.

    Raises:
        InputError: it is no JSON, nests deeper than about 200, or would not fit into half of the free memory.
    """
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    needed, free = _memory_of(data), memory_budget()
    if needed > free:
        sizes = f"up to {needed / 2**20:.0f} MiB in memory, of which {free / 2**20:.0f} MiB may be used now"
        raise InputError(f"{where}: {sizes}; split the file")
    try:
        return from_json(data, allow_inf_nan=True)
    except ValueError as error:
        raise InputError(f"{where}: not JSON, or cut off ({error})") from None


def read_json_lines(path: Path, *, may_be_cut: bool = False) -> list[Any]:
    """A value of each line of a file.

    Args:
        may_be_cut: what follows the last end of a line does not count: its writer was stopped there.

    Raises:
        InputError: it cannot be read, or a line is no JSON; names the line.
    """
    data = read_bounded(path, memory_budget())
    lines = data[: data.rfind(b"\n") + 1 if may_be_cut else None].splitlines()
    return [parse_json(line, f"{path}: line {number}") for number, line in enumerate(lines, 1)]


def _utf8(data: bytes, where: str) -> bytes:
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-16").encode()
    except UnicodeError as error:
        raise InputError(f"{where}: not JSON, or cut off ({error})") from None


def _memory_of(data: bytes) -> int:
    """An upper bound of what the parsed value takes; a character beyond ASCII can make a text of four bytes a character."""
    return len(data) * (1 if data.isascii() else 4) + sum(cost * data.count(mark) for mark, cost in _COSTS.items())


def _check_unique(pairs: list[tuple[str, Any]], path: Path) -> None:
    counts = Counter(key for key, _ in pairs)
    if len(counts) < len(pairs):
        raise InputError(f"{path}: the key {counts.most_common(1)[0][0]!r:.80} stands twice in one object")


def write_json(path: Path, value: Any) -> None:
    """JSON, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
