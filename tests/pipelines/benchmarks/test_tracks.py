"""HOTA, IDF1 and MOTA of tracks made by hand."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from builders import VOCABULARY, only_persons

from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.types import Detections, VideoFacts
from parsing.writing import write_parse
from pipelines import evaluate
from pipelines.benchmarks.tracks.mot import read_mot

Boxes = Mapping[int, Sequence[float]]  # by track
HERE, THERE = (10.0, 10.0, 50.0, 110.0), (200.0, 10.0, 240.0, 110.0)


def parse(path: Path, frames: Sequence[Boxes], video: str = "a.mp4", every: int = 1) -> Path:
    """A parse of these frames, `every` apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = []
    for i, boxes in enumerate(frames):
        xyxy = np.array(list(boxes.values()), np.float32).reshape(-1, 4)
        found.append(only_persons(i * every, Detections(xyxy, np.ones(len(xyxy)), np.zeros(len(xyxy)), np.array(list(boxes), int))))
    facts = VideoFacts(video, 320, 240, 0, 10.0, len(frames) / 10, len(frames), len(frames), 0)
    write_parse(VideoParse(facts, VOCABULARY, (), tuple(found), (), True), path)
    return path


def mot(path: Path, frames: Sequence[Boxes], more: Sequence[str] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{i},{number},{b[0]},{b[1]},{b[2] - b[0]},{b[3] - b[1]},1,1,1" for i, boxes in enumerate(frames, 1) for number, b in boxes.items()
    ]
    path.write_text("\n".join([*rows, *more]) + "\n")
    return path


def figures(found: Path, truth: Path, out: Path) -> dict[str, dict[str, float]]:
    command = ["tracks", str(found), "--truth", str(truth), "--out", str(out), "--overwrite", "--quiet"]
    assert evaluate.main(evaluate.build_parser(command).parse_args(command)) == 0
    report = json.loads((out / "report.json").read_text())
    return {"all": report["all"], **report["videos"]}


def test_the_truth_itself_scores_one(tmp_path: Path) -> None:
    frames = [{1: HERE, 2: THERE}] * 10
    found = figures(parse(tmp_path / "f.json", frames), parse(tmp_path / "t.json", frames, "other.mp4"), tmp_path / "out")
    assert {name: found["all"][name] for name in ("HOTA", "IDF1", "MOTA", "IDSW")} == {"HOTA": 1, "IDF1": 1, "MOTA": 1, "IDSW": 0}
    assert found["other"] == found["all"]


def test_a_track_that_changes_its_id_half_way(tmp_path: Path) -> None:
    """Each half has 5 of 10 boxes: AssA 5 / (5 + 5), IDF1 2 * 5 / (2 * 5 + 5 + 5), MOTA 1 - 1 / 10."""
    truth = parse(tmp_path / "t.json", [{7: HERE}] * 10)
    found = figures(parse(tmp_path / "f.json", [{1: HERE}] * 5 + [{2: HERE}] * 5), truth, tmp_path / "out")["all"]
    assert (found["DetA"], found["AssA"]) == (1, 0.5)
    assert found["HOTA"] == pytest.approx(math.sqrt(0.5), abs=1e-4)
    assert (found["IDF1"], found["MOTA"], found["IDSW"]) == (0.5, 0.9, 1)


def test_persons_without_a_track_and_nobody_at_all(tmp_path: Path) -> None:
    truth = parse(tmp_path / "t.json", [{1: HERE}] * 10)
    half = figures(parse(tmp_path / "f.json", [{1: HERE}] * 5 + [{-1: HERE}] * 5), truth, tmp_path / "half")["all"]
    assert (half["MOTA"], half["DetA"], half["CLR_FN"], half["IDF1"]) == (0.5, 0.5, 5, pytest.approx(2 / 3, abs=1e-4))
    nobody = figures(parse(tmp_path / "n.json", [{}] * 10), truth, tmp_path / "nobody")["all"]
    assert (nobody["MOTA"], nobody["HOTA"], nobody["IDF1"], nobody["CLR_FN"]) == (0, 0, 0, 10)
    alone = figures(parse(tmp_path / "n.json", [{1: HERE}] * 4), parse(tmp_path / "e.json", [{}] * 4), tmp_path / "alone")["all"]
    assert (alone["CLR_FP"], alone["CLR_FN"]) == (4, 0)


