"""Scores results against ground truth, video by video and in parallel, and breaks the score down."""

from __future__ import annotations

import gc
import multiprocessing
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from parsing.configs import nearest
from parsing.datasets.kinetics_tps.columns import Columns, VerbTable, columns_of
from parsing.datasets.kinetics_tps.results import Missing, Results, check_actions, check_videos
from parsing.errors import InputError
from parsing.measures.confusion import confusion_counts
from parsing.types import Array
from parsing.vocabulary import PART_NAMES
from pipelines.benchmarks.kinetics_tps.metric import VideoScore, accuracy_curve, area, score_video

CURVE_POINTS = 100  # of the curve that the report holds; the score uses all thresholds
CHUNKS = 50  # into which each process's share of the videos is cut, so that all processes end at about the same time
_EMPTY: dict[str, Any] = {"humans": []}


def evaluate(
    truth: Results,
    found: Results,
    *,
    missing: Missing = "error",
    workers: int = 1,
    actions: Sequence[str] = (),
    states: Sequence[str] = (),
) -> dict[str, Any]:
    """The report of a submission.

    Args:
        missing: what to do with videos that stand in one file only.
        workers: processes; they are forked, so that the results need not be copied.
        actions, states: the data set's own lists, which names are checked against; empty for none.

    Returns:
        `score`; `videos` with `psc` and `action_correct` of each; PSC for each action, part and state; the confusion of
        states; points of the curve; `notes` on what was left out.

    Raises:
        InputError: names the file, the video and the frame that cannot be read.
    """
    notes = check_videos(truth, found, missing)
    if actions:
        check_actions(found, set(actions))
    videos = list(truth.actions)
    if not videos:
        raise InputError(f"{truth.actions_path}: no video")
    scored = _score_all(_Scorer(truth, found, frozenset(states)), videos, workers)
    if lost := [f"{video}: {name}" for video, one in zip(videos, scored, strict=True) if video in found.parts for name in one.lost]:
        notes.append(f"{found.parts_path}: lacks {len(lost)} frames, which count 0, the first {lost[0]}")
    names = sorted({verb for one in scored for verb in one.verbs} | set(states))
    scores = [one.score for one in scored]
    right = np.array([found.actions.get(video) == truth.actions[video] for video in videos])
    pscs = np.array([score.psc for score in scores])
    thresholds, accuracies = accuracy_curve(pscs, right)
    kept = slice(0, None, len(thresholds) // CURVE_POINTS)
    return {
        "score": area(accuracies),
        "action_accuracy": float(right.mean()),
        "mean_psc": float(pscs.mean()),
        "num_videos": len(videos),
        "num_frames": sum(score.num_frames for score in scores),
        "notes": notes,
        "psc_per_action": _per_action(truth, videos, pscs, right),
        **_breakdown(scored, names),
        "curve": {"psc_threshold": thresholds[kept].tolist(), "accuracy": accuracies[kept].tolist()},
        "videos": {
            video: {
                "psc": score.psc,
                "action_correct": bool(ok),
                "action": truth.actions[video],
                "predicted_action": found.actions.get(video),
                "num_frames": score.num_frames,
            }
            for video, score, ok in zip(videos, scores, right, strict=True)
        },
    }


@dataclass(frozen=True, eq=False)
class _Scored:
    """One video: its score, the verbs that the score's numbers stand for, and frames with persons that its prediction lacks."""

    score: VideoScore
    verbs: list[str]
    lost: list[str]


@dataclass(frozen=True, eq=False)
class _Scorer:
    """Reads and scores one video."""

    truth: Results
    found: Results
    states: frozenset[str]

    def __call__(self, video: str) -> _Scored:
        frames, given = self.truth.parts[video], self.found.parts.get(video, {})
        verbs = VerbTable()
        true_columns = self._columns(self.truth, video, frames, verbs, limits=False)
        if len(true_columns.part_boxes) != len(true_columns.part):
            raise InputError(f"{self.truth.parts_path}: {video}: a part of the ground truth has more than one box")
        columns = self._columns(self.found, video, {name: given.get(name, _EMPTY) for name in frames}, verbs, limits=True)
        has = np.array([name in given for name in frames], bool)
        num_persons = np.bincount(true_columns.frame_of, minlength=len(frames))
        lost = [name for name, n, here in zip(frames, num_persons, has, strict=True) if n and not here]
        return _Scored(score_video(true_columns, columns, has, num_persons), verbs.names, lost)

    def _columns(self, side: Results, video: str, frames: Mapping[str, Any], verbs: VerbTable, *, limits: bool) -> Columns:
        places = [f"{side.parts_path}: {video}: {name}" for name in frames]
        columns = columns_of(list(frames.values()), places, verbs, limits=limits)
        if self.states and not self.states.issuperset(verbs.names):
            for place, frame in zip(places, frames.values(), strict=True):
                own = VerbTable()
                columns_of([frame], [place], own, limits=limits)
                for name in own.names:
                    if name not in self.states:
                        raise InputError(f"{place}: unknown state {name!r:.60}; {nearest(name, self.states)}")
        return columns


def _score_all(score: _Scorer, videos: list[str], workers: int) -> list[_Scored]:
    if workers <= 1 or len(videos) < workers:
        return [score(video) for video in videos]
    _Shared.score = score  # forked processes see it; nothing is pickled but names and scores
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside numpy's idle threads: the children only compute
        # What is decoded of JSON holds no cycles, and looking for some would take most of the time.
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), gc.disable) as pool:
            return list(pool.map(_score_shared, videos, chunksize=max(1, len(videos) // (workers * CHUNKS))))


class _Shared:
    score: _Scorer


def _score_shared(video: str) -> _Scored:
    return _Shared.score(video)


def _per_action(truth: Results, videos: list[str], pscs: Array, right: Array) -> dict[str, dict[str, float]]:
    labels = np.array([truth.actions[video] for video in videos])
    return {
        str(label): {
            "psc": float(pscs[labels == label].mean()),
            "action_accuracy": float(right[labels == label].mean()),
            "videos": int((labels == label).sum()),
        }
        for label in np.unique(labels)
    }


def _breakdown(scored: list[_Scored], names: list[str]) -> dict[str, Any]:
    """Mean correctness for each part and state, how many persons were found, and which state was predicted for which."""
    number = {name: i for i, name in enumerate(names)}
    maps = [np.array([*(number[name] for name in one.verbs), len(names)]) for one in scored]  # -1 picks the last: not found
    part = np.concatenate([one.score.part for one in scored])
    verb = np.concatenate([lookup[one.score.verb] for one, lookup in zip(scored, maps, strict=True)])
    predicted = np.concatenate([lookup[one.score.predicted] for one, lookup in zip(scored, maps, strict=True)])
    correctness = np.concatenate([one.score.correctness for one in scored])
    found = np.concatenate([one.score.found for one in scored])
    confusion = confusion_counts(verb, predicted, len(names), len(names) + 1)
    return {
        "parts_on_matched_persons": float(found.mean()) if len(found) else None,
        "psc_per_part": {name: _mean(correctness[part == p]) for p, name in enumerate(PART_NAMES)},
        "psc_per_state": {name: _mean(correctness[verb == s]) for s, name in enumerate(names) if (verb == s).any()},
        "confusion": {"states": names, "predicted_also": "no part box near", "counts": confusion.tolist()},
    }


def _mean(values: Array) -> dict[str, float | int | None]:
    return {"correctness": float(values.mean()) if len(values) else None, "parts": len(values)}
