"""The benchmark's commands, from raw videos to a scored submission, with small untrained networks."""

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from builders import ramp, write_video

from parsing.errors import InputError
from pipelines import ablate, diagnose, evaluate, export, run


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short videos under their classes."""
    random, root = np.random.default_rng(0), tmp_path_factory.mktemp("videos")
    for action, name in (("run", "v1"), ("walk", "v2")):
        (root / action).mkdir()
        write_video(root / action / f"{name}.mp4", [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(7)])
    return root


def call(command: Any, *arguments: object) -> int:
    return int(command.main(command.build_parser().parse_args([str(argument) for argument in arguments])))


def unpacked(archive: Path, folder: Path, prefix: str) -> Path:
    """The two files of a submission, named as ground truth (`gt`) or as a prediction (`pred`)."""
    folder.mkdir()
    with zipfile.ZipFile(archive) as opened:
        for kind in ("part", "vid"):
            (folder / f"{prefix}_{kind}_result.json").write_bytes(opened.read(f"pred_{kind}_result.json"))
    return folder


def test_videos_become_a_submission_that_scores_itself(videos: Path, tiny_pipeline: Path, tmp_path: Path) -> None:
    archive = tmp_path / "s.zip"
    assert call(export, "kinetics-tps", videos, "--out", archive, "--config", tiny_pipeline, "--device", "cpu", "--quiet") == 0
    truth, found = unpacked(archive, tmp_path / "gt", "gt"), unpacked(archive, tmp_path / "pred", "pred")
    files = ["--parts", found / "pred_part_result.json", "--actions", found / "pred_vid_result.json"]
    assert call(evaluate, "kinetics-tps", "--gt", truth, *files, "--out", tmp_path / "r/report.json", "--quiet", "--workers", 1) == 0
    report = json.loads((tmp_path / "r/report.json").read_text())
    assert report["score"] == pytest.approx(0.9999)
    assert sorted(report["videos"]) == ["v1", "v2"]
    assert report["videos"]["v1"]["num_frames"] == 2
    for name in ("report_curve.png", "report_confusion.png"):
        assert cv2.imread(str(tmp_path / "r" / name)) is not None
    # Parses that were written before give the same.
    parses = tmp_path / "parses"
    assert call(run, *videos.glob("*/*.mp4"), "--out", parses, "--config", tiny_pipeline, "--every", 5, "--device", "cpu", "--quiet") == 0
    again = tmp_path / "again.zip"
    assert call(export, "kinetics-tps", parses, "--out", again, "--quiet") == 0
    one, two = (json.loads(zipfile.ZipFile(path).read("pred_vid_result.json")) for path in (archive, again))
    assert one == two


def test_diagnosis_rises_to_the_top(videos: Path, tiny_pipeline: Path, tmp_path: Path) -> None:
    archive = tmp_path / "s.zip"
    common = ["--config", tiny_pipeline, "--device", "cpu", "--quiet"]
    call(export, "kinetics-tps", videos, "--out", archive, *common)
    truth = unpacked(archive, tmp_path / "gt", "gt")
    path = truth / "gt_part_result.json"
    parts = json.loads(path.read_text())
    for frames in parts.values():
        for frame in frames.values():
            for human in frame["humans"]:
                human["box"] = [0, 0, 60, 44]  # nothing that the untrained detector says
                human["parts"] = {"head": {"box": [5, 5, 30, 30], "verb": "bow"}}
            frame["humans"] = frame["humans"][:1]
    path.write_text(json.dumps(parts))
    (truth / "gt_vid_result.json").write_text('{"v1": "run", "v2": "walk"}')
    assert call(diagnose, "--gt", truth, "--videos", videos, "--out", tmp_path / "d.json", *common) == 0
    rows = {tuple(row["ground truth of"]): row for row in json.loads((tmp_path / "d.json").read_text())}
    assert len(rows) == len(diagnose.ROWS)
    assert rows[diagnose.PARTS_OF_ROW]["score"] == pytest.approx(0.9999)
    assert rows[()]["score"] < 0.9
    assert rows[("action",)]["action_accuracy"] == 1
    assert rows[("persons", "part boxes", "states")]["mean_psc"] == 1
    assert "| nothing |" in "\n".join(diagnose.lines(list(rows.values())))
    # The same truth as the data set itself comes, frame by frame.
    for video, action in (("v1", "run"), ("v2", "walk")):
        folder = tmp_path / "tree" / "annotations" / action / video
        folder.mkdir(parents=True)
        for name, frame in parts[video].items():
            (folder / name).write_text(json.dumps(frame))
    for number, tree in enumerate((tmp_path / "tree", tmp_path / "tree" / "annotations")):
        out = tmp_path / f"tree{number}.json"
        assert call(diagnose, "--gt", tree, "--videos", videos, "--out", out, *common) == 0
        assert {tuple(row["ground truth of"]): row for row in json.loads(out.read_text())} == rows
    with pytest.raises(InputError, match="no video 'v1'"):
        call(diagnose, "--gt", truth, "--videos", tmp_path, "--out", tmp_path / "e.json", *common)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.json", "--out", "s.zip"], r"nowhere\.json: cannot be read"),
        (["nowhere.json", "--out", "s.tar"], "expected a name that ends in .zip"),
        (["nowhere.json", "--out", "s.zip", "--vote", "2"], r"vote: Input should be less than or equal to 1 \(found '2'\)"),
        (["--out", "s.zip"], "kinetics-tps: give a SOURCE"),
        (["empty", "--out", "s.zip"], "holds neither parses nor videos"),
    ],
)
def test_bad_exports_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=expected):
        call(export, "kinetics-tps", *arguments, "--quiet")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_an_ablation_goes_on_where_it_was(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "name": "part_state_net",
                "architecture": {"backbone": "test_efficientnet", "part_level": 1, "person_level": 2, "input_px": 64, "dim": 8, "heads": 2},
                "data": {"images": {"root": str(people)}},
                "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01},
                "pretrained": "none",
            }
        )
    )
    ablation = {
        "stage": "part_states",
        "config": str(config),
        "seeds": 2,
        "metrics": {"loss": "losses.states", "nothing": "all.nothing"},
        "rows": [{"name": "Full"}, {"name": "- attention", "set": {"architecture.depth": 0}}],
    }
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(ablation))
    out = tmp_path / "out"
    assert call(ablate, file, "--out", out, "--rows", "Full", "--device", "cpu", "--quiet") == 0
    written = (out / "full/seed1/metrics.jsonl").stat().st_mtime_ns
    with pytest.raises(InputError, match=r"table\.md: exists"):
        call(ablate, file, "--out", out, "--device", "cpu")
    assert call(ablate, file, "--out", out, "--device", "cpu", "--resume") == 0
    assert (out / "full/seed1/metrics.jsonl").stat().st_mtime_ns == written
    assert json.loads((out / "attention/seed0/config.json").read_text())["architecture"]["depth"] == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "| row | loss | nothing | seeds |"
    assert " ± " in table[2]
    assert table[3].endswith("| - | 2 |")
    with pytest.raises(InputError, match="'Half' is no row"):
        call(ablate, file, "--out", out, "--rows", "Half", "--quiet")
    file.write_text(yaml.safe_dump(ablation | {"stage": "nothing"}))
    with pytest.raises(InputError, match="stage 'nothing', expected one of"):
        call(ablate, file, "--out", out, "--quiet")


def test_images_are_no_annotated_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [ramp(0)])
    with pytest.raises(InputError, match=r"expected gt_part_result\.json and gt_vid_result\.json"):
        call(evaluate, "kinetics-tps", "--gt", tmp_path, "--parts", "p", "--actions", "a", "--out", tmp_path / "r.json", "--quiet")
