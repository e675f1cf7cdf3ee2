"""Validation scores to thresholds, test scores to answer.txt, with a real network and with saved scores."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import write_video

from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, save_weights
from pipelines import evaluate, export
from recognizers.networks.tsm import TSM, TSMArchitecture
from recognizers.scores import SavedScores

CLASSES = ("bright", "dark", "never")


def call(module: object, *arguments: object) -> int:
    return int(module.main(module.build_parser().parse_args(["tinyvirat", *map(str, arguments), "--quiet"])))  # type: ignore[attr-defined]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve labelled clips, four test clips, scores of two networks that know and guess."""
    (tmp_path / "classes.json").write_text(json.dumps({name: i for i, name in enumerate(CLASSES)}))
    shown = [["bright"], ["dark"], ["bright", "dark"]] * 4
    val = [{"id": f"{i:05d}", "path": f"v{i}/{i:05d}.mp4", "dim": [6, 48, 64], "label": labels} for i, labels in enumerate(shown)]
    test = [{"id": f"{i:05d}", "path": f"{i:05d}.mp4", "dim": [6, 48, 64]} for i in range(4)]
    (tmp_path / "val.json").write_text(json.dumps(val))
    (tmp_path / "test.json").write_text(json.dumps(test))
    truth = np.array([[name in labels for name in CLASSES] for labels in shown], np.int8)
    for seed, name in enumerate(("knows", "guesses")):
        for split, clips, known in (("val", val, truth), ("test", test, np.full((4, 3), -1, np.int8))):
            signal = np.array([[4, -4, -4], [-4, 4, -4], [4, 4, -4]] * 4)[: len(clips)] * (1 - seed)
            logits = signal + np.random.default_rng(seed).normal(0, 0.3, (len(clips), 3))
            videos = np.array([clip["path"] for clip in clips])
            columns = videos, np.array(CLASSES), known, logits, np.ones(len(clips)), np.zeros(len(clips), bool)
            SavedScores(name, *columns, multi_label=True).save(tmp_path / f"{split}_{name}.npz")
    return tmp_path


def test_from_validation_scores_to_an_answer(root: Path) -> None:
    val = "--truth", root / "val.json", "--class-map", root / "classes.json"
    scores = "--scores", root / "val_knows.npz", root / "val_guesses.npz"
    assert call(evaluate, *val, *scores, "--fit-thresholds", root / "new/t.yaml", "--out", root / "report") == 0
    report = json.loads((root / "report/report.json").read_text())
    assert report["members"]["knows"]["thresholds_across_folds"]["macro_f1_of_shown"] == 1
    assert report["members"]["guesses"]["mean_ap"] < report["ensemble"]["mean_ap"] == 1
    assert report["empty_classes"] == ["never"]
    assert report["ensemble"]["weights"]["knows"] > 0.9
    assert (root / "report/pr_curves.png").read_bytes().startswith(b"\x89PNG")

    test = "--test", root / "test.json", "--class-map", root / "classes.json", "--thresholds", root / "new/t.yaml"
    ensemble = "--scores", root / "test_guesses.npz", root / "test_knows.npz"
    assert call(export, *test, *ensemble, "--out", root / "sent/answer.txt") == 0
    assert (root / "sent/answer.txt").read_text() == "00000 1 0 0\n00001 0 1 0\n00002 1 1 0\n00003 1 0 0\n"
    (root / "g.yaml").write_text("groups: {light: [bright, dark]}")
    assert call(export, *test, *ensemble, "--groups", root / "g.yaml", "--out", root / "sent/grouped.txt") == 0
    assert sum(map(int, (root / "sent/grouped.txt").read_text().splitlines()[2].split()[1:])) == 1
    with pytest.raises(InputError, match=r"t\.yaml: fitted with the scores of 'guesses' too"):
        call(export, *test, "--scores", root / "test_knows.npz", "--out", root / "x.txt")
    with pytest.raises(InputError, match=r"t\.yaml: fitted on these 12 clips"):
        call(evaluate, *val, *scores, "--thresholds", root / "new/t.yaml", "--out", root / "x")
    assert not (root / "x").exists()
    assert not (root / "x.txt").exists()


