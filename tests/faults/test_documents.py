"""Documents of strangers: JSON, YAML, arrays and weights that are odd, huge or hostile end in one line that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsing import json_files
from parsing.errors import InputError
from parsing.files import read_bounded
from parsing.json_files import parse_json, read_json, read_json_lines
from parsing.memory import memory_budget


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    return text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON, or cut off"),
        (b'{"a": [1,', "line 1 column 9"),
        (b"[\n1,\n}", "line 3 column 1"),
        (b"[" * 100_000, "recursion limit exceeded at line 1 column 2"),
        (b'{"a":' * 100_000, "recursion limit exceeded"),
        (b"[" * 203 + b"]" * 203, "recursion limit exceeded"),
        (b"9" * 5_000, "number out of range"),
        (b'"\xff"', "invalid unicode"),
        (b'"a\x00"', "control character"),
        (b"\xff\xfe[", "not JSON"),  # UTF-16 that ends within a character
        (b"import os", "expected value"),
    ],
)
def test_json_that_is_none(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.json: .*{message}") as error:
        read_json(tmp_path / "a.json")
    one_line(error)


def test_json_of_any_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "a.json").write_text('{"ä": [1, NaN]}', encoding=encoding)
        assert list(read_json(tmp_path / "a.json")) == ["ä"]
    assert parse_json("[" * 200 + "]" * 200, "text")


def test_json_keys_that_stand_twice(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": {"b": 1, "b": 2}}')
    assert read_json(tmp_path / "a.json") == {"a": {"b": 2}}
    with pytest.raises(InputError, match=r"a\.json: the key 'b' stands twice"):
        read_json(tmp_path / "a.json", unique_keys=True)


def test_json_lines_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"epoch": 0}\n{"epoch": 1}\n')
    assert read_json_lines(tmp_path / "a.jsonl") == [{"epoch": 0}, {"epoch": 1}]
    (tmp_path / "a.jsonl").write_text('{"epoch": 0}\n{"epo')
    with pytest.raises(InputError, match=r"a\.jsonl: line 2: not JSON"):
        read_json_lines(tmp_path / "a.jsonl")


def test_json_that_does_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte of JSON can take forty in memory; what is refused depends on what is free."""
    (tmp_path / "a.json").write_bytes(b"[" + b"[]," * 1_000 + b"[]]")  # 3 kB that take 1,002 lists of 80 bytes
    monkeypatch.setattr(json_files, "memory_budget", lambda: 200_000)
    assert len(read_json(tmp_path / "a.json")) == 1_001
    monkeypatch.setattr(json_files, "memory_budget", lambda: 80_000)
    with pytest.raises(InputError, match=r"a\.json: up to 0 MiB in memory.*split the file"):
        read_json(tmp_path / "a.json")
    monkeypatch.setattr(json_files, "memory_budget", lambda: 1_000)
    with pytest.raises(InputError, match=r"a\.json: 0 MiB, at most 0 MiB are read"):
        read_json(tmp_path / "a.json")


def test_files_without_end_and_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/dev/zero: no end, at most 1 MiB are read"):
        read_bounded(Path("/dev/zero"), 2**20)
    for path, message in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file"), (Path("a\0b"), "null byte")):
        with pytest.raises(InputError, match=message):
            read_json(path)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="sparse: 1048576 MiB, at most"):
        read_json(tmp_path / "sparse")


def test_the_budget_is_a_part_of_the_machine() -> None:
    assert 0 < memory_budget() < 2**44
