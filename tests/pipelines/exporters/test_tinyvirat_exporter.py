"""`answer.txt` from parses of the low-resolution branch."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from builders import VOCABULARY

from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.types import ActionScore, BranchFacts, VideoFacts
from pipelines.exporters.tinyvirat import TinyViratExporter


def parse_of(name: str, *labels: str) -> VideoParse:
    facts = VideoFacts(name, 64, 48, 0, 10.0, 0.6, 6, 6, 0)
    actions = tuple(ActionScore(label, 0.9, 0.0, 0.6, "low_res") for label in labels)
    return VideoParse(facts, VOCABULARY, actions, (), (), True, branch=BranchFacts("low_res", "64 x 48 px"))


@pytest.fixture
def exporter(tmp_path: Path) -> TinyViratExporter:
    (tmp_path / "classes.json").write_text('{"ride": 0, "carry": 1, "talk": 2}')
    clips = [{"id": f"{i:05d}", "path": f"{i:05d}.mp4", "dim": [6, 48, 64]} for i in range(2)]
    (tmp_path / "test.json").write_text(json.dumps(clips))
    return TinyViratExporter(tmp_path / "classes.json", test=tmp_path / "test.json")


def test_the_labels_of_every_clip_in_the_order_of_the_annotations(exporter: TinyViratExporter, tmp_path: Path) -> None:
    exporter.write(iter([parse_of("00001.mp4", "talk"), parse_of("00000.mp4", "carry", "ride", "carry")]), tmp_path / "answer.txt")
    assert (tmp_path / "answer.txt").read_text() == "00000 1 1 0\n00001 0 0 1\n"


@pytest.mark.parametrize(
    ("parses", "message"),
    [
        ([parse_of("00000.mp4")], r"test\.json: no parse of 1 of 2 clips, the first 00001"),
        ([parse_of("00009.mp4")], r"00009\.mp4: no clip of .*test\.json"),
        ([parse_of("00000.mp4", "talks")], r"00000\.mp4: unknown class 'talks'; did you mean 'talk'"),
        ([replace(parse_of("00000.mp4"), branch=None)], r"00000\.mp4: parsed without the low-resolution branch"),
        ([parse_of("00000.mp4"), parse_of("00000.avi")], r"00000\.avi: two parses of clip 00000"),
    ],
)
def test_parses_that_do_not_fit(exporter: TinyViratExporter, tmp_path: Path, parses: list[VideoParse], message: str) -> None:
    with pytest.raises(InputError, match=message):
        exporter.write(parses, tmp_path / "answer.txt")
    assert not (tmp_path / "answer.txt").exists()