def test_an_answer_is_scored(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "answer.txt").write_text("".join(f"{i:05d} 1 0 0\n" for i in range(12)))
    arguments = "--truth", root / "val.json", "--class-map", root / "classes.json", "--answer", root / "answer.txt"
    assert evaluate.main(evaluate.build_parser().parse_args(["tinyvirat", *map(str, arguments), "--out", str(root / "r")])) == 0
    report = json.loads((root / "r/report.json").read_text())
    assert report["per_class"]["bright"]["f1"] == pytest.approx(2 * 8 / (8 + 12))
    assert report["macro_f1"] == pytest.approx(0.8 / 3)
    assert report["num_empty_classes"] == 1
    printed = capsys.readouterr().out
    assert "macro_f1" in printed
    assert "per_class" not in printed
    (root / "answer.txt").write_text("00000 1 0 0\n")
    with pytest.raises(InputError, match=r"answer\.txt: line 2: 1 lines, expected 12; clip 00001 is missing"):
        call(evaluate, *arguments, "--out", root / "x")


def test_a_test_split_is_no_truth(root: Path) -> None:
    with pytest.raises(InputError, match="no 'label'"):
        call(
            evaluate, "--truth", root / "test.json", "--class-map", root / "classes.json", "--scores", root / "test_knows.npz",
            "--fit-thresholds", root / "t.yaml", "--out", root / "x",
        )  # fmt: skip
    assert not (root / "t.yaml").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give one of --answer, --scores and --component"),
        (("--answer", "a", "--scores", "b"), "give one of --answer, --scores and --component"),
        (("--answer", "a", "--groups", "g"), "--answer a: holds labels, not scores"),
        (("--scores", "s", "--thresholds", "t", "--fit-thresholds", "t"), "give --thresholds to use them, or --fit-thresholds"),
        (("--scores", "s", "--shrinkage", "-1"), "shrinkage: Input should be greater than or equal to 0"),
        (("--component", "{name: tsm}"), "--component: give the folder of the clips as --videos"),
        (("--scores", "none.npz"), r"none\.npz: .*No such file or directory"),
    ],
)
def test_options_that_do_not_go_together(root: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(evaluate, "--truth", root / "val.json", "--class-map", root / "classes.json", *options, "--out", root / "x")


def test_a_network_scores_every_clip(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also the one of a single frame, and the one that cannot be read."""
    for i in range(12):
        (root / f"videos/v{i}").mkdir(parents=True)
        write_video(root / f"videos/v{i}/{i:05d}.mp4", [np.full((10, 12, 3), 20 * i, np.uint8)] * (1 if i == 3 else 6))
    (root / "videos/v7/00007.mp4").write_bytes(b"broken")
    architecture = TSMArchitecture("test_resnet", level=2, num_segments=2, input_px=32)
    torch.manual_seed(0)
    for many in (True, False):
        header = WeightsHeader("tsm", asdict(architecture), {"actions": list(CLASSES), "many": many})
        save_weights(TSM(architecture, 3), root / f"many_{many}.safetensors", header)
    arguments = "--truth", root / "val.json", "--class-map", root / "classes.json", "--videos", root / "videos", "--device", "cpu"
    component = f"{{name: tsm, weights: {root}/many_True.safetensors, views: [{{clips: 1}}]}}"
    assert call(evaluate, *arguments, "--component", component, "--save", root / "net.npz", "--out", root / "network") == 0
    scores = SavedScores.load(root / "net.npz")
    others = np.delete(scores.logits, 7, 0)
    assert scores.logits[7] == pytest.approx(others.mean(0))
    assert len(np.unique(others[:, 0])) == 11
    assert "1 of 12 clips could not be read" in caplog.text
    with pytest.raises(InputError, match=r"many_False\.safetensors is single-label"):
        call(evaluate, *arguments, "--component", component.replace("many_True", "many_False"), "--out", root / "x")
    (root / "videos/v0/00000.mp4").unlink()
    with pytest.raises(InputError, match="1 of 12 clips are not there"):
        call(evaluate, *arguments, "--component", component, "--out", root / "x")
