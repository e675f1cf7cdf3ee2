"""Actions of one video or track over time, from what windows of it show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from parsing.types import ActionScore, Branch

Labels = Sequence[tuple[str, float]]  # what a window shows, each with its score


class Timeline:
    """Actions in order of their beginning; where windows that touch agree on one, it grows, and its score is their mean."""

    def __init__(self) -> None:
        self.actions: list[ActionScore] = []
        self._open: dict[str, tuple[int, int]] = {}  # place of what the last window showed, and in how many windows so far

    def add(self, labels: Labels, start_s: float, end_s: float, branch: Branch) -> None:
        """Note what the next window shows."""
        before, self._open = self._open, {}
        for label, score in labels:
            place, count = before.get(label, (-1, 0))
            if count and start_s <= self.actions[place].end_s and self.actions[place].branch == branch:
                last = self.actions[place]
                self.actions[place] = replace(last, score=last.score + (score - last.score) / (count + 1), end_s=end_s)
                self._open[label] = place, count + 1
            else:
                self.actions.append(ActionScore(label, score, start_s, end_s, branch))
                self._open[label] = len(self.actions) - 1, 1
