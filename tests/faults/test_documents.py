"""Documents of strangers: JSON, YAML, arrays and weights that are odd, huge or hostile end in one line that names them."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parsing import array_files, document, json_files
from parsing.array_files import read_npy, read_npz
from parsing.configs import override
from parsing.document import VideoParse, read_parse
from parsing.errors import InputError
from parsing.json_files import parse_json, read_json, read_json_lines, read_json_texts
from parsing.memory import memory_budget, read_bounded
from parsing.types import Detections, FrameParse, Parts, PartStates, VideoFacts
from parsing.vocabulary import Vocabulary, read_list
from parsing.writing import write_parse
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


def test_colons_do_not_hide_a_key_that_stands_twice(tmp_path: Path) -> None:
    """Keys are counted by their colons: those of a text, and those that it writes as escapes, must not make up for a lost one."""
    for text in (r'{"a": {"b": "\u003a", "b": "\u003a\u003a"}}', r'{"a": "\u003a", "a": "\u003a\u003a"}', r'{"a": ":", "a": "::"}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=r"a\.json: the key '[ab]' stands twice"):
            read_json(tmp_path / "a.json", unique_keys=True)
    for text in (r'{"a": "\u003A:", "b": ["::"]}', '{"a:": {"::": 10000000000000000000000000}, "b": NaN}'):
        (tmp_path / "a.json").write_text(text)
        assert repr(read_json(tmp_path / "a.json", unique_keys=True)) == repr(json.loads(text))


def test_members_of_an_object_come_as_texts(tmp_path: Path) -> None:
    for text in ('{"a": {"b:": [1]}, "b:": "x"}', '{"a": NaN}', '\ufeff{"a": 1}', "{}"):
        (tmp_path / "a.json").write_text(text)
        texts = read_json_texts(tmp_path / "a.json")
        assert repr({key: parse_json(value, key) for key, value in texts.items()}) == repr(read_json(tmp_path / "a.json"))
    for text, message in (
        ("[1]", "expected an object"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": {}, "b": {"a": {}}, "a": {}}', "stands twice"),
        ('{"a": [1', "cut off"),
        ("", "cut off"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=rf"a\.json: .*{message}"):
            read_json_texts(tmp_path / "a.json")


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


def npy(shape: Any, dtype: str = "'<f4'", data: bytes = b"", order: str = "False") -> bytes:
    """An `.npy` file whose header claims what it likes."""
    header = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def npz(content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.npy", content)
    return file.getvalue()


ARRAYS = [
    (b"", "magic"),
    (b"text", "magic"),
    (npy("(10**12,)"), "not a readable"),
    (npy("(1000000000000,)"), "claims .* 4e.12 bytes, and has 0"),
    (npy("(1000000000000, 1000000000000, 1000000000000)"), "and has 0"),
    (npy("(4,)", data=b"123"), "16 bytes, and has 3"),
    (npy("(4,)", data=b"1" * 17), "16 bytes, and has 17"),
    (npy("(-4,)", data=b"1" * 16), "and has 16"),
    (npy("(-2, -2)", data=b"1" * 16), "and has 16"),
    (npy("(1,)", "'<U300000000'"), "1.2e.09 bytes, and has 0"),
    (npy("(1,)", "'|V2000000000'"), "2e.09 bytes, and has 0"),
    (npy("(1,)", "'|O'", b"cos\nsystem\n"), "Python objects, which are not loaded"),
    (npy("(1,)", "[('a', '|O')]"), "Python objects, which are not loaded"),
    (npy("(1,)", "'<q9'"), "not a readable"),
    (npy("(" * 4_000 + ")" * 4_000), "not a readable"),
    (npy("(1,)", "'" + "<f4" * 4_000 + "'"), "not a readable"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "not a readable"),  # a header of 4 GiB
    (b"\x93NUMPY\x09\x00", "not a readable"),
    (npy("(4,)", data=b"1" * 16)[:40], "not a readable"),
]


@pytest.mark.parametrize(("content", "message"), ARRAYS)
def test_arrays_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    (tmp_path / "a.npz").write_bytes(npz(content))
    (tmp_path / "b.npz").write_bytes(npz(content, zipfile.ZIP_DEFLATED))
    for file in ("a.npy", "a.npz", "b.npz"):
        with pytest.raises(InputError, match=f"{file}: not a readable file of arrays") as error:
            read_npy(tmp_path / file) if file.endswith("npy") else read_npz(tmp_path / file, ["a"])
        assert re.search(message, one_line(error))


def bomb() -> bytes:
    """300 MB of zeros in 300 kB, with a header that tells the truth."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(npy("(300000000,)", "'|u1'"))
        for _ in range(300):
            member.write(bytes(1_000_000))
    return file.getvalue()


