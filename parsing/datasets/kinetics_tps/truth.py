"""The benchmark's ground truth as parses, which `oracle` stages look up."""

from __future__ import annotations

import numpy as np

from parsing.datasets.kinetics_tps.annotations import frame_number
from parsing.datasets.kinetics_tps.columns import VerbTable, columns_of
from parsing.datasets.kinetics_tps.results import Results
from parsing.types import Detections, FrameParse, Parts, PartStates
from parsing.vocabulary import PART_NAMES, Vocabulary


def truth_vocabulary(truth: Results) -> Vocabulary:
    """The states that occur for each part, and the actions, both in alphabetical order.

    Raises:
        InputError: an annotation cannot be read; names the file, the video and the frame.
    """
    seen: set[tuple[int, str]] = set()
    for video, frames in truth.parts.items():
        table = VerbTable()
        columns = columns_of(list(frames.values()), [f"{truth.parts_path}: {video}: {name}" for name in frames], table, limits=False)
        verbs = np.array(table.names)[columns.verbs[columns.first]] if len(columns.part) else np.zeros(0, str)
        seen |= set(zip(columns.part.tolist(), verbs.tolist(), strict=True))
    states = tuple(sorted({state for _, state in seen}))
    rows = tuple(tuple(state for state in states if (p, state) in seen) for p in range(len(PART_NAMES)))
    return Vocabulary("kinetics-tps", PART_NAMES, states, rows, tuple(sorted(set(truth.actions.values()))))


def truth_frames(truth: Results, vocabulary: Vocabulary) -> dict[tuple[str, int], FrameParse]:
    """Ground truth as parses, by video and 0-based frame.

    Raises:
        InputError: an annotation cannot be read; names the file, the video and the frame.
    """
    parses: dict[tuple[str, int], FrameParse] = {}
    for video, frames in truth.parts.items():
        for name, value in frames.items():
            where = f"{truth.parts_path}: {video}: {name}"
            table = VerbTable()
            columns = columns_of([value], [where], table, limits=False)
            n, index = len(columns.boxes), frame_number(name, where) - 1
            parts = Parts.empty(n, len(PART_NAMES))
            states = PartStates.empty(n, len(PART_NAMES), len(vocabulary.states))
            at = columns.owner, columns.part
            parts.xyxy[at], parts.scores[at], parts.visible[at] = columns.part_boxes[columns.first], 1, True
            numbers = np.array([vocabulary.states.index(verb) for verb in table.names], int)
            states.scores[(*at, numbers[columns.verbs[columns.first]])] = 1
            persons = Detections(columns.boxes, np.ones(n), np.zeros(n), np.arange(n))
            parses[video, index] = FrameParse(index, 0.0, persons, parts, states)
    return parses
