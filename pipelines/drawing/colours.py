"""Colours of parts, tracks and states, the same in the annotated video, the report and its pictures."""

from __future__ import annotations

import colorsys
import itertools

from parsing.vocabulary import Vocabulary

Colour = tuple[int, int, int]  # RGB
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
# Light enough for black text on any of them.
STATE_COLOURS: tuple[Colour, ...] = (
    (110, 168, 254), (122, 209, 122), (255, 180, 84), (195, 155, 255), (159, 180, 199), (95, 212, 208), (255, 139, 139),
    (242, 214, 75), (176, 214, 132), (255, 158, 216), (211, 162, 126), (224, 139, 255), (143, 227, 176), (255, 201, 163),
)  # fmt: skip
_GOLDEN = 0.61803398875  # turns of the colour circle that keep neighbours apart, however many there are


def part_colours(vocabulary: Vocabulary) -> list[Colour]:
    """A colour for each part: pairs and single parts take turns with theirs, so that the colours of a vocabulary never change."""
    pairs, singles = itertools.cycle(PAIR_COLOURS), itertools.cycle(SINGLE_COLOURS)
    found = {
        p: colour for kind in vocabulary.kinds for p, colour in zip(kind, next(pairs) if len(kind) == 2 else [next(singles)], strict=True)
    }
    return [found[p] for p in range(len(found))]


def track_colour(track_id: int) -> Colour:
    """The colour of a track; grey for persons without one."""
    return UNTRACKED if track_id < 0 else TRACK_COLOURS[track_id % len(TRACK_COLOURS)]


def state_colours(num_states: int) -> list[Colour]:
    """A colour for each state."""
    return [STATE_COLOURS[i] if i < len(STATE_COLOURS) else _turned(i) for i in range(num_states)]


def hexadecimal(colour: Colour) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _turned(index: int) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(index * _GOLDEN % 1, 0.75, 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)