def claims_more(archive: bytes) -> bytes:
    """The archive, whose index claims that its member has 2 GiB."""
    at = archive.index(b"PK\x01\x02") + 24
    return archive[:at] + (2**31).to_bytes(4, "little") + archive[at + 4 :]


GOOD = npy("(4,)", data=b"1" * 16)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (bomb, "claims 286 MiB of arrays, at most"),
        (lambda: claims_more(npz(GOOD)), "claims 2048 MiB of arrays"),
        (lambda: npz(GOOD, zipfile.ZIP_LZMA), "a is packed by method 14"),
        (lambda: npz(GOOD, zipfile.ZIP_BZIP2), "a is packed by method 12"),
        (lambda: npz(GOOD)[:-30], "not a zip file"),
        (lambda: npz(GOOD).replace(b"1" * 16, b"2" * 16), "Bad CRC-32"),
        (lambda: npz(GOOD, zipfile.ZIP_DEFLATED).replace(b"\x93NUMPY"[:1], b"\x00"), "not a readable"),
        (lambda: b"", "not a zip file"),
    ],
)
def test_archives_of_arrays_that_are_refused(tmp_path: Path, archive: Callable[[], bytes], message: str) -> None:
    (tmp_path / "a.npz").write_bytes(archive())
    with pytest.raises(InputError, match=r"a\.npz: not a readable file of arrays") as error:
        read_npz(tmp_path / "a.npz", ["a"])
    assert re.search(message, one_line(error))


def test_arrays_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.ones((2, 3))), "c": np.array(["x", "yz"]), "d": np.zeros((0, 3))}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    for file in ("a.npz", "b.npz"):
        found = read_npz(tmp_path / file, [*arrays, "none"])
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    np.save(tmp_path / "a.npy", arrays["b"])
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), arrays["b"])
    monkeypatch.setattr(array_files, "memory_budget", lambda: 100)
    with pytest.raises(InputError, match="of arrays, at most 0 MiB are read"):
        read_npz(tmp_path / "a.npz", arrays)


VOCABULARY = Vocabulary("tiny", ("head", "hip"), ("still", "nod"), (("still", "nod"), ("still",)), ("walk",))


@pytest.fixture
def parse(tmp_path: Path) -> Path:
    """Three frames with a person each."""
    frames = []
    for index in range(3):
        persons = Detections(np.array([[1, 2, 30, 40]]), np.ones(1), np.zeros(1), np.array([7]))
        parts = Parts(np.full((1, 2, 4), 5.0), np.ones((1, 2)), np.ones((1, 2), bool))
        frames.append(FrameParse(index, index / 10, persons, parts, PartStates(np.full((1, 2, 2), 0.5))))
    facts = VideoFacts("a.mp4", 64, 48, 0, 10.0, 0.3, 3, 3, 0)
    write_parse(VideoParse(facts, VOCABULARY, (), tuple(frames), (), True), tmp_path / "p.json")
    return tmp_path / "p.json"


