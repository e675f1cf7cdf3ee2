"""Parses of players who raise or lower a racket, in a vocabulary that no code knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from parsing.document import VideoParse
from parsing.tracks import Tracklet, tracklets
from parsing.types import Array, Detections, FrameParse, Parts, PartStates, VideoFacts
from parsing.vocabulary import Vocabulary
from parsing.writing import write_parse

PARTS, STATES = ("helmet", "left_glove", "right_glove", "racket"), ("open", "fist")
VOCABULARY = Vocabulary("players", PARTS, STATES, ((), STATES, STATES, ()), ())
HW = (240, 320)
ACTIONS = ("lower", "raise")


def player(index: int, time_s: float, speed: float, track_id: int = 1, left: float = 60.0) -> FrameParse:
    """One player 100 px tall whose racket, at the right of the picture, rises by `speed` heights a second; the left glove is hidden."""
    box = np.array([[left, 80, left + 50, 180]], np.float32)
    rise = 100 * speed * time_s
    places = [(10, 80, 30, 100), (0, 120, 10, 130), (40, 120, 50, 130), (50, 130 - rise, 60, 160 - rise)]
    parts = np.array([[(left + x1, y1, left + x2, y2) for x1, y1, x2, y2 in places]], np.float32)
    visible = np.array([[True, False, True, True]])
    states = np.zeros((1, len(PARTS), len(STATES)))
    states[0, 2, 1] = 0.75
    found = Parts(parts * visible[..., None], visible * 0.5, visible)
    return FrameParse(index, time_s, Detections(box, [0.9], [0], [track_id]), found, PartStates(states))  # type: ignore[arg-type]


def track(times_s: Array | list[float], speed: float = 0.5, left: float = 60.0) -> Tracklet:
    (one,) = tracklets([player(i, time_s, speed, left=left) for i, time_s in enumerate(times_s)], HW)
    return one


def video(frames: list[FrameParse], vocabulary: Vocabulary = VOCABULARY) -> VideoParse:
    facts = VideoFacts("a.mp4", HW[1], HW[0], 0, 10.0, len(frames) / 10, len(frames), len(frames), 0)
    return VideoParse(facts, vocabulary, (), tuple(frames), (), True)


def write_parses(root: Path) -> Path:
    """Five clips of either action, one of them to validate, as `pipelines.run` would write them; beside them one without a person."""
    root.mkdir()
    rows = ["file,label,split"]
    for number in range(5):
        for label, sign in (("raise", 1), ("lower", -1)):
            times_s = np.arange(8) * (0.1 if number % 2 else 0.14)
            frames = [player(i, float(t), sign * (0.5 + 0.1 * number), left=20.0 + 30 * number) for i, t in enumerate(times_s)]
            write_parse(video(frames), root / f"{label}{number}.mp4.json")
            rows.append(f"{label}/{label}{number}.mp4,{label},{'val' if number == 4 else 'train'}")
    write_parse(video([nobody(i) for i in range(3)]), root / "empty.mp4.json")
    rows.append("raise/empty.mp4,raise,train")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def nobody(index: int) -> FrameParse:
    p, s = len(PARTS), len(STATES)
    return FrameParse(index, index / 10, Detections.empty(), Parts.empty(0, p), PartStates.empty(0, p, s))
