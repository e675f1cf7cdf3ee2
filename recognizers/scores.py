"""Saved scores of videos, so that ensembles need not run networks again: mixing them, and fitting the weights of a mixture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from parsing.array_files import read_npz
from parsing.errors import InputError
from parsing.files import atomic
from parsing.logits import log_softmax, logit, sigmoid, softmax
from parsing.types import Array
from recognizers.ensemble import lead, logits_of

FOLDS = 5
SMALLEST = 1e-6  # probability; keeps logits finite
Mix = Literal["logits", "probabilities"]  # what an ensemble averages
COLUMNS = ("name", "videos", "actions", "truth", "logits", "seconds", "disjoint", "multi_label", "background")
_KINDS = {
    "videos": "U",
    "actions": "U",
    "background": "U",
    "truth": "i",
    "logits": "f",
    "seconds": "f",
    "disjoint": "b",
}  # of NumPy's types


@dataclass(frozen=True, eq=False)
class SavedScores:
    """Logits of N videos for A actions.

    Args:
        name: what made them.
        videos: (N,) names.
        actions: (A,) names.
        truth: (N, A) int8, 1 where an action holds and 0 where not; -1 in the whole row where that is not known.
        logits: (N, A) before softmax or sigmoid, averaged over clips and views.
        seconds: (N,) that the networks took for each.
        disjoint: (N,) whether no training clip shows the video's scene.
        multi_label: whether several, or none, of the actions may hold at once; else exactly one does.
        background: (K,) names of the classes among the actions that are never reported as one.
    """

    name: str
    videos: Array
    actions: Array
    truth: Array
    logits: Array
    seconds: Array
    disjoint: Array
    multi_label: bool
    background: Array = field(default_factory=lambda: np.zeros(0, "U1"))

    @property
    def is_background(self) -> Array:
        """(A,) whether each class is no action."""
        return np.isin(self.actions, self.background)

    @property
    def known(self) -> Array:
        """(N,) whether the truth is known."""
        return np.asarray((self.truth >= 0).all(1))

    @property
    def labels(self) -> Array:
        """(N,) id of the true action of single-label videos, -1 where it is not known."""
        return np.where(self.known, self.truth.argmax(1), -1)

    @property
    def probabilities(self) -> Array:
        """(N, A): softmax of single-label logits, sigmoid of multi-label ones."""
        return probabilities(self.logits, self.multi_label)

    def save(self, path: Path) -> None:
        """Write an `.npz` that holds no objects."""
        columns: dict[str, Any] = {key: np.array(getattr(self, key)) for key in COLUMNS}
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **columns)

    @classmethod
    def load(cls, path: Path) -> SavedScores:
        """Also reads the forms of before: `labels` of single-label videos, `classes` of multi-label ones, and those without `background`.

        Raises:
            InputError: the file is missing, or holds no scores.
        """
        saved = read_npz(path, (*COLUMNS, "labels", "classes"))
        try:
            scores = cls(**_columns(saved))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{path}: not a file of saved scores ({' '.join(str(error).split())[:80]})") from None
        _check_shapes(scores, path)
        return scores

    def only(self, videos: Collection[str], path: Path) -> SavedScores:
        """Those of some videos, which a list at `path` names.

        Raises:
            InputError: none of them has scores.
        """
        rows = np.isin(self.videos, list(videos))
        if not rows.any():
            raise InputError(f"{path}: none of its {len(videos)} clips is among the {len(self.videos)} that {self.name!r} scored")
        columns = {key: getattr(self, key)[rows] for key in ("videos", "truth", "logits", "seconds", "disjoint")}
        return replace(self, **columns)

    def probabilities_of(self, videos: Sequence[str], actions: Sequence[str], multi_label: bool, path: Path) -> Array:
        """(N, A) probabilities of some videos, for a training that learns from them.

        Raises:
            InputError: the scores are of another kind or of other actions, or lack a video, or have two of one name.
        """
        check_kind(path, self.multi_label, "the training", multi_label)
        check_equal(path, "the training", "actions", self.actions.tolist(), list(actions))
        return np.asarray(self.probabilities[_rows_of(self.videos, videos, path)], np.float32)


def probabilities(logits: Array, multi_label: bool) -> Array:
    """(N, A) softmax or sigmoid, in double precision."""
    logits = np.asarray(logits, float)
    return sigmoid(logits) if multi_label else softmax(logits)


def one_hot(labels: Array, num_actions: int) -> Array:
    """(N, A) int8 truth of single-label videos from (N,) ids; a row of -1 where the id is -1."""
    truth = (np.arange(num_actions) == labels[:, None]).astype(np.int8)
    truth[labels < 0] = -1
    return np.asarray(truth)


def _columns(saved: Mapping[str, Array]) -> dict[str, Any]:
    given: dict[str, Any] = {"background": np.zeros(0, "U1"), **saved}
    if "labels" in given:
        given |= {"truth": one_hot(given.pop("labels"), len(given["actions"])), "multi_label": False}
    elif "classes" in given:
        given |= {"actions": given.pop("classes"), "disjoint": np.zeros(given["videos"].shape, bool), "multi_label": True}
    lost = [key for key in COLUMNS if key not in given]
    if lost:
        raise KeyError(f"no {lost[0]}")
    return given | {"name": str(given["name"]), "multi_label": bool(given["multi_label"])}


def _check_shapes(scores: SavedScores, path: Path) -> None:
    shape = scores.videos.shape + scores.actions.shape
    for name in ("logits", "truth", "seconds", "disjoint"):
        found = getattr(scores, name).shape
        if len(shape) != 2 or found != (shape if name in ("logits", "truth") else shape[:1]):
            raise InputError(f"{path}: its columns disagree: videos {scores.videos.shape}, {name} {found}")
    for name, kinds in _KINDS.items():
        if getattr(scores, name).dtype.kind not in kinds:
            raise InputError(f"{path}: {name} of type {getattr(scores, name).dtype}")
    if not np.isfinite(scores.logits).all():
        raise InputError(f"{path}: a logit is not a finite number")


def _rows_of(known: Array, videos: Sequence[str], path: Path) -> list[int]:
    """Where each video stands; raises InputError where scores lack one, or have two of one name."""
    rows = {video: row for row, video in enumerate(known.tolist())}
    if len(rows) < len(known):
        twice = next(video for row, video in enumerate(known.tolist()) if rows[video] != row)
        raise InputError(f"{path}: two clips are called {twice!r}; expected folders and files of their own names")
    lost = [video for video in videos if video not in rows]
    if lost:
        raise InputError(f"{path}: no scores of {len(lost)} of {len(videos)} clips, the first {lost[0]!r}")
    return [rows[video] for video in videos]


def shared(members: Sequence[SavedScores], paths: Sequence[Path]) -> list[SavedScores]:
    """Members restricted to the videos and actions that all of them have, in the order of the first.

    Single-label videos of other actions are left out.

    Raises:
        InputError: nothing is left, or two videos of a member have one name.
    """
    first = members[0]
    names = [name for name in first.actions.tolist() if all(name in other.actions for other in members)]
    kept = first.truth[:, np.isin(first.actions, names)]
    has_label = np.ones(len(kept), bool) if first.multi_label else kept.max(1, initial=-1) > 0
    known = has_label & np.logical_and.reduce([np.isin(first.videos, other.videos) for other in members])
    videos = first.videos[known].tolist()
    if not videos or not names:
        raise InputError(f"{paths[-1]}: shares no clip of a shared action with {paths[0]}")
    return [_restricted(member, videos, names, path) for member, path in zip(members, paths, strict=True)]


def _restricted(member: SavedScores, videos: list[str], names: list[str], path: Path) -> SavedScores:
    rows, places = _rows_of(member.videos, videos, path), [member.actions.tolist().index(name) for name in names]
    columns = {key: getattr(member, key)[rows] for key in ("videos", "seconds", "disjoint")}
    tables = {key: getattr(member, key)[np.ix_(rows, places)] for key in ("truth", "logits")}
    background = member.background[np.isin(member.background, names)]
    return replace(member, actions=member.actions[places], background=background, **columns, **tables)


def check_same(members: Sequence[SavedScores], paths: Sequence[Path]) -> None:
    """Raises InputError where members are of another kind, other videos or other actions than the first, or two have one name."""
    first = members[0]
    for member, path in zip(members[1:], paths[1:], strict=True):
        check_kind(path, member.multi_label, str(paths[0]), first.multi_label)
        check_equal(path, str(paths[0]), "actions", member.actions.tolist(), first.actions.tolist())
        check_equal(path, str(paths[0]), "classes of the background", member.background.tolist(), first.background.tolist())
        check_equal(path, str(paths[0]), "videos", member.videos.tolist(), first.videos.tolist())
    names = [member.name for member in members]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError(f"{paths[number]}: scores of {name!r} again, as in {paths[names.index(name)]}; expected each member once")


def check_kind(path: Path, multi_label: bool, other: str, expected: bool) -> None:
    """Raises InputError where one is single-label and the other multi-label."""
    if multi_label != expected:
        kinds = "single-label", "multi-label"
        raise InputError(f"{path}: {kinds[multi_label]}, and {other} is {kinds[expected]}")


def check_equal(path: Path, other: str, what: str, own: list[str], expected: list[str]) -> None:
    """Raises InputError where two lists of names differ; names the first that is too much or missing."""
    if own == expected:
        return
    more, lost = sorted(set(own) - set(expected)), sorted(set(expected) - set(own))
    if more or lost:
        raise InputError(f"{path}: other {what} than {other}: {(more or lost)[0]!r} is {'too much' if more else 'missing'}")
    twice = len(own) != len(expected)
    raise InputError(f"{path}: other {what} than {other}: {'one stands twice' if twice else 'their order differs'}")


def folds_of(scores: SavedScores) -> Array:
    """(N,) fold of each video.

    Single-label videos are dealt in turn. Multi-label clips of one source video, the folder in `<video>/<id>.mp4`, stay
    together where there are enough sources; the folder of a single-label video is mostly its action.
    """
    if not scores.multi_label:
        return np.arange(len(scores.videos)) % FOLDS
    sources = [str(PurePosixPath(video).parent) for video in scores.videos.tolist()]
    if len(set(sources)) < FOLDS:
        sources = scores.videos.tolist()
    return np.asarray(np.unique(sources, return_inverse=True)[1] % FOLDS)


def mixed(members: Sequence[SavedScores], weights: Array, mix: Mix = "logits") -> Array:
    """(N, A) probabilities of the ensemble: of the weighted mean of logits, as the VIPriors report does, or of probabilities.

    Args:
        weights: (M,), or (N, M) for each video its own; they sum to one.
    """
    mean = _weighted(_stacked(members, mix), weights)
    return probabilities(mean, members[0].multi_label) if mix == "logits" else mean


def fit_weights(members: Sequence[SavedScores], mix: Mix = "logits", rows: Array | None = None) -> Array:
    """(M,) non-negative weights that sum to one and give the truth the highest likelihood.

    A scale of the mixed logits, and of multi-label ones an offset, are fitted with them and let go: how sure a training
    made its network must not decide how much it counts. All members count the same where no truth is known.

    Args:
        rows: the videos to fit on; None takes all whose truth is known.
    """
    from scipy.optimize import minimize  # late: a run does not fit anything

    first = members[0]
    rows = np.flatnonzero(first.known) if rows is None else rows[first.known[rows]]
    if len(members) == 1 or not len(rows):
        return np.full(len(members), 1 / len(members))
    values, truth = _stacked(members, mix)[rows], first.truth[rows]
    loss, num_nuisance = (_multi_label_loss, 2) if first.multi_label else (_single_label_loss, 1)

    def objective(free: Array) -> float:
        mean = _weighted(values, softmax(free[: len(members)]))
        return loss(mean if mix == "logits" else logits_of(mean, first.multi_label, SMALLEST), truth, free[len(members) :])

    num_free = len(members) + num_nuisance
    best = minimize(objective, np.zeros(num_free), method="Nelder-Mead", options={"maxiter": 400 * num_free})
    return softmax(best.x[: len(members)])


def cross_fitted(members: Sequence[SavedScores], mix: Mix = "logits") -> Array:
    """(N, A) probabilities of the ensemble, each video's with weights that were fitted on the other folds."""
    folds = folds_of(members[0])
    weights = np.zeros((len(folds), len(members)))
    for fold in np.unique(folds):
        weights[folds == fold] = fit_weights(members, mix, np.flatnonzero(folds != fold))
    return mixed(members, weights, mix)


