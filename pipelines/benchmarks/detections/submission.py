"""Parses as a COCO results list, for the images that annotations name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from parsing.datasets.records import ImageRecord
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.files import atomic
from parsing.measures.boxes import coco_results
from pipelines.benchmarks.detections.score import boxes_of, check_parts, places_of


def write_results(parses: Iterable[AnyParse], records: Sequence[ImageRecord], out: Path) -> None:
    """Write persons (category 1) and parts (from 2 on, in the order of the parses) of every annotated image that is a frame of a
    parse; frames are matched as `compare` matches them.

    Raises:
        InputError: a parse has other parts than the first, or none has a frame that is annotated.
    """
    left = {place: record.id for record in reversed(records) for place in places_of(record)}
    done, parts = set(), tuple[str, ...]()
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        lines = 0
        for parse in parses:
            parts = check_parts(parse, parts)
            for frame in parse.frames:
                name = parse.facts.name
                image = left.get((name, frame.index), left.get((Path(name).stem, frame.index)))
                if image is None or image in done:
                    continue
                done.add(image)
                for row in coco_results([boxes_of(frame)], [image]):
                    file.write((",\n" if lines else "[\n") + json.dumps(row))
                    lines += 1
        file.write("\n]\n" if lines else "[]\n")
        if not done:
            raise InputError(f"{out}: no frame of the parses is one of the {len(records)} annotated images")
