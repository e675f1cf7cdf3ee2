"""COCO: a data set of the frames, or results for annotated images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, ClassVar

from parsing.configs import Count, config
from parsing.datasets import Format, Problems, default_images, read_records
from parsing.datasets.records import PERSON
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.folders import written_folder
from parsing.intervals import HOLDS_FROM
from parsing.types import FrameParse
from parsing.vocabulary import Vocabulary
from pipelines.exporters.names import file_names
from pipelines.exporters.pictures import picture_name, save_pictures
from pipelines.options import Option

Row = dict[str, Any]


@config
class CocoExporter:
    """COCO. Without --truth a data set, `annotations.json`: videos, frames as images, persons and parts as categories, tracks,
    states and scores. With --truth the results (1 person, parts from 2 on) for the images that it annotates."""

    every: ClassVar[int | None] = None
    reads_parses: ClassVar[bool] = True

    truth: Annotated[Path | None, Option("annotations that name the images of results", "FILE")] = None
    format: Annotated[Format, Option("of these annotations")] = "coco"
    images: Annotated[Path | None, Option("of these annotations; without, `images` beside them", "DIR")] = None
    videos: Annotated[Path | None, Option("the videos, whose frames become `images` of the data set", "DIR")] = None
    step: Annotated[Count, Option("every n-th frame of a data set", "N")] = 1
    threshold: Annotated[float, Option("score from which a state holds, in a data set", "SCORE")] = HOLDS_FROM

    @property
    def folder(self) -> bool:
        return self.truth is None

    def inputs(self) -> list[Path]:
        return []

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        if self.truth is not None:
            from pipelines.benchmarks.detections.submission import write_results

            images = self.images or default_images(self.truth)
            write_results(parses, read_records(self.format, self.truth, images, Problems("fail")), out)
            return
        with written_folder(out, "export coco") as folder, (folder / "annotations.json").open("w", encoding="utf-8") as file:
            file.write('{"images": [')
            with TemporaryFile("w+", encoding="utf-8") as annotations:  # they stand behind all images
                videos, categories = self._write(parses, file, annotations, folder / "images")
                annotations.seek(0)
                file.write('\n],\n"annotations": [')
                shutil.copyfileobj(annotations, file)
            rest = {"videos": videos, "categories": categories, "info": {"description": "parses of partwise"}}
            file.write("\n],\n" + json.dumps(rest)[1:] + "\n")

    def _write(self, parses: Iterable[AnyParse], images: IO[str], annotations: IO[str], pictures: Path) -> tuple[list[Row], list[Row]]:
        """The videos and the categories, once all images and annotations are written."""
        videos: list[Row] = []
        parts: tuple[str, ...] | None = None
        categories: list[Row] = [{"id": 1, "name": PERSON}]
        num_images = num_rows = 0
        for video_id, (parse, name) in enumerate(file_names(parses, "", stem=True), 1):
            parts = parts or parse.vocabulary.parts
            if parse.vocabulary.parts != parts:
                raise InputError(f"{parse.facts.name}: other parts than in the parses before it; export it by itself")
            categories = categories_of(parse.vocabulary)
            facts, taken = parse.facts, []
            videos.append({"id": video_id, "name": facts.name, "width": facts.width, "height": facts.height, "fps": facts.fps})
            for frame in self._frames(parse):
                num_images += 1
                taken.append(frame.index)
                image = {"id": num_images, "file_name": f"{name}/{picture_name(frame.index)}", "width": facts.width, "height": facts.height}
                place = {"video_id": video_id, "frame_id": frame.index, "time_s": round(frame.time_s, 6)}
                images.write((",\n" if num_images > 1 else "\n") + json.dumps(image | place))
                for row in rows_of(frame, parse.vocabulary, num_images, num_rows + 1, self.threshold):
                    num_rows += 1
                    annotations.write((",\n" if num_rows > 1 else "\n") + json.dumps(row))
            if self.videos is not None:
                save_pictures(parse, taken, self.videos, pictures / name)
        return videos, categories

    def _frames(self, parse: AnyParse) -> Iterator[FrameParse]:
        return (frame for i, frame in enumerate(parse.frames) if i % self.step == 0)


def categories_of(vocabulary: Vocabulary) -> list[Row]:
    """Person (1), and each part (from 2 on) with the states that it can take."""
    parts = zip(vocabulary.parts, vocabulary.part_states, strict=True)
    rows: list[Row] = [{"id": 1, "name": PERSON}]
    for i, (part, states) in enumerate(parts, 2):
        rows.append({"id": i, "name": part, "supercategory": PERSON} | ({"states": list(states)} if states else {}))
    return rows


def rows_of(frame: FrameParse, vocabulary: Vocabulary, image_id: int, first_id: int, threshold: float) -> Iterator[Row]:
    """The annotations of a frame: each person, then its visible parts, which name the person and the states that hold."""
    next_id = first_id
    for row, (box, score) in enumerate(zip(frame.persons.xyxy, frame.persons.scores.tolist(), strict=True)):
        track = -1 if frame.persons.track_ids is None else int(frame.persons.track_ids[row])
        of_track = {"track_id": track} if track >= 0 else {}
        person_id = next_id
        yield _annotation(person_id, image_id, 1, box.tolist(), score) | of_track
        next_id += 1
        for p, states in enumerate(vocabulary.part_states):
            if not frame.parts.visible[row, p]:
                continue
            scores = {state: round(float(frame.states.scores[row, p, vocabulary.states.index(state)]), 4) for state in states}
            held = {"states": [state for state in states if scores[state] >= threshold], "state_scores": scores} if states else {}
            part = _annotation(next_id, image_id, p + 2, frame.parts.xyxy[row, p].tolist(), float(frame.parts.scores[row, p]))
            yield part | {"person_id": person_id} | of_track | held
            next_id += 1


def _annotation(row_id: int, image_id: int, category_id: int, xyxy: list[float], score: float) -> Row:
    x1, y1, x2, y2 = (round(side, 2) for side in xyxy)
    width, height = round(x2 - x1, 2), round(y2 - y1, 2)
    box = {"bbox": [x1, y1, width, height], "area": round(width * height, 2), "iscrowd": 0, "segmentation": [], "score": round(score, 4)}
    return {"id": row_id, "image_id": image_id, "category_id": category_id, **box}
