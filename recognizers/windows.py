"""Windows over what comes in order of time, and the actions that they show as a timeline.

One mechanism serves whole videos, small videos and the crops of a person's track.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Generic, TypeVar

import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.stages import ActionRecognizer
from parsing.types import ActionScore, ActionScores, Branch, Frame

T = TypeVar("T")
RATE_TOLERANCE = 0.9  # of the time between two items: times in files are rounded


@config
class WindowConfig:
    """How a video that is longer than a clip is cut.

    Args:
        window_s: length of a window; a video of at most this length is one window.
        every_s: from the beginning of one window to that of the next, at most `window_s`.
        most_frames: that a window may hold; frames that come faster are left out.
        most_px: shorter side that larger frames are scaled down to while their window fills; a little more than the
            input of the networks.
    """

    window_s: Annotated[float, Field(gt=0, le=60)] = 12.0
    every_s: Annotated[float, Field(gt=0, le=60)] = 6.0
    most_frames: Annotated[int, Field(ge=1, le=4096)] = 512
    most_px: Annotated[int, Field(ge=16, le=4096)] = 256

    def __post_init__(self) -> None:
        check_no_gaps(self.window_s, self.every_s)


def check_no_gaps(window_s: float, every_s: float) -> None:
    """Raises ValueError where windows do not touch."""
    if every_s > window_s:
        raise ValueError(f"every_s {every_s} leaves gaps between windows of {window_s} s")


@dataclass(frozen=True, eq=False)
class Window(Generic[T]):
    """What lies between two times, at least one item."""

    start_s: float
    end_s: float
    items: tuple[T, ...]


class Windows(Generic[T]):
    """Windows over items that are added in order of time; at most `most_items` of them are kept.

    The grid of beginnings goes on over gaps. A window that shows nothing which the one before did not show, or fewer
    than `least_items`, is left out.

    Args:
        begin_s: where the first window begins.
    """

    def __init__(self, window_s: float, every_s: float, most_items: int, *, least_items: int = 1, begin_s: float = 0.0) -> None:
        self.window_s, self.every_s, self.most_items, self.least_items = window_s, every_s, most_items, least_items
        self.begin_s = begin_s
        self._items: deque[tuple[float, T]] = deque()
        self._has_new = False

    @property
    def items(self) -> list[T]:
        """Those of the window that is filling."""
        return [item for _, item in self._items]

    def add(self, time_s: float, item: T) -> list[Window[T]]:
        """The windows that end before this item, which is kept unless items come too fast."""
        complete = self._move_to(time_s)
        spacing = RATE_TOLERANCE * self.window_s / self.most_items
        if not self._items or (len(self._items) < self.most_items and time_s - self._items[-1][0] >= spacing):
            self._items.append((time_s, item))
            self._has_new = True
        return complete

    def finish(self, end_s: float) -> list[Window[T]]:
        """The last window, which ends here."""
        return self._window(end_s)

    def _move_to(self, time_s: float) -> list[Window[T]]:
        complete: list[Window[T]] = []
        while self._items and time_s >= self.begin_s + self.window_s:
            complete += self._window(self.begin_s + self.window_s)
            self.begin_s += self.every_s
            while self._items and self._items[0][0] < self.begin_s:
                self._items.popleft()
        if not self._items:
            self.begin_s += max(0.0, (time_s - self.begin_s) // self.every_s * self.every_s)
        return complete

    def _window(self, end_s: float) -> list[Window[T]]:
        if not self._has_new or len(self._items) < self.least_items:
            return []
        self._has_new = False
        return [Window(self.begin_s, end_s, tuple(self.items))]


def recognize(recognizer: ActionRecognizer, frames: Sequence[Frame]) -> ActionScores:
    """Scores of a window that holds these frames."""
    return recognizer({int(i): frames[i] for i in recognizer.indices(len(frames))}, len(frames))


@dataclass(frozen=True)
class Mark:
    """How far a timeline has come: what it holds, and the actions that may still grow, by their places."""

    num_actions: int
    open: dict[str, tuple[int, int]]
    growing: dict[int, ActionScore]


class Timeline:
    """Actions in order of their beginning; where windows that touch agree on one, it grows, and its score is their mean."""

    def __init__(self) -> None:
        self.actions: list[ActionScore] = []
        self._open: dict[str, tuple[int, int]] = {}  # place of what the last window showed, and in how many windows so far

    def add(self, scores: ActionScores, names: Sequence[str], start_s: float, end_s: float, branch: Branch) -> None:
        """Note what holds in the next window, best first.

        Args:
            names: of the recognizer's actions.
        """
        before, self._open = self._open, {}
        held = np.flatnonzero(scores.holds)
        for i in held[np.argsort(-scores.probabilities[held], kind="stable")].tolist():
            label, score = names[i], float(scores.probabilities[i])
            place, count = before.get(label, (-1, 0))
            if count and start_s <= self.actions[place].end_s and self.actions[place].branch == branch:
                last = self.actions[place]
                self.actions[place] = replace(last, score=last.score + (score - last.score) / (count + 1), end_s=end_s)
                self._open[label] = place, count + 1
            else:
                self.actions.append(ActionScore(label, score, start_s, end_s, branch))
                self._open[label] = len(self.actions) - 1, 1

    def mark(self) -> Mark:
        """Where it stands now, for `back_to`."""
        return Mark(len(self.actions), self._open, {place: self.actions[place] for place, _ in self._open.values()})

    def back_to(self, mark: Mark) -> None:
        """As it was when it was marked; only what came since is touched."""
        del self.actions[mark.num_actions :]
        self._open = mark.open
        for place, action in mark.growing.items():
            self.actions[place] = action