def early_exit(members: Sequence[SavedScores], weights: Array, margin: float) -> tuple[Array, float]:
    """Ask single-label members one after the other, cheapest first, until the best action leads by `margin` in probability.

    Returns:
        (N, A) probabilities, and the share of the members' seconds that was saved.
    """
    logits = np.zeros(members[0].logits.shape)
    found = np.zeros_like(logits)
    going = np.ones(len(logits), bool)
    total, used, share = sum(float(member.seconds.sum()) for member in members), 0.0, 0.0
    for i in np.argsort([member.seconds.mean() for member in members]):
        share += float(weights[i])
        logits[going] += weights[i] * members[i].logits[going]
        used += float(members[i].seconds[going].sum())
        found[going] = softmax(logits[going] / share)
        going &= lead(found) < margin
    return found, 1 - used / total if total else 0.0


def _single_label_loss(logits: Array, truth: Array, nuisance: Array) -> float:
    """Cross-entropy of scaled logits."""
    return float(-log_softmax(np.exp(nuisance[0]) * logits)[truth > 0].mean())


def _multi_label_loss(logits: Array, truth: Array, nuisance: Array) -> float:
    """Binary cross-entropy of scaled and shifted logits."""
    bound = -float(logit(SMALLEST))
    calibrated = np.exp(nuisance[0]) * np.clip(logits, -bound, bound) + nuisance[1]
    return float(np.where(truth > 0, np.logaddexp(0, -calibrated), np.logaddexp(0, calibrated)).mean())


def _stacked(members: Sequence[SavedScores], mix: Mix) -> Array:
    """(N, A, M) of what is averaged."""
    return np.stack([member.logits.astype(float) if mix == "logits" else member.probabilities for member in members], -1)


def _weighted(values: Array, weights: Array) -> Array:
    return np.asarray(np.einsum("nam,nm->na", values, np.broadcast_to(weights, (len(values), values.shape[-1]))))
