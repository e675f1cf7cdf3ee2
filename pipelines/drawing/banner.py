"""The actions that hold now, along the bottom edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parsing.types import ActionScore, Array
from pipelines.drawing.colours import WHITE
from pipelines.drawing.places import Rectangle
from pipelines.drawing.text import SMALLEST_PX, clock, fitted, line_height, text_width, write

MOST = 3  # actions
SHADE = 0.35  # of the light that is left under labels


class Banner:
    """The best actions with their scores and times; beside each other where the width is enough, else one a line.

    Args:
        image: that it goes onto; (H, W, 3).
    """

    def __init__(self, actions: Sequence[ActionScore], image: Array, size_px: int) -> None:
        best = sorted(actions, key=lambda one: -one.score)[:MOST]
        height, width = image.shape[:2]
        self.size_px = round(1.15 * size_px)
        self.pad = max(3, size_px // 3)
        self.lines = self._lines([_words(one) for one in best], width - 2 * self.pad)
        top = height - line_height(self.size_px) * len(self.lines) - self.pad
        self.box: Rectangle | None = (0, max(0, top), width, height) if self.lines else None

    def draw(self, image: Array) -> None:
        if self.box is None:
            return
        shade(image, self.box)
        for i, line in enumerate(self.lines):
            write(image, line, (self.pad, self.box[1] + self.pad // 2 + i * line_height(self.size_px)), self.size_px, WHITE)

    def _lines(self, texts: list[str], width: int) -> list[str]:
        """Lines that are no wider; the text gets smaller before it is cut."""
        joined = "     ".join(texts)
        if texts and text_width(joined, self.size_px) <= width:
            return [joined]
        while self.size_px > SMALLEST_PX and any(text_width(text, self.size_px) > width for text in texts):
            self.size_px -= 1
        return [fitted(text, width, self.size_px) for text in texts]


def _words(action: ActionScore) -> str:
    return f"{action.label.replace('_', ' ')} {action.score:.2f}  {clock(action.start_s)}-{clock(action.end_s)}"


def shade(image: Array, box: Rectangle) -> None:
    """Darken a part of a picture, so that white text can be read on it."""
    x1, y1, x2, y2 = (max(0, side) for side in box)
    image[y1:y2, x1:x2] = (image[y1:y2, x1:x2] * SHADE).astype(np.uint8)
