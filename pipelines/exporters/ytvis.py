"""YouTube-VIS: a track an annotation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

from parsing.configs import config
from parsing.datasets.records import PERSON
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.files import atomic
from parsing.intervals import HOLDS_FROM
from pipelines.exporters.box_tracks import BoxTrack, box_tracks
from pipelines.exporters.coco import Row, categories_of
from pipelines.exporters.names import file_names
from pipelines.exporters.pictures import picture_name
from pipelines.options import Option


@config
class YtvisExporter:
    """YouTube-VIS JSON: a track of a person or of a part an annotation, with a box, or null, and the states for each frame.

    Parts carry the `person_id` of their person. There are no masks, so `segmentations` are null.
    """

    every: ClassVar[int | None] = None
    reads_parses: ClassVar[bool] = True
    folder: ClassVar[bool] = False

    threshold: Annotated[float, Option("score from which a state holds", "SCORE")] = HOLDS_FROM

    def inputs(self) -> list[Path]:
        return []

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        videos: list[Row] = []
        categories: list[Row] = [{"id": 1, "name": PERSON}]
        parts: tuple[str, ...] | None = None
        with atomic(out) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write('{"annotations": [')
            rows = 0
            for video_id, (parse, name) in enumerate(file_names(parses, "", stem=True), 1):
                parts = parts or parse.vocabulary.parts
                if parse.vocabulary.parts != parts:
                    raise InputError(f"{parse.facts.name}: other parts than in the parses before it; export it by itself")
                categories = categories_of(parse.vocabulary)
                frames = [(frame.index, frame.time_s) for frame in parse.frames]
                videos.append(_video(video_id, parse, name, frames))
                person_ids: dict[int, int] = {}
                for track in box_tracks(parse, self.threshold):
                    rows += 1
                    person = {"person_id": person_ids[track.group]} if track.label != PERSON else {}
                    person_ids.setdefault(track.group, rows)
                    category = 1 if track.label == PERSON else 2 + parse.vocabulary.parts.index(track.label)
                    row = {"id": rows, "video_id": video_id, "category_id": category, "iscrowd": 0, **_columns(track, len(frames))}
                    file.write((",\n" if rows > 1 else "\n") + json.dumps(row | person))
            rest = {"videos": videos, "categories": categories, "info": {"description": "parses of partwise"}}
            file.write("\n],\n" + json.dumps(rest)[1:] + "\n")


def _video(video_id: int, parse: AnyParse, name: str, frames: list[tuple[int, float]]) -> Row:
    facts = parse.facts
    size = {"width": facts.width, "height": facts.height, "length": len(frames), "fps": facts.fps}
    columns = {"file_names": [f"{name}/{picture_name(index)}" for index, _ in frames], "times_s": [round(at_s, 6) for _, at_s in frames]}
    return {"id": video_id, "name": facts.name, **size, **columns}


def _columns(track: BoxTrack, length: int) -> dict[str, Any]:
    """A value for each frame of the video, null where the track is away."""
    boxes: list[list[float] | None] = [None] * length
    holds: list[list[str] | None] = [None] * length
    for step, (x1, y1, x2, y2), held in zip(track.steps, (box.tolist() for box in track.boxes), track.holds, strict=True):
        boxes[step], holds[step] = [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)], list(held)
    areas = [None if box is None else round(box[2] * box[3], 2) for box in boxes]
    names = {"actions" if track.label == PERSON else "states": holds}
    return {"track_id": track.track_id, "bboxes": boxes, "areas": areas, "segmentations": [None] * length, **names}