def test_frames_that_are_not_annotated_do_not_count(tmp_path: Path) -> None:
    truth = parse(tmp_path / "t.json", [{1: HERE}] * 4, every=5)
    found = figures(parse(tmp_path / "f.json", [{1: HERE, 2: THERE} if i % 5 else {1: HERE} for i in range(20)]), truth, tmp_path / "out")
    assert (found["all"]["MOTA"], found["all"]["CLR_FP"]) == (1, 0)


def test_folders_of_motchallenge(tmp_path: Path) -> None:
    """Ten boxes in one video, all found; thirty in the other, 18 found, 2 false ones: MOTA (10 + 18 - 2) / 40."""
    mot(tmp_path / "truth/good/gt/gt.txt", [{1: HERE}] * 10)
    mot(tmp_path / "truth/bad/gt/gt.txt", [{1: HERE}] * 30)
    parse(tmp_path / "found/good.json", [{3: HERE}] * 10, "good.mp4")
    parse(tmp_path / "found/bad.json", [{4: HERE}] * 18 + [{5: THERE}] * 2 + [{}] * 10, "bad.avi")
    parse(tmp_path / "found/more.json", [{4: HERE}], "more.avi")
    found = figures(tmp_path / "found", tmp_path / "truth", tmp_path / "out")
    assert set(found) == {"all", "good", "bad"}
    assert (found["good"]["MOTA"], found["bad"]["MOTA"], found["all"]["MOTA"]) == (1, pytest.approx(16 / 30, abs=1e-4), 26 / 40)


def test_rows_that_are_no_counted_persons(tmp_path: Path) -> None:
    """A reflection (12) may be found and a person with confidence 0 may be missed."""
    truth = mot(tmp_path / "a.txt", [{1: HERE}] * 5, ["1,2,200,10,40,100,1,12,1", "2,3,100,100,40,100,0,1,1"])
    found = figures(parse(tmp_path / "f.json", [{1: HERE, 2: THERE}] + [{1: HERE}] * 4), truth, tmp_path / "out")["all"]
    assert (found["MOTA"], found["CLR_FP"], found["CLR_FN"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row in it"),
        ("1,1,2,3,4", "line 1: .* are not six finite numbers"),
        ("1,1,2,3,4,5\n1,2,nan,3,4,5", "line 2: .* are not six finite numbers"),
        ("1,1,2,3,4,x", "line 1: could not convert"),
        ("0,1,2,3,4,5", "the frame is not in 1 to 1000000"),
        ("99999999999,1,2,3,4,5", "the frame is not in 1 to 1000000"),
        ("1.5,1,2,3,4,5", "are not whole"),
        ("1,1,2,3,4,5\n1,1,2,3,4,5", "a frame holds a track twice"),
        ("\x00\xff", "line 1"),
    ],
)
def test_text_files_that_do_not_fit(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode("latin-1"))
    found = parse(tmp_path / "f.json", [{1: HERE}])
    with pytest.raises(InputError, match=rf"a\.txt: .*{message}") as caught:
        figures(found, tmp_path / "a.txt", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_missing_parses_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        mot(tmp_path / f"truth/{name}.txt", [{1: HERE}])
    (tmp_path / "empty").mkdir()
    for found, truth, message in (
        (parse(tmp_path / "found/a.json", [{1: HERE}]), tmp_path / "truth", "no parse of 1 annotated videos, first 'b'"),
        (tmp_path / "found", tmp_path / "empty", "folder without parses"),
        (tmp_path / "empty", tmp_path / "truth", "no parse of 2 annotated videos, first 'a'"),
    ):
        with pytest.raises(InputError, match=message):
            figures(found, truth, tmp_path / "out")


def test_short_rows_are_counted_persons(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1,2,3,4,5,6\n2, 2, 3, 4, 5, 6, 0.5, \n\n")
    np.testing.assert_array_equal(read_mot(tmp_path / "a.txt"), [[1, 2, 3, 4, 5, 6, 1, 1], [2, 2, 3, 4, 5, 6, 0.5, 1]])
