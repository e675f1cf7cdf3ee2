"""A parse drawn onto its frame. All lengths follow the frame's shorter side, so 480p and 1080p look alike."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from parsing.types import ActionScore, Array, Frame, FrameParse
from parsing.vocabulary import Vocabulary

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]
SHOWN_STATE = 0.5
DRAWN_PARTS_PX, LABELLED_PX = 40, 96  # height of a person at 480p from which parts are drawn, and states written
READABLE_PX = 120
FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE: Colour = (255, 255, 255)
UNTRACKED: Colour = (200, 200, 200)
SINGLE_COLOURS: tuple[Colour, ...] = ((255, 235, 59), (255, 167, 38), (0, 200, 170), (121, 134, 203), (240, 98, 146), (188, 170, 164))
# Left and right of a pair share a hue; the first, the lighter one.
PAIR_COLOURS: tuple[tuple[Colour, Colour], ...] = (
    ((255, 158, 148), (229, 57, 53)), ((240, 160, 255), (186, 70, 210)),
    ((129, 212, 250), (30, 136, 229)), ((174, 230, 176), (67, 170, 71)),
)  # fmt: skip
TRACK_COLOURS: tuple[Colour, ...] = (
    (0, 229, 255), (118, 255, 3), (255, 64, 129), (255, 196, 0), (124, 140, 255), (29, 233, 182), (255, 110, 64), (224, 100, 251),
)  # fmt: skip


def draw_parse(
    frame: Frame,
    parse: FrameParse,
    vocabulary: Vocabulary,
    actions: Sequence[ActionScore],
    track_actions: Mapping[int, Sequence[ActionScore]] | None = None,
) -> Array:
    """(H, W, 3) uint8 RGB copy of the frame with person boxes, tracks, part boxes, states and the actions' banner.

    Beside a track's number stands what the person does, as far as `track_actions` tell it by now.
    Frames whose shorter side is below 120 px get boxes alone: text would cover what they show.
    """
    image, colours = frame.image.copy(), part_colours(vocabulary)
    readable = min(frame.image_hw) >= READABLE_PX
    unit = max(0.8, min(frame.image_hw) / 480)
    order = range(len(parse.persons) - 1, -1, -1)  # best last, on top
    for row in order:
        _draw_parts(image, parse, row, colours, unit)
        _draw_person(image, parse, row, unit, _label(parse, row, track_actions or {}) if readable else "")
    if not readable:
        return image
    taken: list[Rectangle] = []
    for row in reversed(order):
        _draw_states(image, parse, row, vocabulary, colours, unit, taken)
    if current := [action for action in actions if action.start_s <= parse.time_s <= action.end_s]:
        _draw_banner(image, current, unit)
    return image


def part_colours(vocabulary: Vocabulary) -> list[Colour]:
    """A colour for each part: pairs and single parts take turns with theirs, so that the colours of a vocabulary never change."""
    pairs, singles = itertools.cycle(PAIR_COLOURS), itertools.cycle(SINGLE_COLOURS)
    found = {
        p: colour for kind in vocabulary.kinds for p, colour in zip(kind, next(pairs) if len(kind) == 2 else [next(singles)], strict=True)
    }
    return [found[p] for p in range(len(found))]


def _corners(box: Array) -> Rectangle:
    x1, y1, x2, y2 = (round(float(side)) for side in box)
    return x1, y1, x2, y2


def _draw_parts(image: Array, parse: FrameParse, row: int, colours: Sequence[Colour], unit: float) -> None:
    _, top, _, bottom = parse.persons.xyxy[row]
    if bottom - top < DRAWN_PARTS_PX * unit:
        return
    for p in np.flatnonzero(parse.parts.visible[row]).tolist():
        x1, y1, x2, y2 = _corners(parse.parts.xyxy[row, p])
        cv2.rectangle(image, (x1, y1), (x2, y2), colours[p], max(1, round(1.2 * unit)), cv2.LINE_AA)


def _draw_person(image: Array, parse: FrameParse, row: int, unit: float, text: str) -> None:
    track_id = _track_id(parse, row)
    colour = UNTRACKED if track_id < 0 else TRACK_COLOURS[track_id % len(TRACK_COLOURS)]
    x1, y1, x2, y2 = _corners(parse.persons.xyxy[row])
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, max(1, round(2 * unit)), cv2.LINE_AA)
    if not text:
        return
    width, height = _text_size(text, 0.5 * unit)
    pad = round(3 * unit)
    top = y1 - height - 2 * pad if y1 - height - 2 * pad >= 0 else y1
    cv2.rectangle(image, (x1, top), (x1 + width + 2 * pad, top + height + 2 * pad), colour, cv2.FILLED)
    _write(image, text, (x1 + pad, top + pad + height), 0.5 * unit, (0, 0, 0))


def _label(parse: FrameParse, row: int, track_actions: Mapping[int, Sequence[ActionScore]]) -> str:
    """A track's number and its action, the one that began last; the score of a person without a track."""
    track_id = _track_id(parse, row)
    if track_id < 0:
        return f"{parse.persons.scores[row]:.2f}"
    begun = (action for action in reversed(track_actions.get(track_id, ())) if action.start_s <= parse.time_s)
    current = next(begun, None)
    return f"#{track_id}" if current is None else f"#{track_id} {current.label} {current.score:.2f}"


