"""The command line of the zoo, and the table that it ships."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from detectors import PERSON_DETECTORS, POSE_ESTIMATORS
from parsing.errors import InputError
from parsing.label_lists import LABEL_LISTS
from parsing.networks import zoo
from parsing.networks.converters import conversions
from pipelines.stages import COMPONENTS
from pipelines.zoo import CHECKED, build_parser, main, table
from recognizers import RECOGNIZERS

DOCS = Path(__file__).parents[2] / "docs" / "zoo.md"


def call(*arguments: str) -> int:
    return main(build_parser().parse_args(list(arguments)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path))
    monkeypatch.setenv("PARTWISE_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("entry", zoo.entries().values(), ids=lambda entry: entry.name)
def test_every_entry_says_what_it_is(entry: zoo.Entry) -> None:
    assert re.fullmatch(r"[\w.-]+", entry.name)
    assert entry.url.startswith("https://")
    assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}|", entry.sha256)
    assert entry.sha256[:8] in entry.url
    assert entry.licence in ("Apache-2.0", "BSD-3-Clause") or entry.origin == "huggingface"
    assert entry.licence in ("Apache-2.0", "BSD-3-Clause", "CC-BY-NC-4.0", "MIT", "")
    assert entry.trained_on
    assert entry.figure or entry.origin == "huggingface"
    assert entry.labels in ("", *LABEL_LISTS)
    assert entry.checked in CHECKED
    if entry.origin == "huggingface":
        assert re.fullmatch(r"https://huggingface\.co/[\w-]+/[\w.-]+/resolve/(main|[0-9a-f]{40})/config\.json", entry.url)
        assert entry.network in {"person_detector": PERSON_DETECTORS, "pose": POSE_ESTIMATORS, "recognizer": RECOGNIZERS}[entry.stage]
    elif entry.origin != "onnx":
        assert any(entry.target in stage.targets().get(entry.origin, ()) for stage in conversions())
        assert entry.network in COMPONENTS[entry.stage]


def test_names_and_files_stand_once() -> None:
    found = list(zoo.entries().values())
    assert len({entry.url for entry in found}) == len(found) == len(zoo.entries()) >= 82
    files = [entry.file for entry in found if entry.origin != "huggingface"]
    assert len(set(files) | {entry.name for entry in found}) == len(files) + len(found)  # what lies in the folder of downloads


def test_the_page_is_what_the_table_says(tmp_path: Path) -> None:
    assert call("table", "--out", str(tmp_path / "zoo.md")) == 0
    assert (tmp_path / "zoo.md").read_text() == DOCS.read_text(), "run: python -m pipelines.zoo table --out docs/zoo.md --overwrite"
    assert all(f"| [{entry.name}]({zoo.page_of(entry.url)}) |" in table(zoo.entries().values()) for entry in zoo.entries().values())


def test_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "--stage", "super_resolution") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["basicvsr_reds4", "basicvsr_vimeo90k_bi", "realbasicvsr_c64b20_reds"]
    assert lines[0] == "basicvsr_reds4  super_resolution  basicvsr  25 MB  Apache-2.0  REDS4 (BI x4) 31.417 dB"


def test_what_is_in_the_cache(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify") == 0
    entry = zoo.find("basicvsr_reds4")
    entry.weights.parent.mkdir()
    entry.weights.write_bytes(b"weights")
    zoo.record_of(entry).write_text(f"{hashlib.sha256(b'weights').hexdigest()}  {entry.weights.name}\n")
    assert call("where") == call("verify") == call("fetch", "zoo/basicvsr_reds4") == 0
    assert capsys.readouterr().out.splitlines() == [str(cache), str(entry.weights), "basicvsr_reds4: whole", str(entry.weights)]
    entry.weights.write_bytes(b"weightz")
    assert call("verify") == 1
    assert capsys.readouterr().err == f"basicvsr_reds4: not what its record says; remove {entry.weights}\n"


def test_a_wrong_name_is_told_before_anything_is_fetched(cache: Path) -> None:
    with pytest.raises(InputError, match=r"^zoo/gfl_r50: no such entry; did you mean"):
        call("fetch", "gfl_r50_fpn_1x_coco", "gfl_r50")
    with pytest.raises(InputError, match=r"^zoo/gfl_r50_fpn_1x_coco: the network is not asked .*; or put https://"):
        call("fetch", "gfl_r50_fpn_1x_coco")
    assert not list(cache.rglob("*.part"))
