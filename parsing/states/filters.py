"""Part states after the network: seen over the time of a track, in a window that moves with the stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.networks.weights import model_facts
from parsing.stages import Item
from parsing.tracks import same_track
from parsing.types import Frame, FrameParse, ModelFacts, PartStates
from parsing.vocabulary import Vocabulary

Window = Annotated[float, Field(gt=0, le=2)]


@config
class SmoothConfig:
    """Averages states along tracks over key frames up to `window_s` to both sides, less and less the farther they are."""

    name: Literal["smooth"]
    window_s: Window = 0.3

    def build(self, device: str) -> Smooth:  # noqa: ARG002  # every stage is built for a device
        return Smooth(self.window_s, facts=model_facts("state_filter", self))


class Smooth:
    """The weighted mean of a track's states; a part that is hidden neither counts nor speaks."""

    def __init__(self, window_s: float, facts: ModelFacts = ModelFacts("state_filter", "smooth", None, "{}")) -> None:
        self.facts = facts
        self.window_s = window_s

    def check(self, vocabulary: Vocabulary) -> None:
        """Any vocabulary will do."""

    def __call__(self, items: Iterable[Item], *, waits: bool = True) -> Iterator[Item]:
        for frame, parse, others in neighbourhoods(items, self.window_s, waits):
            yield frame, None if parse is None else self._smoothed(parse, others)

    def _smoothed(self, parse: FrameParse, others: list[FrameParse]) -> FrameParse:
        if parse.persons.track_ids is None:
            return parse
        total = parse.states.scores * parse.parts.visible[..., None]
        weights = parse.parts.visible.astype(np.float32)
        for other in others:
            nearness = 1 - abs(other.time_s - parse.time_s) / self.window_s
            rows, columns = same_track(parse, other)
            shown = nearness * other.parts.visible[columns]
            total[rows] += shown[..., None] * other.states.scores[columns]
            weights[rows] += shown
        mean = total / np.maximum(weights, 1e-6)[..., None]
        return replace(parse, states=PartStates(np.clip(mean * parse.parts.visible[..., None], 0, 1)))


def neighbourhoods(
    items: Iterable[Item], window_s: float, waits: bool = True
) -> Iterator[tuple[Frame, FrameParse | None, list[FrameParse]]]:
    """Every frame in order, with the other key frames that lie less than `window_s` away.

    Frames wait until the window behind them is full, so memory grows by `window_s` of video. Without `waits` they come with
    the key frames before them alone.
    """
    waiting: deque[Item] = deque()
    known: deque[FrameParse] = deque()
    for frame, parse in items:
        waiting.append((frame, parse))
        if parse is not None:
            known.append(parse)
        while waiting and frame.time_s - waiting[0][0].time_s >= (window_s if waits else 0.0):
            yield _with_others(*waiting.popleft(), known, window_s)
        oldest_s = waiting[0][0].time_s if waiting else frame.time_s
        while known and known[0].time_s <= oldest_s - window_s:
            known.popleft()
    while waiting:
        yield _with_others(*waiting.popleft(), known, window_s)


def _with_others(
    frame: Frame, parse: FrameParse | None, known: Iterable[FrameParse], window_s: float
) -> tuple[Frame, FrameParse | None, list[FrameParse]]:
    if parse is None:
        return frame, None, []
    return frame, parse, [other for other in known if other is not parse and abs(other.time_s - parse.time_s) < window_s]
