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
from recognizers.scores import SavedScores, calibration, check_same, cross_fitted, early_exit, fit_weights, mixed, rows_of

LABELS = np.array([0, 1, 2] * 20)


def member(name: str, noise: float, seed: int = 0, seconds: float = 1.0) -> SavedScores:
    logits = np.eye(3)[LABELS] * 3 + np.random.default_rng(seed).normal(0, noise, (60, 3))
    videos = np.array([f"v{i}.mp4" for i in range(60)])
    return SavedScores(name, videos, np.array(["a", "b", "c"]), LABELS, np.ones(60, bool), logits, np.full(60, seconds))


def test_scores_come_back_and_hold_no_objects(tmp_path: Path) -> None:
    first = member("tsm", 1.0)
    first.save(tmp_path / "s.npz")
    again = SavedScores.load(tmp_path / "s.npz")
    assert again.name == "tsm"
    np.testing.assert_array_equal(again.logits, first.logits)
    np.savez(tmp_path / "evil.npz", name=np.array([print], object))
    for name, message in (("evil.npz", "not a file of saved scores"), ("none.npz", "not found")):
        with pytest.raises(InputError, match=message):
            SavedScores.load(tmp_path / name)
    whole = (tmp_path / "s.npz").read_bytes()
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], whole[:-30]):
        (tmp_path / "cut.npz").write_bytes(content)
        with pytest.raises(InputError, match="not a file of saved scores"):
            SavedScores.load(tmp_path / "cut.npz")
    replace(first, labels=LABELS[:5]).save(tmp_path / "short.npz")
    with pytest.raises(InputError, match="its columns disagree: videos \\(60,\\)"):
        SavedScores.load(tmp_path / "short.npz")


def test_members_must_have_seen_the_same() -> None:
    first = member("a", 1.0)
    paths = [Path("a.npz"), Path("b.npz")]
    with pytest.raises(InputError, match=r"b\.npz: other actions than a\.npz: 'c'"):
        check_same([first, replace(first, actions=np.array(["a", "b", "d"]))], paths)
    with pytest.raises(InputError, match=r"other videos than a\.npz: 'their order'"):
        check_same([first, replace(first, videos=first.videos[::-1])], paths)


def test_weights_are_shares_and_prefer_what_is_right() -> None:
    good, bad = member("good", 0.5), replace(member("bad", 0.5, 1), logits=np.random.default_rng(2).normal(0, 5, (60, 3)))
    weights = fit_weights([good, bad])
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[0] > 0.9
    assert fit_weights([good]).tolist() == [1.0]
    assert fit_weights([replace(good, labels=np.full(60, -1)), good]).tolist() == [0.5, 0.5]


def test_an_ensemble_of_different_mistakes_is_better() -> None:
    members = [member(str(seed), 2.0, seed) for seed in range(4)]
    singles = [(m.logits.argmax(1) == LABELS).mean() for m in members]
    assert (cross_fitted(members).argmax(1) == LABELS).mean() > max(singles)
    even = mixed(members, np.full(4, 0.25))
    assert even == pytest.approx(np.mean([m.logits - m.logits.mean(1, keepdims=True) for m in members], 0))


def test_early_exit_saves_time_and_none_without_a_margin() -> None:
    cheap, dear = member("cheap", 0.1, seconds=1.0), member("dear", 0.1, 1, seconds=9.0)
    weights = np.array([0.5, 0.5])
    logits, saved = early_exit([dear, cheap], weights, 0.3)
    assert saved == pytest.approx(0.9)  # the cheap one is always sure
    assert (logits.argmax(1) == LABELS).all()
    everything, nothing = early_exit([dear, cheap], weights, 1.1)
    assert nothing == 0
    assert everything == pytest.approx(mixed([dear, cheap], weights))


def test_calibration_by_hand() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.45, 0.55], [0.45, 0.55]]))
    found = calibration(logits, np.array([0, 1, 1, 1]))
    assert found["expected_calibration_error"] == pytest.approx((2 * abs(0.5 - 0.9) + 2 * abs(1 - 0.55)) / 4)
    assert [row["videos"] for row in found["bins"]] == [2, 2]  # type: ignore[attr-defined]


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
    with pytest.raises(InputError, match="give --config with the clips, or --scores"):
        call("--out", tmp_path / "x")
    many = WeightsHeader("tsm", asdict(architecture), {"actions": ["bright", "dark"], "many": True})
    save_weights(TSM(architecture, 2), tmp_path / "many.safetensors", many)
    with pytest.raises(InputError, match=r"'tsm' is multi-label; expected a single-label recognizer, or `pipelines\.evaluate tinyvirat`"):
        call("--config", config, "--component", f"{{name: tsm, weights: {tmp_path}/many.safetensors}}", "--out", tmp_path / "x")


def test_clips_of_one_name_are_not_taken_for_each_other() -> None:
    with pytest.raises(InputError, match=r"k\.npz: two clips are called 'clips/1\.mp4'"):
        rows_of(np.array(["clips/1.mp4", "clips/2.mp4", "clips/1.mp4"]), ["clips/1.mp4"], Path("k.npz"))
