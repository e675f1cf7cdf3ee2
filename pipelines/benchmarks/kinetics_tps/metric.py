"""The score of Kinetics-TPS: action accuracy conditioned on part state correctness (PSC), to the letter of the official code.

Persons are matched by the Hungarian method on 1 - IoU and count above an IoU of 0.5; a part counts from 0.3 on, with
the same state, as 1 / N_p of its N_p proposals. Corners are inclusive (+1). The square cost matrix is padded with an
IoU of 0, while disjoint boxes have -1. Persons are compared in single precision, parts in double. Sums run in the
official order, so that a PSC that lies on a threshold falls to the same side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from parsing.datasets.kinetics_tps.columns import Columns
from parsing.types import Array

PERSON_IOU, PART_IOU, STEPS = 0.5, 0.3, 10_000
CLEAR_LEAD = 1e-5  # of an IoU over the next one: more than the rounding of any sum of costs


@dataclass(frozen=True, eq=False)
class VideoScore:
    """One video: its PSC, and for each ground-truth part of its scored frames what became of it.

    Args:
        part, verb: (M,) position in PART_NAMES, and number of the true verb.
        correctness: (M,) in [0, 1].
        found: (M,) whether the part's person was matched.
        predicted: (M,) number of the verb of the proposal that overlaps most, where it overlaps enough; -1 elsewhere.
    """

    psc: float
    num_frames: int
    part: Array
    verb: Array
    correctness: Array
    found: Array
    predicted: Array


def score_video(truth: Columns, found: Columns, given: Array, num_persons: Array) -> VideoScore:
    """PSC of one video.

    Args:
        truth, found: columns of the same F frames.
        given: (F,) bool: whether the prediction has the frame at all.
        num_persons: (F,) ground-truth persons of each frame.
    """
    match = match_persons(truth, found, len(given))
    best, predicted = _part_hits(truth, found, match)
    human_sums = np.bincount(truth.owner, best, len(truth.boxes))
    frame_sums = np.bincount(truth.frame_of, human_sums, len(given))
    frame_counts = np.bincount(truth.frame_of[truth.owner], minlength=len(given))
    # Without persons a frame is skipped; a frame that is missing counts 0; one that is given is skipped without parts.
    counted = (num_persons > 0) & (~given | (frame_counts > 0))
    scored = counted & given
    total = int(counted.sum())
    averages = frame_sums[scored] / frame_counts[scored]
    # bincount adds one after the other, as the official loop does; numpy's own sums add in pairs.
    psc = float(np.bincount(np.zeros(len(averages), np.int64), averages, 1)[0]) / total if total else 1.0
    return VideoScore(psc, total, truth.part, truth.verbs[truth.first], best, match[truth.owner] >= 0, predicted)


def match_persons(truth: Columns, found: Columns, num_frames: int) -> Array:
    """(N,) the person in `found` that belongs to each person in `truth`, -1 for none."""
    match = np.full(len(truth.boxes), -1)
    starts = [np.searchsorted(columns.frame_of, np.arange(num_frames + 1)) for columns in (truth, found)]
    sizes = [np.diff(start) for start in starts]
    pairs = sizes[0] * sizes[1]
    frames = np.repeat(np.arange(num_frames), pairs)
    within = np.arange(len(frames)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    rows, columns = (
        starts[0][frames] + within // np.maximum(sizes[1][frames], 1),
        starts[1][frames] + within % np.maximum(sizes[1][frames], 1),
    )
    ious = inclusive_ious(truth.boxes[rows], found.boxes[columns])
    nearest, clear = _nearest(np.where((sizes[0] <= sizes[1])[frames], rows, -1 - columns), rows, columns, ious, frames, num_frames)
    nearest = nearest[clear[frames[nearest]] & (ious[nearest] > PERSON_IOU)]
    match[rows[nearest]] = columns[nearest]
    ends = np.cumsum(pairs)
    for f in np.flatnonzero(~clear):
        n, m = int(sizes[0][f]), int(sizes[1][f])
        own = ious[ends[f] - pairs[f] : ends[f]].reshape(n, m)
        side = max(n, m)
        square = own if n == m else np.zeros((side, side))
        if n != m:
            square[:n, :m] = own
        i, j = linear_sum_assignment(1 - square)
        good = (i < n) & (j < m)
        i, j = i[good], j[good]
        good = own[i, j] > PERSON_IOU
        match[starts[0][f] + i[good]] = starts[1][f] + j[good]
    return match


def _nearest(few: Array, rows: Array, columns: Array, ious: Array, frames: Array, num_frames: int) -> tuple[Array, Array]:
    """The pair of largest IoU of each person of a frame's smaller side, and (F,) whether these pairs are all there is to find.

    They are where no two of them share a person and each leads clearly, as then any other matching has a smaller sum.

    Args:
        few: (K,) number of the person on the smaller side of each pair.
        rows, columns, ious, frames: (K,) of each pair.
    """
    clear = np.ones(num_frames, bool)
    if not len(few):
        return np.zeros(0, np.int64), clear
    order = np.lexsort((-ious, few))
    begins = np.append(True, np.diff(few[order]) != 0)
    lead = np.append(-np.diff(ious[order]), 1)
    lead[np.append(begins[1:], True)] = 1  # who has one pair alone
    nearest = order[begins]
    taken = [np.bincount(side[nearest])[side[nearest]] > 1 for side in (rows, columns)]
    clear[frames[nearest[(lead[begins] < CLEAR_LEAD) | taken[0] | taken[1]]]] = False
    return nearest, clear


def inclusive_ious(first: Array, second: Array) -> Array:
    """(N,) IoU of boxes row by row, corners inclusive, -1 where they are disjoint; in the precision of the boxes."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    sides = high - low + 1
    shared = sides[:, 0] * sides[:, 1]
    areas = [(b[:, 2] - b[:, 0] + 1) * (b[:, 3] - b[:, 1] + 1) for b in (first, second)]
    union = areas[0] + areas[1] - shared
    ious = np.full(len(first), -1, first.dtype)
    np.divide(shared, union, out=ious, where=(sides[:, 0] > 0) & (sides[:, 1] > 0))
    return ious


