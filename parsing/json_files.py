"""JSON files: read from strangers with bounded depth and memory, and errors that name the file and the place; written whole.

NaN and Infinity, which Python writes and JSON does not know, are read as numbers: whoever reads a number says what it may be.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from parsing.errors import InputError
from parsing.files import atomic
from parsing.memory import memory_budget, read_bounded

# Bytes of memory that each of these costs when it becomes a Python object; measured on CPython 3.11, rounded up.
_COSTS = {b"{": 184, b"[": 80, b",": 40, b":": 40, b'"': 12}
_MOST = 4 + max(_COSTS.values())  # that a byte can cost
_KEY = re.compile(rb"[^:]*:\s*")  # of a member of an object, from the end of the value before it


def read_json(path: Path, *, unique_keys: bool = False) -> Any:
    """JSON from a file, in UTF-8 (with or without a byte order mark) or UTF-16.

    Args:
        unique_keys: refuse an object in which a key stands twice; otherwise the last one counts.

    Raises:
        InputError: it cannot be read, is no JSON, nests deeper than about 200, would not fit into half of the free memory,
            or repeats a key.
    """
    return parse_json(_utf8(read_bounded(path, memory_budget()), str(path)), str(path), unique_keys=unique_keys)


def read_json_texts(path: Path) -> dict[str, bytes]:
    """The members of a JSON object, each value still as text in UTF-8, to be parsed one at a time by `parse_json`.

    Raises:
        InputError: as `read_json` with `unique_keys`, or it is no object. What stands within a value may still be wrong.
    """
    import msgspec  # late, as result files alone need it

    data = _utf8(read_bounded(path, memory_budget()), str(path))
    try:
        texts = {key: bytes(raw) for key, raw in msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items()}
        if _are_all(data, texts.values()):
            return texts
    except (ValueError, RecursionError):  # it has NaN, is no object, or no JSON
        pass
    value = parse_json(data, str(path), unique_keys=True)
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected an object")
    return {key: json.dumps(one).encode() for key, one in value.items()}


def parse_json(data: bytes | str, where: str, *, unique_keys: bool = False) -> Any:
    """JSON from text or UTF-8.

    Args:
        where: what the text is, for messages.
        unique_keys: refuse an object in which a key stands twice; otherwise the last one counts.

    Raises:
        InputError: it is no JSON, nests deeper than about 200, would not fit into half of the free memory, or repeats a key.
    """
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    free = memory_budget()
    if len(data) * _MOST > free and (needed := _memory_of(data)) > free:
        sizes = f"up to {needed / 2**20:.0f} MiB in memory, of which {free / 2**20:.0f} MiB may be used now"
        raise InputError(f"{where}: {sizes}; split the file")
    try:
        value = from_json(data, allow_inf_nan=True)
    except ValueError as error:
        raise InputError(f"{where}: not JSON, or cut off ({error})") from None
    if unique_keys:
        _check_unique(data, value, where)
    return value


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


def _are_all(data: bytes, texts: Iterable[bytes]) -> bool:
    """Whether these are, in order, the values of all members of an object: of a key that stands twice, one value was lost."""
    end = 0
    for text in texts:
        key = _KEY.match(data, end)
        if key is None or not data.startswith(text, key.end()):
            return False
        end = key.end() + len(text)
    return b":" not in data[end:]


def _memory_of(data: bytes) -> int:
    """An upper bound of what the parsed value takes; a character beyond ASCII can make a text of four bytes a character."""
    return len(data) * (1 if data.isascii() else 4) + sum(cost * data.count(mark) for mark, cost in _COSTS.items())


def _check_unique(data: bytes, value: Any, where: str) -> None:
    """Each key is followed by a colon, so a text has more of them than its value where a key was dropped from that.

    Counting them is many times faster than looking at every object. A colon of a text that is written as an escape is
    one more in the value, which could make up for one that was lost.
    """
    if b"\\u003" in data or data.count(b":") != to_json(value, inf_nan_mode="constants").count(b":"):
        json.loads(data, object_pairs_hook=lambda pairs: _check_pairs(pairs, where))


def _check_pairs(pairs: list[tuple[str, Any]], where: str) -> None:
    counts = Counter(key for key, _ in pairs)
    if len(counts) < len(pairs):
        raise InputError(f"{where}: the key {counts.most_common(1)[0][0]!r:.80} stands twice in one object")


def write_json(path: Path, value: Any) -> None:
    """JSON, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
