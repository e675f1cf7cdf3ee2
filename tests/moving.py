"""A parse with what exporters have to carry: tracks with gaps, a person without a track, states that change, actions with times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from builders import VOCABULARY, ramp, write_video

from parsing.document import VideoParse
from parsing.types import ActionScore, Detections, FrameParse, Parts, PartStates, VideoFacts

NUM_FRAMES, HW = 12, (240, 320)
FACTS = VideoFacts("walk it.mp4", 320, 240, 0, 10.0, 1.2, NUM_FRAMES, NUM_FRAMES, 0)
ACTIONS = (ActionScore("walk", 0.75, 0.0, 1.2), ActionScore("run", 0.5, 0.6, 1.2))
TRACK_ACTIONS = {1: (ActionScore("walk", 0.875, 0.0, 0.5), ActionScore("run", 0.625, 0.6, 1.1))}


def moving_parse(facts: VideoFacts = FACTS) -> VideoParse:
    """Track 1 in all 12 frames, track 5 without frames 4 and 5, a person without a track in frame 3, nobody in frame 11."""
    return VideoParse(facts, VOCABULARY, ACTIONS, tuple(_frame(i) for i in range(NUM_FRAMES)), (), True, TRACK_ACTIONS)


def write_moving_video(folder: Path, facts: VideoFacts = FACTS) -> Path:
    return write_video(folder / facts.name, [ramp(i, (facts.height, facts.width)) for i in range(facts.frames_decoded)])


def _frame(index: int) -> FrameParse:
    boxes, ids = [], []
    if index != 11:
        boxes, ids = [[10 + 3.0 * index, 20, 110 + 3.0 * index, 220.5]], [1]
        if index not in (4, 5):
            boxes, ids = [*boxes, [180, 30 + (index % 3) * 4.0, 300, 230]], [*ids, 5]
        if index == 3:
            boxes, ids = [*boxes, [120.25, 100, 170, 200]], [*ids, -1]
    n, (p, s) = len(boxes), VOCABULARY.allowed.shape
    xyxy = np.array(boxes, np.float32).reshape(n, 4)
    visible = np.ones((n, p), bool)
    visible[:, -1] = False
    visible[:, 4] = index % 4 != 3
    shares = np.array([[0.1 + 0.02 * j, 0.1 + 0.05 * j, 0.4 + 0.05 * j, 0.3 + 0.05 * j] for j in range(p)], np.float32)
    sides = np.concatenate([xyxy[:, 2:] - xyxy[:, :2]] * 2, 1)
    parts = (xyxy[:, None, [0, 1, 0, 1]] + shares[None] * sides[:, None]).round(1) * visible[..., None]
    states = np.zeros((n, p, s), np.float32)
    states[:, :, :] = 0.9 * VOCABULARY.allowed if index // 5 % 2 else 0.125
    states[:, 2, :] = np.where(np.arange(s) % 2 == index // 3 % 2, 0.75, 0.25)
    states *= VOCABULARY.allowed * visible[..., None]
    persons = Detections(xyxy, np.linspace(0.9, 0.6, n), np.zeros(n), np.array(ids, int))
    return replace(FrameParse(index, index / 10, persons, Parts(parts, visible * 0.75, visible), PartStates(states)), key=index % 2 == 0)