def changed(path: Path, keys: str, value: Any) -> None:
    content = json.loads(path.read_text())
    node = content
    *parents, last = [int(key) if key.isdigit() else key for key in keys.split(".")]
    for key in parents:
        node = node[key]
    node[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        ("frames.1.time_s", float("nan"), r"frames\.1\.time_s: Input should be a finite number"),
        ("frames.1.time_s", float("inf"), r"frames\.1\.time_s: Input should be a finite number"),
        ("frames.1.index", 0, "index 0 after 0, expected rising"),
        ("frames.1.index", 5, "index 2 after 5, expected rising"),
        ("frames.1.index", -1, r"frames\.1\.index"),
        ("frames.1.index", 2**70, r"frames\.1\.index: Input should be less than"),
        ("frames.1.persons.0.track_id", 2**70, r"frames\.1\.persons\.0\.track_id: Input should be less than"),
        ("frames.1.persons.0.track_id", -1, r"track_id: Input should be greater"),
        ("frames.1.persons.0.track_id", 7.5, r"track_id: Input should be a valid integer"),
        ("frames.1.persons.0.box", [0, 0, 1e300, 5], r"box\.2: Input should be less than"),
        ("frames.1.persons.0.box", [0, float("nan"), 1, 5], r"box\.1: Input should be a finite number"),
        ("frames.1.persons.0.box", [0, 0, 5], r"box"),
        ("frames.1.persons.0.score", float("nan"), r"score: Input should be a finite number"),
        ("frames.1.persons.0.parts.head.states.0.score", 1.5, r"score: Input should be less than"),
        ("frames.1.persons.0.parts.head.states.0.label", "fly", r"index 1: head: states: 'fly' is not in the vocabulary"),
        ("frames.1.persons.0.parts.wing", {"box": None, "score": 0, "visible": False, "states": []}, "parts: 'wing' is not in"),
        ("frames.1.persons.0.parts", [[]] * 9, "parts: Input should be a valid dictionary"),
        ("vocabulary.states", ["still", "still"], "holds a name twice"),
        ("vocabulary.states", [1, 2], "Input should be a valid string"),
        ("vocabulary.part_states", {"head": ["still"]}, "hip"),
        ("tracks.0.track_id", 2**64, r"tracks\.0\.track_id"),
        ("video.fps", float("nan"), r"video\.fps: Input should be a finite number"),
        ("video.width", -5, r"video\.width"),
        ("video", None, "video"),
        ("schema_version", "9", "schema_version"),
    ],
)
def test_parses_that_are_refused(parse: Path, keys: str, value: Any, message: str) -> None:
    changed(parse, keys, value)
    with pytest.raises(InputError, match=rf"p\.json: not a parse: .*{message}") as error:
        read_parse(parse)
    one_line(error)


def test_parses_that_say_something_twice(parse: Path) -> None:
    content = json.loads(parse.read_text())
    content["frames"][1]["persons"] *= 2
    parse.write_text(json.dumps(content))
    with pytest.raises(InputError, match="frames: index 1: track_id 7 stands twice"):
        read_parse(parse)
    content["frames"][1]["persons"].pop()
    content["tracks"] *= 2
    parse.write_text(json.dumps(content))
    with pytest.raises(InputError, match="tracks: track_id 7 stands twice"):
        read_parse(parse)


def test_parses_whose_scores_do_not_fit_into_memory(parse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three persons of 1,000 parts with 1,000 states: 24 MB from a file of 60 kB."""
    names = [f"n{i}" for i in range(1_000)]
    content = json.loads(parse.read_text())
    for frame in content["frames"]:
        frame["persons"][0]["parts"] = {}
    content["vocabulary"] |= {"parts": names, "states": names, "part_states": {name: [] for name in names}}
    parse.write_text(json.dumps(content))
    assert len(read_parse(parse).frames) == 3
    monkeypatch.setattr(document, "memory_budget", lambda: 23 * 10**6)
    with pytest.raises(InputError, match="not a parse: its 3,000,000 scores do not fit"):
        read_parse(parse)


def test_parses_that_nest_deeply(parse: Path) -> None:
    parse.write_bytes(b'{"frames":' + b"[" * 100_000)
    with pytest.raises(InputError, match=r"p\.json: not JSON, or cut off \(recursion limit"):
        read_parse(parse)


def test_lists_of_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(map(str, range(100_000))))  # names were compared each with each
    assert len(read_list(tmp_path / "names.txt")) == 100_000
    with pytest.raises(InputError, match="/dev/zero: no end"):
        read_list(Path("/dev/zero"))
    (tmp_path / "names.txt").write_text("a\nb\na\n")
    with pytest.raises(InputError, match=r"names\.txt: 'a' stands twice"):
        read_list(tmp_path / "names.txt")
