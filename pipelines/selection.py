"""Which frames of parses are worth a person's time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from parsing.document import AnyParse
from parsing.geometry import box_ious
from parsing.intervals import HOLDS_FROM
from parsing.tracks import same_track
from parsing.types import Array, FrameParse
from parsing.vocabulary import Vocabulary

REASONS = ("doubtful", "uncertain", "flicker", "disagreement", "rare")
OF_PERSONS = ("doubtful", "disagreement")  # reasons that say something of persons' boxes, without their parts
_SAME_BOX = 0.5  # IoU from which boxes of two parses are of one person
_NOBODY = 0.5  # how doubtful a frame without anybody is: less than one with a person of score 0.8, more than with one of 0.9


@dataclass(frozen=True)
class Candidate:
    """A key frame, and how much of each reason there is to look at it; `scores` in the order of `REASONS`."""

    video: str
    index: int
    time_s: float
    scores: tuple[float, ...]


@dataclass
class _Seen:
    """What is needed of the key frames of one video."""

    video: str
    frames: list[tuple[int, float]] = field(default_factory=list)
    reasons: list[list[float]] = field(default_factory=list)  # all but the last of `REASONS`
    held: list[set[tuple[str, str]]] = field(default_factory=list)  # parts and states that somebody has


def candidates(parses: Iterable[AnyParse], others: Mapping[str, AnyParse]) -> list[Candidate]:
    """The key frames of all parses with their scores.

    Doubtful: p (1 - p) of the persons; a frame in which nobody was found is doubtful, too. Uncertain: p (1 - p) of the states
    that visible parts can have. Flicker: states of a track, and its parts, that are other than in the key frames before and
    after, which agree. Disagreement: persons, parts and states that another parse of the video sees otherwise. Rare: states
    that few frames of all parses hold.

    Args:
        others: further parses by the names of their videos, of other views or weights.
    """
    seen = [_look(parse, others.get(parse.facts.name)) for parse in parses]
    total = sum(len(one.frames) for one in seen)
    if not total:
        return []
    names = {key for one in seen for held in one.held for key in held}
    counts = {key: sum(key in held for one in seen for held in one.held) for key in names}
    found = []
    for one in seen:
        for (index, time_s), reasons, held in zip(one.frames, one.reasons, one.held, strict=True):
            rare = max((np.log(total / counts[key]) for key in held), default=0.0)
            found.append(Candidate(one.video, index, time_s, (*reasons, float(rare))))
    return found


def choose(found: Sequence[Candidate], most: int, apart_s: float, reasons: Sequence[str] = REASONS) -> list[Candidate]:
    """The frames to look at, best first: of every video in turn the best that is far enough from those chosen of it.

    Each reason counts relative to its 95th percentile, so none drowns the others; frames without any are not chosen.

    Args:
        most: number of frames.
        apart_s: least time between two of a video.
        reasons: those that count.
    """
    if not found:
        return []
    scores = np.array([one.scores for one in found])[:, [REASONS.index(reason) for reason in reasons]]
    scale = np.percentile(scores, 95, axis=0)
    scale[scale <= 0] = scores.max(0)[scale <= 0]
    worth = (scores / np.where(scale > 0, scale, 1)).clip(0, 1).sum(1)
    queues: dict[str, list[int]] = {}
    for i in np.argsort(-worth, kind="stable").tolist():
        if worth[i] > 0:
            queues.setdefault(found[i].video, []).append(i)
    chosen: dict[str, list[Candidate]] = {video: [] for video in queues}
    order: list[Candidate] = []
    while queues and len(order) < most:
        for video in sorted(queues, key=lambda name: -worth[queues[name][0]]):
            taken = _next_apart(queues[video], found, chosen[video], apart_s)
            if taken is not None and len(order) < most:
                chosen[video].append(taken)
                order.append(taken)
        queues = {video: queue for video, queue in queues.items() if queue}
    return order


def _next_apart(queue: list[int], found: Sequence[Candidate], chosen: Sequence[Candidate], apart_s: float) -> Candidate | None:
    while queue:
        one = found[queue.pop(0)]
        if all(abs(one.time_s - other.time_s) >= apart_s for other in chosen):
            return one
    return None


def _look(parse: AnyParse, other: AnyParse | None) -> _Seen:
    """The key frames of a parse; three of them are in memory at once."""
    seen, words = _Seen(parse.facts.name), parse.vocabulary
    allowed = words.allowed
    twins = {} if other is None else {frame.index: frame for frame in other.frames if frame.key}
    last: list[FrameParse] = []
    for frame in parse.frames:
        if not frame.key:
            continue
        disagreement = _disagreement(frame, twins[frame.index], words, other.vocabulary) if other and frame.index in twins else 0.0
        last = [*last[-2:], frame]
        if len(last) == 3:
            seen.reasons[-1][REASONS.index("flicker")] = _flicker(*last)
        scores, visible = frame.states.scores, frame.parts.visible
        seen.frames.append((frame.index, frame.time_s))
        seen.reasons.append([_doubt(frame.persons.scores, _NOBODY), _doubt(scores[visible[:, :, None] & allowed]), 0.0, disagreement])
        rows = np.argwhere((scores >= HOLDS_FROM).any(0)).tolist()
        seen.held.append({(words.parts[p], words.states[s]) for p, s in rows})
    return seen


def _doubt(scores: Array, of_none: float = 0.0) -> float:
    """How far scores are from 0 and 1 on the average; 1 where all are one half."""
    return float((scores * (1 - scores) * 4).mean()) if scores.size else of_none


def _flicker(before: FrameParse, frame: FrameParse, after: FrameParse) -> float:
    """How many states and visible parts of tracks are other than before and after, which agree."""
    total = 0.0
    for a, row in zip(*same_track(before, frame), strict=True):
        for _, c in (pair for pair in zip(*same_track(frame, after), strict=True) if pair[0] == row):
            for one, two, three in (
                (before.parts.visible[a], frame.parts.visible[row], after.parts.visible[c]),
                (before.states.scores[a] >= HOLDS_FROM, frame.states.scores[row] >= HOLDS_FROM, after.states.scores[c] >= HOLDS_FROM),
            ):
                total += float(((one == three) & (one != two)).sum())
    return total


def _disagreement(frame: FrameParse, other: FrameParse, words: Vocabulary, other_words: Vocabulary) -> float:
    """Persons that one parse alone sees count 1 each; of those that both see, the mean difference of boxes and states does."""
    overlaps = box_ious(frame.persons.xyxy, other.persons.xyxy)
    pairs = [(a, int(overlaps[a].argmax())) for a in range(len(overlaps)) if overlaps.shape[1] and overlaps[a].max() >= _SAME_BOX]
    total = float(len(frame.persons) + len(other.persons) - 2 * len({b for _, b in pairs}))
    shared_parts = [(p, other_words.parts.index(name)) for p, name in enumerate(words.parts) if name in other_words.parts]
    shared = [(s, other_words.states.index(name)) for s, name in enumerate(words.states) if name in other_words.states]
    for a, b in pairs:
        for p, q in shared_parts:
            both = frame.parts.visible[a, p], other.parts.visible[b, q]
            if both[0] != both[1]:
                total += 1 / len(shared_parts)
            elif both[0]:
                states = [abs(frame.states.scores[a, p, s] - other.states.scores[b, q, t]) for s, t in shared]
                overlap = box_ious(frame.parts.xyxy[a, p][None], other.parts.xyxy[b, q][None])[0, 0]
                total += (1 - float(overlap) + float(max(states, default=0.0))) / (2 * len(shared_parts))
    return max(total, 0.0)
