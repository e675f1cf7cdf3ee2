"""Parses and videos that reports are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from builders import VOCABULARY, write_video

from parsing.document import VideoParse, write_parse
from parsing.types import ActionScore, Detections, FrameParse, ModelFacts, Parts, PartStates, VideoFacts
from parsing.vocabulary import Vocabulary

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202egnp.exe\u2028`${1}"
SIZE_WH = 160, 96


def person_frame(index: int, tracks: Sequence[int], vocabulary: Vocabulary = VOCABULARY, key: bool = True, fps: float = 10) -> FrameParse:
    """Persons side by side; the first state of each part holds in even seconds, the second one in odd ones."""
    n, (p, s) = len(tracks), vocabulary.allowed.shape
    width = SIZE_WH[0] / max(1, n)
    boxes = np.array([[width * i + 2, 10, width * (i + 1) - 2, 90] for i in range(n)], np.float32).reshape(n, 4)
    states = np.zeros((n, p, s), np.float32)
    for part, names in enumerate(vocabulary.part_states):
        states[:, part, vocabulary.states.index(names[int(index / fps) % min(2, len(names))])] = 0.9
    parts = (
        np.stack([np.array([[b[0], b[1] + 8 * k, b[2], b[1] + 8 * k + 8] for k in range(p)]) for b in boxes]) if n else np.zeros((0, p, 4))
    )
    persons = Detections(boxes, np.full(n, 0.9), np.zeros(n), np.array(tracks, int))
    return FrameParse(index, index / fps, persons, Parts(parts, np.full((n, p), 0.8), np.ones((n, p), bool)), PartStates(states), key)


def scene(
    folder: Path,
    frames: Sequence[FrameParse],
    name: str = "clip.mp4",
    vocabulary: Vocabulary = VOCABULARY,
    complete: bool = True,
    actions: Sequence[ActionScore] = (ActionScore("walk", 0.75, 0.0, 1.0),),
    note: str = "",
) -> Path:
    """A parse.json of these frames at ten frames a second."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = VideoFacts(name, *SIZE_WH, 0, 10.0, len(frames) / 10, len(frames), len(frames), 0)
    models = (ModelFacts("tracker", "bytetrack", None, "{}", note=note),)
    of_tracks = {1: (ActionScore("run", 0.6, 0.0, 1.0),)}
    write_parse(VideoParse(facts, vocabulary, tuple(actions), tuple(frames), models, complete, of_tracks), folder / "parse.json")
    return folder / "parse.json"


def write_clip(path: Path, num_frames: int, size_wh: tuple[int, int] = SIZE_WH, codec: str = "libx264") -> Path:
    """A grey video at ten frames a second."""
    return write_video(
        path, [np.full((size_wh[1], size_wh[0], 3), 60 + 5 * (i % 20), np.uint8) for i in range(num_frames)], 10, codec=codec
    )


def hostile_vocabulary() -> Vocabulary:
    """Names that would end scripts, attributes and lines, where they were not escaped."""
    parts, states = (f"left_{HOSTILE}", f"right_{HOSTILE}"), (HOSTILE, "b</style>")
    return Vocabulary(HOSTILE, parts, states, (states, states), (HOSTILE,))
