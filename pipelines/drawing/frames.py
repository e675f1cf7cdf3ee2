"""A parse drawn onto its frames. All lengths follow the frame's shorter side, so 240p and 4K look alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.tracks import SURE_SCORE
from parsing.types import ActionScore, Array, Frame, FrameParse
from parsing.vocabulary import Vocabulary
from pipelines.drawing.banner import Banner
from pipelines.drawing.colours import Colour, part_colours, track_colour
from pipelines.drawing.panels import Panels
from pipelines.drawing.places import Rectangle
from pipelines.drawing.text import SMALLEST_PX, fitted, line_height, text_width, write

DRAWN_PARTS_PX = 40  # height of a person at 480p from which parts are drawn
READABLE_PX = 120


@config
class DrawingConfig:
    """What the annotated copy shows.

    Args:
        panels: the states of each person, beside the person.
        parts: boxes of parts.
        ids: the tracks' numbers, and what the person does, as far as tracks have actions.
        actions: what holds in the whole video, along the bottom edge, with its times.
        follow: the track that is drawn alone; None draws all persons.
        brief: in videos, persons too who belong to no track and whose score is low: most are seen for a moment, and many are none.
    """

    panels: bool = True
    parts: bool = True
    ids: bool = True
    actions: bool = True
    follow: Annotated[int, Field(ge=0, le=10**9)] | None = None
    brief: bool = False


ALL = DrawingConfig()


@dataclass
class FrameDrawer:
    """Draws the frames of one video, in order; labels stay where they were while there is room.

    Args:
        vocabulary: of the parses.
        has_tracks: a person without a track is one who was seen for a moment; not so in a single picture.
    """

    vocabulary: Vocabulary
    settings: DrawingConfig = ALL
    has_tracks: bool = True
    _panels: Panels | None = field(default=None, repr=False)

    def draw(
        self,
        frame: Frame,
        parse: FrameParse,
        actions: Sequence[ActionScore] = (),
        track_actions: Mapping[int, Sequence[ActionScore]] | None = None,
    ) -> Array:
        """(H, W, 3) uint8 RGB copy of the frame with person boxes, tracks, part boxes, states and the actions' banner.

        Frames whose shorter side is below 120 px get boxes alone: text would cover what they show.
        """
        image, settings = frame.image.copy(), self.settings
        parse = self._followed(parse)
        readable = min(frame.image_hw) >= READABLE_PX
        unit = max(0.8, min(frame.image_hw) / 480)
        size_px = text_px(frame.image_hw)
        order = range(len(parse.persons) - 1, -1, -1)  # best last, on top
        colours = part_colours(self.vocabulary)
        for row in order:
            if settings.parts:
                _draw_parts(image, parse, row, colours, unit)
            cv2.rectangle(
                image, *_ends(corners(parse.persons.xyxy[row])), track_colour(track_of(parse, row)), max(1, round(2 * unit)), cv2.LINE_AA
            )
        if not readable:
            return image
        banner = Banner([one for one in actions if one.start_s <= parse.time_s <= one.end_s] if settings.actions else [], image, size_px)
        labels = [banner.box] if banner.box else []
        for row in order if settings.ids else ():
            labels.append(_draw_id(image, parse, row, _label(parse, row, track_actions or {}), size_px))
        if settings.panels:
            if self._panels is None or self._panels.image_hw != frame.image_hw:
                self._panels = Panels(frame.image_hw, self.vocabulary, colours, size_px)
            self._panels.draw(image, parse, labels)
        banner.draw(image)
        return image

    def _followed(self, parse: FrameParse) -> FrameParse:
        """The parse with those persons alone that are drawn."""
        follow, hides_brief = self.settings.follow, self.has_tracks and not self.settings.brief and parse.persons.track_ids is not None
        if follow is None and not hides_brief:
            return parse
        ids = np.array([track_of(parse, row) for row in range(len(parse.persons))], int)
        rows = (ids == follow) if follow is not None else (ids >= 0) | (parse.persons.scores >= SURE_SCORE)
        return FrameParse(
            parse.index, parse.time_s, parse.persons.select(rows), parse.parts.select(rows), parse.states.select(rows), parse.key
        )


def text_px(image_hw: tuple[int, int]) -> int:
    """Size of text: legible at 240p, and of about the same share of the picture from 480p on."""
    return max(SMALLEST_PX + 1, round(min(image_hw) * 0.021 + 3))


def track_of(parse: FrameParse, row: int) -> int:
    """The track of a person; -1 where it has none."""
    return -1 if parse.persons.track_ids is None else int(parse.persons.track_ids[row])


def corners(box: Array) -> Rectangle:
    """A box in whole pixels."""
    x1, y1, x2, y2 = (round(float(side)) for side in box)
    return x1, y1, x2, y2


def _ends(box: Rectangle) -> tuple[tuple[int, int], tuple[int, int]]:
    return box[:2], box[2:]


def _draw_parts(image: Array, parse: FrameParse, row: int, colours: Sequence[Colour], unit: float) -> None:
    _, top, _, bottom = parse.persons.xyxy[row]
    if bottom - top < DRAWN_PARTS_PX * unit:
        return
    for p in np.flatnonzero(parse.parts.visible[row]).tolist():
        cv2.rectangle(image, *_ends(corners(parse.parts.xyxy[row, p])), colours[p], max(1, round(1.2 * unit)), cv2.LINE_AA)


def _label(parse: FrameParse, row: int, track_actions: Mapping[int, Sequence[ActionScore]]) -> str:
    """A track's number and its action, the one that began last; a dash for a person without a track."""
    track_id = track_of(parse, row)
    if track_id < 0:
        return "#-"
    begun = (action for action in reversed(track_actions.get(track_id, ())) if action.start_s <= parse.time_s)
    current = next(begun, None)
    return f"#{track_id}" if current is None else f"#{track_id} {current.label.replace('_', ' ')} {current.score:.2f}"


def _draw_id(image: Array, parse: FrameParse, row: int, text: str, size_px: int) -> Rectangle:
    """A person's label on its box, wholly within the picture; where it is."""
    x1, y1, _, _ = corners(parse.persons.xyxy[row])
    height, pad, image_width = line_height(size_px), max(2, size_px // 5), image.shape[1]
    text = fitted(text, image_width - 2 * pad, size_px)
    width = text_width(text, size_px) + 2 * pad
    left = int(np.clip(x1, 0, max(0, image_width - width)))
    top = int(np.clip(y1 - height if y1 >= height else y1, 0, max(0, image.shape[0] - height)))
    cv2.rectangle(image, (left, top), (left + width, top + height), track_colour(track_of(parse, row)), cv2.FILLED)
    write(image, text, (left + pad, top), size_px, (0, 0, 0))
    return left, top, left + width, top + height
