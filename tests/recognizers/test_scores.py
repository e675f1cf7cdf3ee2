import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from builders import write_clips

from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, save_weights
from pipelines import evaluate
from recognizers.networks.tsm import TSM, TSMArchitecture
from recognizers.scores import SavedScores, check_same, cross_fitted, early_exit, fit_weights, mixed, one_hot

LABELS = np.array([0, 1, 2] * 20)


def member(name: str, noise: float, seed: int = 0, seconds: float = 1.0) -> SavedScores:
    logits = np.eye(3)[LABELS] * 3 + np.random.default_rng(seed).normal(0, noise, (60, 3))
    videos = np.array([f"v{i}.mp4" for i in range(60)])
    return SavedScores(name, videos, np.array(["a", "b", "c"]), one_hot(LABELS, 3), logits, np.full(60, seconds), np.ones(60, bool), False)


def test_scores_come_back_and_hold_no_objects(tmp_path: Path) -> None:
    first = member("tsm", 1.0)
    first.save(tmp_path / "s.npz")
    again = SavedScores.load(tmp_path / "s.npz")
    assert again.name == "tsm"
    np.testing.assert_array_equal(again.logits, first.logits)
    np.savez(tmp_path / "evil.npz", name=np.array([print], object))
    for name, message in (("evil.npz", "holds Python objects"), ("none.npz", "No such file")):
        with pytest.raises(InputError, match=message):
            SavedScores.load(tmp_path / name)
    whole = (tmp_path / "s.npz").read_bytes()
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], whole[:-30]):
        (tmp_path / "cut.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"cut\.npz: not a readable file of arrays"):
            SavedScores.load(tmp_path / "cut.npz")
    replace(first, truth=first.truth[:5]).save(tmp_path / "short.npz")
    with pytest.raises(InputError, match="its columns disagree: videos \\(60,\\)"):
        SavedScores.load(tmp_path / "short.npz")


def test_members_must_have_seen_the_same() -> None:
    first = member("a", 1.0)
    paths = [Path("a.npz"), Path("b.npz")]
    with pytest.raises(InputError, match=r"b\.npz: other actions than a\.npz: 'd' is too much"):
        check_same([first, replace(first, actions=np.array(["a", "b", "d"]))], paths)
    with pytest.raises(InputError, match=r"b\.npz: scores of 'a' again, as in a\.npz; expected each member once"):
        check_same([first, first], paths)
    with pytest.raises(InputError, match=r"b\.npz: multi-label, and a\.npz is single-label"):
        check_same([first, replace(first, multi_label=True)], paths)
    with pytest.raises(InputError, match=r"other videos than a\.npz: their order differs"):
        check_same([first, replace(first, videos=first.videos[::-1])], paths)


def test_weights_are_shares_and_prefer_what_is_right() -> None:
    good, bad = member("good", 0.5), replace(member("bad", 0.5, 1), logits=np.random.default_rng(2).normal(0, 5, (60, 3)))
    weights = fit_weights([good, bad])
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[0] > 0.9
    assert fit_weights([good]).tolist() == [1.0]
    assert fit_weights([replace(good, truth=np.full((60, 3), -1)), good]).tolist() == [0.5, 0.5]


def test_an_ensemble_of_different_mistakes_is_better() -> None:
    members = [member(str(seed), 2.0, seed) for seed in range(4)]
    singles = [(m.logits.argmax(1) == LABELS).mean() for m in members]
    assert (cross_fitted(members).argmax(1) == LABELS).mean() > max(singles)
    mean = np.mean([m.logits for m in members], 0)
    assert mixed(members, np.full(4, 0.25)) == pytest.approx(np.exp(mean) / np.exp(mean).sum(1, keepdims=True))


def test_early_exit_saves_time_and_none_without_a_margin() -> None:
    cheap, dear = member("cheap", 0.1, seconds=1.0), member("dear", 0.1, 1, seconds=9.0)
    weights = np.array([0.5, 0.5])
    found, saved = early_exit([dear, cheap], weights, 0.3)
    assert saved == pytest.approx(0.9)  # the cheap one is always sure
    assert (found.argmax(1) == LABELS).all()
    everything, nothing = early_exit([dear, cheap], weights, 1.1)
    assert nothing == 0
    assert everything == pytest.approx(mixed([dear, cheap], weights))


def test_the_command_saves_scores_and_ensembles_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*arguments: object) -> int:
        return evaluate.main(evaluate.build_parser().parse_args(["recognition", *map(str, arguments)]))

    root = write_clips(tmp_path / "clips")
    (root / "dark4.mp4").write_bytes(b"broken")
    architecture = TSMArchitecture("test_resnet", level=2, num_segments=2, input_px=32)
    for seed in range(2):
        torch.manual_seed(seed)
        weights = tmp_path / f"w{seed}.safetensors"
        save_weights(TSM(architecture, 2), weights, WeightsHeader("tsm", asdict(architecture), {"actions": ["bright", "dark"]}))
    config = tmp_path / "c.yaml"
    settings = {
        "name": "tsm",
        "architecture": asdict(architecture),
        "data": {"root": str(root)},
        "fit": {"epochs": 1, "batch_size": 1, "lr": 1},
    }
    config.write_text(yaml.safe_dump(settings))
    for seed in range(2):
        component = f"{{name: tsm, weights: {tmp_path}/w{seed}.safetensors, views: [{{clips: 2}}, {{flip: true}}]}}"
        save = ["--save", tmp_path / f"s{seed}.npz", "--out", tmp_path / f"r{seed}"]
        assert call("--config", config, "--component", component, *save, "--device", "cpu") == 0
    scores = SavedScores.load(tmp_path / "s0.npz")
    assert scores.videos.tolist() == ["clips/bright4.mp4"]  # the damaged one is left out
    assert call("--scores", tmp_path / "s0.npz", tmp_path / "s1.npz", "--out", tmp_path / "both") == 0
    report = json.loads((tmp_path / "both/report.json").read_text())
    assert sorted(report["weights"]) == ["s0", "s1"]
    assert sum(report["weights"].values()) == pytest.approx(1)
    assert (tmp_path / "both/confusion.png").is_file()
    assert "early_exit" in capsys.readouterr().out
    (root / "some.csv").write_text("file,label,split\nbright4.mp4,bright,val\n")
    assert call("--scores", tmp_path / "s0.npz", "--only", root / "some.csv", "--out", tmp_path / "some") == 0
    (root / "none.csv").write_text("file,label,split\nother.mp4,bright,val\n")
    with pytest.raises(InputError, match=r"none\.csv: none of its 1 clips is among the 1 that 's0' scored"):
        call("--scores", tmp_path / "s0.npz", "--only", root / "none.csv", "--out", tmp_path / "no")
    with pytest.raises(InputError, match="--only and --shared restrict --scores"):
        call("--config", config, "--only", root / "some.csv", "--out", tmp_path / "no")
    several = WeightsHeader("tsm", asdict(architecture), {"actions": ["bright", "dark"], "multi_label": True})
    save_weights(TSM(architecture, 2), tmp_path / "several.safetensors", several)
    component = f"{{name: tsm, weights: {tmp_path}/several.safetensors}}"
    assert call("--config", config, "--component", component, "--save", tmp_path / "several.npz", "--out", tmp_path / "x.json") == 0
    assert SavedScores.load(tmp_path / "several.npz").multi_label
    assert {"all", "members"} <= json.loads((tmp_path / "x.json").read_text()).keys()
    assert (tmp_path / "x_pr_curves.png").is_file()
    with pytest.raises(InputError, match=r"several\.npz: multi-label, and .*s0\.npz is single-label"):
        call("--scores", tmp_path / "s0.npz", tmp_path / "several.npz", "--out", tmp_path / "y")


