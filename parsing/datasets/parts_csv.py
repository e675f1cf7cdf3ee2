"""CSV of parts: a line a part, with the box of its person."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from parsing.datasets.csv_tables import read_rows
from parsing.datasets.problems import Problems, named_file
from parsing.datasets.records import PERSON, ImageRecord
from parsing.datasets.regions import Picture, Region, as_records

COLUMNS = ("image", "person_box", "part", "box", "states")
UNKNOWN = "?"


def read_parts_csv(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """CSV with the columns image, person_box, part, box, states and, optionally, action.

    Boxes are `x1 y1 x2 y2` in pixels of the picture as it is shown, states names with `;` or `|` between them. Without
    `part` a line is a person alone, without `person_box` a picture alone. Of a part's states, those that other lines name
    and its own does not, do not hold; nothing is known of a part whose states are `?`.

    Raises:
        InputError: the file cannot be read, lacks a column, or a line does not fit.
    """
    regions: dict[str, list[Region]] = defaultdict(list)
    paths, actions, lost = {}, {}, set()
    for number, row in read_rows(annotations, COLUMNS):
        try:
            paths[row["image"]] = named_file(images, row["image"])
            regions[row["image"]] += _regions(f"line {number}", row, {region.key for region in regions[row["image"]]})
            actions[row["image"]] = row.get("action") or None
        except ValueError as error:
            lost.add(row["image"])
            problems.add(annotations, f"line {number}", str(error))
    pictures = [Picture(path, name, regions[name], actions.get(name), name in lost) for name, path in paths.items()]
    return as_records(pictures, annotations, "parts_csv", problems)


def _regions(name: str, row: dict[str, str], known: set[str | None]) -> list[Region]:
    """The part of a line, and its person where the box is not among the `known`."""
    person, part = (_numbers(row[column]) for column in ("person_box", "box"))
    if bool(row["part"]) != bool(part) or (part and not person) or row["part"].lower() == PERSON:
        raise ValueError("expected a person_box alone, or with a part and its box")
    key = str(person)
    held = None if row["states"] == UNKNOWN else [state.strip() for state in re.split("[;|]", row["states"]) if state.strip()]
    found = [Region(name, PERSON, person, key=key)] if person and key not in known else []
    return [*found, Region(name, row["part"], part, held=held, owner=key)] if part else found


def _numbers(text: str) -> list[float]:
    numbers = [float(number) for number in re.split(r"[\s,;]+", text) if number]
    if len(numbers) not in (0, 4):
        raise ValueError(f"box {text!r:.60}, expected x1 y1 x2 y2")
    return numbers
