"""CSV as people write it: any of four separators, a byte order mark, blanks around values, names of columns in any case."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from parsing.errors import InputError
from parsing.memory import memory_budget, read_bounded

DELIMITERS = ",;\t|"


def read_text(path: Path) -> str:
    """Raises InputError: the file cannot be read as UTF-8."""
    try:
        return read_bounded(path, memory_budget()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a list ({error})") from None


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a file below its header: their numbers, and their values by column, "" where a line lacks one.

    Args:
        columns: that the header must name.

    Raises:
        InputError: the file cannot be read, lacks a column, or a line has more values than the header.
    """
    text = read_text(path)
    header = text.partition("\n")[0]
    delimiter = next((mark for mark in DELIMITERS if set(columns) <= set(_names(header, mark))), "")
    if not delimiter:
        known = {name for mark in DELIMITERS for name in _names(header, mark)}
        missing = next((name for name in columns if name not in known), columns[0])
        raise InputError(f"{path}: column {missing!r} is missing; expected {', '.join(columns)}")
    try:
        file = io.StringIO(text, newline="")
        rows = csv.DictReader(file, _names(header, delimiter), restval="", delimiter=delimiter, skipinitialspace=True, strict=True)
        next(rows)  # the header
        for row in rows:
            if None in row:
                raise InputError(f"{path}: line {rows.line_num}: expected {', '.join(columns)}, separated as in the first line")
            yield rows.line_num, {name: value.strip() for name, value in row.items()}
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None


def _names(header: str, delimiter: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([header.strip()], delimiter=delimiter, skipinitialspace=True), [])]
