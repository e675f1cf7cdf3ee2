"""Documents of strangers: JSON, YAML, arrays and weights that are odd, huge or hostile end in one line that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parsing import json_files
from parsing.configs import override
from parsing.errors import InputError
from parsing.json_files import parse_json, read_json, read_json_lines
from parsing.memory import memory_budget, read_bounded
from parsing.yaml_files import yaml_value


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


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 300,000 values"),  # 10^9 of them in 600 bytes
        (CHAIN, "nested deeper than 50"),
        ("a: &a [*a]", "nested deeper than 50"),  # holds itself
        ("a: &a {<<: *a}", "nested deeper than 50"),
        ("[" * 100_000, "nested deeper than 50 at line 1 column 52"),
        ("{a: " * 100_000, "nested deeper than 50"),
        ("\n".join(" " * i + "a:" for i in range(900)), "nested deeper than 50 at line 51"),
        ("- " * 900 + "a", "nested deeper than 50"),
        ("a: 1" + "0" * 5_000, "a number of 5001 characters, at most 64 are read at line 1 column 4"),
        ("a: 0x" + "f" * 5_000, "a number of 5002 characters"),
        ("a: 1" + ":1" * 300_000, "a number of 600001 characters"),  # to the base of 60, which takes minutes
        ("a: 1" + ":1" * 300_000 + ".5", "a number of 600003 characters"),
        ("a: 2024-13-45", "'2024-13-45' is no timestamp at line 1 column 4"),
        ("a: !!int x", "'x' is no int"),
        ("a: !!int ''", "'' is no int"),
        ("a: !!bool x", "'x' is no bool"),
        ("a: !!timestamp x", "'x' is no timestamp"),
        ("a: !!float x", "'x' is no float"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands twice at line 3 column 1"),
        ("a: [{b: 1, b: 2}]", "the key 'b' stands twice"),
        ("{[a]: 1}", "unhashable key"),
        ("a: *nobody", "undefined alias"),
        ("a: 1\n---\nb: 1", "another document"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: \x07", "special characters are not allowed"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^c.yaml: not readable as YAML .*{message}") as error:
        yaml_value(text, "c.yaml")
    one_line(error)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a [1]\nb: *a", {"a": [1], "b": [1]}),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}),
        ("1: a\n'1': b", {1: "a", "1": "b"}),
        ("[" * 51 + "]" * 51, eval("[" * 51 + "]" * 51)),
        ("", None),
    ],
)
def test_yaml_that_is_read(text: str, value: Any) -> None:
    assert yaml_value(text, "c.yaml") == value


@pytest.mark.parametrize("path", ["a.\u00b2=1", "a." + "9" * 5_000 + "=1", "a.-1=1", "a.01=1", "a.0=" + "[" * 5_000, "b=0x" + "f" * 5_000])
def test_settings_that_are_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"^--set ") as error:
        override({"a": [1, 2]}, [path])
    one_line(error)
