"""What is in a data set: counts, sizes, problems, and a sheet of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from detectors.drawing import FOUND_COLOUR, IGNORED_COLOUR, TRUTH_COLOUR, contact_sheet, draw_boxes, fit_tile
from parsing.datasets import Problems
from parsing.datasets.records import ImageRecord, part_names, true_parts
from parsing.media.images import read_image
from parsing.types import Array

SHEET_TILES = 24
SIZES = (("small, below 32² px", 0, 32**2), ("medium", 32**2, 96**2), ("large, from 96² px", 96**2, np.inf))


def summary_lines(records: Sequence[ImageRecord], problems: Problems) -> list[str]:
    """Counts per class, sizes of boxes, and problems, as lines of text."""
    objects = [item for record in records for item in record.objects]
    classes = Counter(item.label for item in objects)
    areas = np.array([(i.xyxy[2] - i.xyxy[0]) * (i.xyxy[3] - i.xyxy[1]) for i in objects], float)
    names = part_names(records)
    known = np.array([true_parts(item, names)[1] for item in objects], bool).reshape(-1, len(names)).sum(0)
    states = Counter(f"{part.name}/{state}" for part in (p for item in objects for p in item.parts) for state in part.states)
    held = Counter(f"{p.name}/{state}" for item in objects for p in item.parts for state, holds in p.states.items() if holds)
    lines = [f"images    {len(records)}, without any object {sum(not record.objects for record in records)}"]
    lines += [f"source    {name}: {count} images" for name, count in sorted(Counter(record.source for record in records).items())]
    lines += [f"class     {name}: {count}" for name, count in classes.most_common()]
    lines += [f"crowd     {sum(item.crowd for item in objects)}", f"keypoints {sum(item.best_keypoints is not None for item in objects)}"]
    lines += [f"part      {name}: {count}" for name, count in zip(names, known.tolist(), strict=True) if count]
    lines += [f"state     {name}: {held[name]} of {count}" for name, count in sorted(states.items())]
    lines += [f"size      {name}: {int(((areas >= low) & (areas < high)).sum())}" for name, low, high in SIZES]
    if len(areas):
        low, middle, high = np.sqrt(np.percentile(areas, [5, 50, 95])).round().astype(int).tolist()
        lines.append(f"side      5 % below {low} px, half below {middle} px, 5 % above {high} px (root of the area)")
    for name, lines_of in (("notes", problems.notes), ("problems", problems.found)):
        lines += [f"{name:<9} {len(lines_of)}", *(f"  {line}" for line in lines_of)]
    return lines


def sheet(records: Sequence[ImageRecord]) -> Array:
    """Images spread over the set with their boxes: objects green, parts orange, ignored grey."""
    shown = [record for record in records if record.objects] or list(records)
    chosen = [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, SHEET_TILES).round().astype(int))] if shown else []
    names = part_names(records)
    return contact_sheet([_tile(record, names) for record in chosen], columns=6)


def _tile(record: ImageRecord, names: tuple[str, ...]) -> Array:
    tile, crop = fit_tile(read_image(record.path))
    for item in record.objects:
        boxes, known, ignored = true_parts(item, names)
        tile = draw_boxes(tile, crop.to_crop(boxes[known]), FOUND_COLOUR)
        tile = draw_boxes(tile, crop.to_crop(boxes[ignored]), IGNORED_COLOUR)
        tile = draw_boxes(tile, crop.to_crop(item.xyxy[None]), IGNORED_COLOUR if item.crowd else TRUTH_COLOUR, [item.label])
    return tile