def _part_hits(truth: Columns, found: Columns, match: Array) -> tuple[Array, Array]:
    """(M,) correctness of each true part, and (M,) the verb of its best proposal, -1 without one."""
    table = np.full((len(found.boxes) + 1, 10), -1)  # the last row belongs to persons that are not matched
    table[found.owner, found.part] = np.arange(len(found.owner))
    rows = table[match[truth.owner], truth.part]
    has = rows >= 0
    counts = np.where(has, found.count[rows] if len(found.count) else 0, 0)
    mine = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts)
    proposals = found.first[rows[mine]] + within if len(mine) else np.zeros(0, np.int64)
    ious = inclusive_ious(truth.part_boxes[truth.first[mine]], found.part_boxes[proposals])
    near = ious >= PART_IOU
    hit = near & (truth.verbs[truth.first[mine]] == found.verbs[proposals])
    hits = np.bincount(mine[hit], minlength=len(rows)) > 0
    correctness = np.divide(hits, counts, out=np.zeros(len(rows)), where=counts > 0)
    predicted = np.full(len(rows), -1, np.int32)
    order = np.argsort(ious[near], kind="stable")
    predicted[mine[near][order]] = found.verbs[proposals[near][order]]  # the last one written overlaps most
    return correctness, predicted


def accuracy_curve(pscs: Array, action_correct: Array) -> tuple[Array, Array]:
    """Thresholds 0.0001, …, 0.9999 and the share of (V,) videos whose action is right and whose PSC reaches each."""
    thresholds = np.arange(1, STEPS) / STEPS
    reached = np.sort(pscs[action_correct])
    return thresholds, (len(reached) - np.searchsorted(reached, thresholds, side="left")) / max(1, len(pscs))


def area(accuracies: Array) -> float:
    """The score: every threshold's accuracy times the step of 0.0001, as the official code adds them; at most 0.9999."""
    return float(accuracies.sum() / STEPS)