@pytest.mark.parametrize("stage", ["recognizer", "recognition"])
def test_bad_orders_are_named(stage: str, tmp_path: Path) -> None:
    for arguments, message in (
        ([], "recognizer: give --config with the clips, or --scores"),
        (["--config", "c.yaml", "--component", "{name: tsm}", "--weights", "w"], "give one of --weights and --component"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate.main(evaluate.build_parser().parse_args([stage, *arguments, "--out", str(tmp_path / "x")]))
    assert not (tmp_path / "x").exists()


def test_clips_of_one_name_are_not_taken_for_each_other() -> None:
    twice = replace(member("a", 1.0), videos=np.array(["clips/1.mp4", *(f"{i}.mp4" for i in range(58)), "clips/1.mp4"]))
    with pytest.raises(InputError, match=r"k\.npz: two clips are called 'clips/1\.mp4'"):
        twice.probabilities_of(["clips/1.mp4"], ["a", "b", "c"], False, Path("k.npz"))
    with pytest.raises(InputError, match=r"k\.npz: single-label, and the training is multi-label"):
        twice.probabilities_of(["clips/1.mp4"], ["a", "b", "c"], True, Path("k.npz"))


def test_files_of_before_are_read(tmp_path: Path) -> None:
    """Single-label files held `labels`, multi-label ones `classes`."""
    common = {"videos": np.array(["x/1.mp4", "x/2.mp4"]), "logits": np.array([[1.0, 2.0], [3.0, 4.0]]), "seconds": np.ones(2)}
    names, disjoint = np.array(["a", "b"]), np.array([True, False])
    np.savez(tmp_path / "single.npz", name="s", actions=names, labels=np.array([1, -1]), disjoint=disjoint, **common)
    single = SavedScores.load(tmp_path / "single.npz")
    assert (single.name, single.multi_label, single.labels.tolist(), single.known.tolist()) == ("s", False, [1, -1], [True, False])
    assert (single.truth.tolist(), single.disjoint.tolist()) == ([[0, 1], [-1, -1]], [True, False])
    np.savez(tmp_path / "multi.npz", name="m", classes=names, truth=np.array([[1, 1], [-1, -1]], np.int8), **common)
    several = SavedScores.load(tmp_path / "multi.npz")
    assert (several.multi_label, several.actions.tolist(), several.known.tolist()) == (True, ["a", "b"], [True, False])
    np.savez(tmp_path / "lost.npz", name="m", videos=common["videos"])
    with pytest.raises(InputError, match=r"lost\.npz: not a file of saved scores"):
        SavedScores.load(tmp_path / "lost.npz")
