"""A panel for each person: its parts and what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from parsing.types import Array, FrameParse
from parsing.vocabulary import Vocabulary
from pipelines.drawing.banner import shade
from pipelines.drawing.colours import WHITE, Colour, track_colour
from pipelines.drawing.places import Places, Rectangle
from pipelines.drawing.text import SMALLEST_PX, line_height, text_width, write

SHOWN_STATE = 0.5
LABELLED_PX = 72  # height of a person at 480p from which states are written
FEW = 3  # persons, of whom one may be covered by a panel where nothing else is free
CROWDED = (0.28, 0.45)  # shares of the picture that panels in full size would take, from which all are small, or initials
MOST = 12  # persons with panels at all
Line = tuple[int, str]  # part, text


@dataclass(frozen=True)
class Style:
    """How a panel is written: a share of the size of text, and whether parts are told by initials."""

    scale: float
    initials: bool


STYLES = (Style(1.0, False), Style(0.85, False), Style(0.85, True), Style(0.7, True))


class Panels:
    """The panels of one video. A panel that had to shrink stays small, and keeps its size and side while there is room."""

    def __init__(self, image_hw: tuple[int, int], vocabulary: Vocabulary, colours: Sequence[Colour], size_px: int) -> None:
        self.image_hw, self.vocabulary, self.colours, self.size_px = image_hw, vocabulary, colours, size_px
        self._places = Places(image_hw[::-1])
        self._styles: dict[int, int] = {}  # by track, an index of STYLES
        self._sizes: dict[tuple[int, int], tuple[int, int]] = {}  # by track and style, the largest so far

    def draw(self, image: Array, parse: FrameParse, labels: Sequence[Rectangle]) -> None:
        """Draw the panels of a frame.

        Args:
            labels: what must not be covered.
        """
        boxes = [_whole(box) for box in parse.persons.xyxy]
        ids = [-1] * len(boxes) if parse.persons.track_ids is None else parse.persons.track_ids.tolist()
        self._places.begin(boxes, labels)
        least_height = LABELLED_PX * max(0.8, min(self.image_hw) / 480)
        rows = [row for row, (_, y1, _, y2) in enumerate(boxes) if y2 - y1 >= least_height][:MOST]
        for row in sorted(rows, key=lambda row: (ids[row] < 0, ids[row])):  # those with tracks first, in the same order each time
            self._draw(image, parse, row, ids[row], boxes[row], len(rows))

    def _draw(self, image: Array, parse: FrameParse, row: int, track_id: int, person: Rectangle, num_panels: int) -> None:
        first = max(self._crowd(num_panels), self._styles.get(track_id, 0))
        for level in range(first, len(STYLES)):
            lines = self._lines(parse, row, STYLES[level])
            if not lines:
                return
            size_px = max(SMALLEST_PX, round(STYLES[level].scale * self.size_px))
            size = self._size(lines, size_px, track_id, level)
            place = self._places.take(size, person, track_id, only_free=True)
            if place is None and level == len(STYLES) - 1 and num_panels <= FEW:
                place = self._places.take(size, person, track_id, only_free=False)
            if place is not None:
                if track_id >= 0:
                    self._styles[track_id] = level
                _lead(image, place, person, track_colour(track_id), max(1, size_px // 10))
                self._write(image, lines, size_px, place, track_id)
                return

    def _crowd(self, num_panels: int) -> int:
        """The first of STYLES that so many panels leave room for."""
        full = 12 * self.size_px * line_height(self.size_px) * len(self.vocabulary.parts)
        share = num_panels * full / (self.image_hw[0] * self.image_hw[1])
        return sum(share > most for most in CROWDED)

    def _lines(self, parse: FrameParse, row: int, style: Style) -> list[Line]:
        lines = []
        for p in np.flatnonzero(parse.parts.visible[row]).tolist():
            scores = parse.states.scores[row, p]
            shown = [self.vocabulary.states[s].replace("_", " ") for s in np.argsort(-scores, kind="stable") if scores[s] >= SHOWN_STATE]
            if shown:
                name = self.vocabulary.parts[p]
                lines.append((p, f"{initials(name) if style.initials else short(name)} {', '.join(shown)}"))
        return lines

    def _size(self, lines: list[Line], size_px: int, track_id: int, level: int) -> tuple[int, int]:
        """Width and height, at least those of before, so that a panel does not jump with every state."""
        pad = _pad(size_px)
        width = max(text_width(text, size_px) for _, text in lines) + size_px + 3 * pad
        height = line_height(size_px) * len(lines) + pad
        if track_id < 0:
            return width, height
        before = self._sizes.get((track_id, level), (0, 0))
        self._sizes[track_id, level] = max(width, before[0]), max(height, before[1])
        return self._sizes[track_id, level]

    def _write(self, image: Array, lines: list[Line], size_px: int, place: Rectangle, track_id: int) -> None:
        pad, step = _pad(size_px), line_height(size_px)
        x1, y1, x2, _ = place
        shade(image, (x1, y1, x2, y1 + step * len(lines) + pad))
        cv2.rectangle(image, (x1, y1), (x1 + max(1, pad // 2), y1 + step * len(lines) + pad), track_colour(track_id), cv2.FILLED)
        bullet = round(0.7 * size_px)
        for i, (part, text) in enumerate(lines):
            top = y1 + pad // 2 + i * step
            left, high = x1 + 2 * pad, top + (step - bullet) // 2
            cv2.rectangle(image, (left, high), (left + bullet, high + bullet), self.colours[part], cv2.FILLED)
            write(image, text, (left + bullet + pad, top), size_px, WHITE)


def _lead(image: Array, place: Rectangle, person: Rectangle, colour: Colour, thickness: int) -> None:
    """A line from a panel to its person, between the points of both that are nearest to each other."""
    ends = []
    for low, high in ((0, 2), (1, 3)):
        start, end = max(place[low], person[low]), min(place[high], person[high])
        between = (start + end) // 2  # where both overlap, in the middle of that
        ends.append((between, between) if start <= end else (end, start) if place[high] < person[low] else (start, end))
    (x1, x2), (y1, y2) = ends
    cv2.line(image, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)


def short(part: str) -> str:
    """`L arm` of `left_arm`."""
    return part.replace("left_", "L ").replace("right_", "R ").replace("_", " ") + ":"


def initials(part: str) -> str:
    """`LA` of `left_arm`, `He` of `head`."""
    words = part.split("_")
    return "".join(word[:1].upper() for word in words) if len(words) > 1 else part[:2].capitalize()


def _pad(size_px: int) -> int:
    return max(2, round(0.3 * size_px))


def _whole(box: Array) -> Rectangle:
    x1, y1, x2, y2 = (round(float(side)) for side in box)
    return x1, y1, x2, y2