def _track_id(parse: FrameParse, row: int) -> int:
    return -1 if parse.persons.track_ids is None else int(parse.persons.track_ids[row])


def _draw_states(
    image: Array, parse: FrameParse, row: int, vocabulary: Vocabulary, colours: Sequence[Colour], unit: float, taken: list[Rectangle]
) -> None:
    """A column of part and states beside the person, where there is room that no other column has taken."""
    _, top, _, bottom = parse.persons.xyxy[row]
    lines = _state_lines(parse, row, vocabulary)
    if bottom - top < LABELLED_PX * unit or not lines:
        return
    scale, pad = 0.4 * unit, round(4 * unit)
    widths, heights = zip(*(_text_size(text, scale) for _, text in lines), strict=True)
    step, bullet = max(heights) + pad, round(9 * unit)
    width, height = max(widths) + bullet + 3 * pad, step * len(lines) + pad
    place = _free_place(_corners(parse.persons.xyxy[row]), (width, height), (image.shape[1], image.shape[0]), taken)
    if place is None:
        return
    taken.append((place[0], place[1], place[0] + width, place[1] + height))
    _shade(image, taken[-1])
    for i, (p, text) in enumerate(lines):
        baseline = place[1] + step * (i + 1)
        left = place[0] + pad
        cv2.rectangle(image, (left, baseline - bullet), (left + bullet, baseline), colours[p], cv2.FILLED)
        _write(image, text, (left + bullet + pad, baseline), scale, WHITE)


def _state_lines(parse: FrameParse, row: int, vocabulary: Vocabulary) -> list[tuple[int, str]]:
    lines = []
    for p in np.flatnonzero(parse.parts.visible[row]):
        scores = parse.states.scores[row, p]
        shown = [vocabulary.states[s] for s in np.argsort(-scores, kind="stable") if scores[s] >= SHOWN_STATE]
        if shown:
            name = vocabulary.parts[p].replace("left_", "L ").replace("right_", "R ")
            lines.append((int(p), f"{name}: {', '.join(shown)}"))
    return lines


def _free_place(person: Rectangle, size: tuple[int, int], image_wh: tuple[int, int], taken: Sequence[Rectangle]) -> tuple[int, int] | None:
    """Left top corner for a label: right of the person, left of it, or inside along its right edge."""
    x1, y1, x2, _ = person
    (width, height), (image_width, image_height) = size, image_wh
    top = int(np.clip(y1, 0, max(0, image_height - height)))
    for left in (x2 + 2, x1 - width - 2, min(x2, image_width) - width - 2):
        place = (left, top, left + width, top + height)
        inside = left >= 0 and place[2] <= image_width and place[3] <= image_height
        if inside and not any(_overlap(place, other) for other in taken):
            return left, top
    return None


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_banner(image: Array, actions: Sequence[ActionScore], unit: float) -> None:
    """The best of the actions that hold now, along the bottom edge."""
    scale, pad = 0.55 * unit, round(6 * unit)
    text = "   ".join(f"{action.label} {action.score:.2f}" for action in sorted(actions, key=lambda one: -one.score)[:3])
    _, height = _text_size(text, scale)
    bottom = image.shape[0]
    _shade(image, (0, bottom - height - 2 * pad, image.shape[1], bottom))
    _write(image, text, (pad, bottom - pad), scale, WHITE)


def _shade(image: Array, rectangle: Rectangle) -> None:
    x1, y1, x2, y2 = (max(0, side) for side in rectangle)
    image[y1:y2, x1:x2] = (image[y1:y2, x1:x2] * 0.35).astype(np.uint8)


def _text_size(text: str, scale: float) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(text, FONT, scale, _thickness(scale))
    return int(width), int(height)


def _thickness(scale: float) -> int:
    return max(1, round(scale * 1.6))


def _write(image: Array, text: str, origin: tuple[int, int], scale: float, colour: Colour) -> None:
    cv2.putText(image, text, origin, FONT, scale, colour, _thickness(scale), cv2.LINE_AA)
