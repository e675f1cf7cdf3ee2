"""Saved scores of clips with several labels, and their ensembles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from parsing.datasets.tinyvirat import TinyClip
from parsing.errors import InputError
from pipelines.benchmarks.tinyvirat.score import Decoding, score_members
from pipelines.benchmarks.tinyvirat.sources import of_clips
from recognizers.evaluation import report
from recognizers.groups import ExclusiveGroups
from recognizers.scores import SavedScores, cross_fitted, fit_weights, folds_of, mixed

CLASSES = ["a", "b", "c"]
TRUTH = (np.random.default_rng(9).random((200, 3)) < 0.3).astype(np.int8)


def member(name: str, noise: float, seed: int) -> SavedScores:
    logits = 4.0 * TRUTH - 2 + np.random.default_rng(seed).normal(0, noise, TRUTH.shape)
    videos = np.array([f"v{i // 4}/{i:05d}.mp4" for i in range(len(TRUTH))])
    return SavedScores(name, videos, np.array(CLASSES), TRUTH, logits, np.full(len(TRUTH), 0.1), np.zeros(len(TRUTH), bool), True)


def clips_of(scores: SavedScores) -> list[TinyClip]:
    shown = [tuple(np.array(CLASSES)[row > 0].tolist()) for row in scores.truth]
    ids = [Path(video).stem for video in scores.videos.tolist()]
    return [TinyClip(i, v, (1, 1, 1), labels) for i, v, labels in zip(ids, scores.videos.tolist(), shown, strict=True)]


def test_scores_come_back_and_hold_no_objects(tmp_path: Path) -> None:
    first = member("net", 1, 0)
    first.save(tmp_path / "s.npz")
    again = SavedScores.load(tmp_path / "s.npz")
    assert again.name == "net"
    assert again.multi_label is True
    for column in ("videos", "actions", "truth", "logits", "seconds", "disjoint"):
        np.testing.assert_array_equal(getattr(again, column), getattr(first, column))
    np.savez(tmp_path / "evil.npz", name=np.array([print], object))
    (tmp_path / "text.npz").write_text("no")
    for name, message in (
        ("evil.npz", "holds Python objects"),
        ("text.npz", "not a readable file of arrays"),
        ("none.npz", "No such file"),
    ):
        with pytest.raises(InputError, match=message):
            SavedScores.load(tmp_path / name)
    for changed, message in (
        ({"truth": TRUTH[:5]}, "its columns disagree"),
        ({"videos": np.array("one")}, "its columns disagree"),
        ({"seconds": np.zeros(3)}, "its columns disagree"),
        ({"logits": np.full(TRUTH.shape, np.nan)}, "a logit is not a finite number"),
    ):
        replace(first, **changed).save(tmp_path / "bad.npz")
        with pytest.raises(InputError, match=message):
            SavedScores.load(tmp_path / "bad.npz")


def test_scores_follow_the_annotations() -> None:
    first, path = member("net", 1, 0), Path("s.npz")
    clips = clips_of(replace(first, truth=np.maximum(TRUTH, np.eye(3, dtype=np.int8)[np.zeros(200, int)])))
    unknown = replace(first, truth=np.full_like(TRUTH, -1))
    order = of_clips(unknown, clips[::-1], CLASSES, path)
    np.testing.assert_array_equal(order.logits, first.logits[::-1])
    assert order.truth[:, 0].all()
    with pytest.raises(InputError, match=r"s\.npz: clip \d{5} was scored under other labels"):
        of_clips(first, clips, CLASSES, path)
    with pytest.raises(InputError, match="other clips than the annotations: '00199' is too much"):
        of_clips(unknown, clips[:-1], CLASSES, path)
    with pytest.raises(InputError, match="other classes than the class map: 'd' is missing"):
        of_clips(unknown, clips, [*CLASSES, "d"], path)
    with pytest.raises(InputError, match="other classes than the class map: their order differs"):
        of_clips(unknown, clips, CLASSES[::-1], path)


def test_clips_of_one_video_stay_in_one_fold() -> None:
    folds = folds_of(member("a", 1, 0))
    assert all(len(set(folds[i : i + 4])) == 1 for i in range(0, 200, 4))
    assert np.bincount(folds).tolist() == [40] * 5
    flat = folds_of(replace(member("a", 1, 0), videos=np.array([f"{i:05d}.mp4" for i in range(10)])))
    assert np.bincount(flat).tolist() == [2] * 5


def test_mixing_by_hand() -> None:
    one = replace(member("a", 1, 0), logits=np.zeros(TRUTH.shape))
    two = replace(one, name="b", logits=np.full(TRUTH.shape, 4.0))
    weights = np.array([0.75, 0.25])
    assert mixed([one, two], weights)[0, 0] == pytest.approx(expit(1.0))
    assert mixed([one, two], weights, "probabilities")[0, 0] == pytest.approx(0.75 * 0.5 + 0.25 * expit(4.0))
    assert mixed([one, two], np.tile([0.0, 1.0], (200, 1)))[7, 1] == pytest.approx(expit(4.0))


@pytest.mark.parametrize("mix", ["logits", "probabilities"])
def test_weights_are_shares_that_prefer_what_is_right(mix: str) -> None:
    good, bad = member("good", 0.5, 0), replace(member("bad", 1, 1), logits=np.random.default_rng(2).normal(0, 5, TRUTH.shape))
    weights = fit_weights([good, bad], mix)  # type: ignore[arg-type]
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[0] > 0.9
    assert fit_weights([good]).tolist() == [1.0]
    hidden = replace(good, truth=np.full_like(TRUTH, -1))
    assert fit_weights([hidden, hidden], mix).tolist() == [0.5, 0.5]  # type: ignore[arg-type]


def test_cross_fitted_weights_never_saw_their_clips() -> None:
    members = [member(str(seed), 2, seed) for seed in range(2)]
    folds = folds_of(members[0])
    flipped = np.where((folds == 0)[:, None], 1 - TRUTH, TRUTH)
    before, after = cross_fitted(members), cross_fitted([replace(m, truth=flipped) for m in members])
    np.testing.assert_array_equal(before[folds == 0], after[folds == 0])
    assert (before[folds == 1] != after[folds == 1]).any()


def test_the_report_tells_members_and_the_ensemble() -> None:
    members = [member(str(seed), 2.5, seed) for seed in range(3)]
    found, figure = score_members(members, Decoding(groups=ExclusiveGroups({"g": (0, 1)}), at_least_one=True))
    singles = [found["members"][str(seed)]["mean_ap"] for seed in range(3)]
    assert found["ensemble"]["mean_ap"] > max(singles)
    assert sum(found["ensemble"]["weights"].values()) == pytest.approx(1)
    cases = ["threshold_0.5", *(f"thresholds_across_folds{more}" for more in ("", "_and_groups", "_and_at_least_one"))]
    assert [key for key in found["ensemble"] if "threshold" in key] == cases
    assert found["clips_that_break_a_group"] == {"g": int((TRUTH[:, 0] & TRUTH[:, 1]).sum())}
    assert found["per_class"]["a"]["support"] == TRUTH[:, 0].sum()
    assert len(figure.axes) == 3
    given, _ = score_members(members[:1], Decoding(np.full(3, 0.5), np.ones(1)))
    own = given["members"]["0"]
    assert own["thresholds_given"] == own["threshold_0.5"]
    assert "ensemble" not in given
    with pytest.raises(InputError, match="200 of 200 clips have no labels"):
        score_members([replace(members[0], truth=np.full_like(TRUTH, -1))], Decoding())


def test_the_report_of_a_recognizer_tells_members_and_the_ensemble() -> None:
    members = [member(str(seed), 2.5, seed) for seed in range(3)]
    found, pictures = report(members, 0.5, 0.1)
    assert found["all"]["mean_ap"] > max(row["all"]["mean_ap"] for row in found["members"].values())
    assert sum(found["weights"].values()) == pytest.approx(1)
    assert "early_exit" not in found  # several actions may hold: none has a lead
    assert list(pictures) == ["pr_curves"]
    with pytest.raises(InputError, match="no video with a label"):
        report([replace(members[0], truth=np.full_like(TRUTH, -1))], 0.5, 0.1)
