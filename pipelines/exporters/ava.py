"""AVA's csv of who does what at key moments."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from parsing.configs import config
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.folders import written_folder
from parsing.types import FrameParse
from pipelines.exporters import FolderExporter
from pipelines.exporters.box_tracks import actions_at
from pipelines.exporters.names import file_names
from pipelines.options import Option


@config
class AvaExporter(FolderExporter):
    """AVA: `ava.csv` (video, second, box in shares of the picture, action, person) and `actions.pbtxt`, the numbers of the actions.

    A row is a person with one of its actions at a key moment, one a second as in AVA; a person of whom no action is known
    has a row without one. Actions are those of tracks (`track_actions` of the pipeline).
    """

    step_s: Annotated[float, Field(gt=0), Option("between key moments", "SECONDS")] = 1.0

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        with written_folder(out, "export ava") as folder, (folder / "ava.csv").open("w", encoding="utf-8", newline="") as file:
            rows, actions = csv.writer(file), tuple[str, ...]()
            for parse, name in file_names(parses, "", stem=True):
                actions = actions or parse.vocabulary.actions
                if parse.vocabulary.actions != actions:
                    raise InputError(f"{parse.facts.name}: other actions than in the parses before it; export it by itself")
                rows.writerows(self._rows(parse, name))
            entries = [f'item {{\n  name: "{_quoted(action)}"\n  id: {i}\n}}\n' for i, action in enumerate(actions, 1)]
            (folder / "actions.pbtxt").write_text("".join(entries), encoding="utf-8")

    def _rows(self, parse: AnyParse, name: str) -> Iterator[list[object]]:
        numbers = {action: i for i, action in enumerate(parse.vocabulary.actions, 1)}
        width, height = parse.facts.width, parse.facts.height
        for moment_s, frame in _moments(parse.frames, self.step_s):
            second = f"{round(moment_s):04d}" if self.step_s % 1 == 0 else f"{moment_s:.3f}"
            ids = frame.persons.track_ids
            for row, box in enumerate(frame.persons.xyxy.tolist()):
                track = -1 if ids is None else int(ids[row])
                held: list[object] = [
                    numbers[label] for label in actions_at(parse.track_actions.get(track, ()), frame.time_s) if label in numbers
                ]
                shares = [f"{side / of:.4f}" for side, of in zip(box, (width, height, width, height), strict=True)]
                for action in held or [""]:
                    yield [name, second, *shares, action, "" if track < 0 else track]


def _moments(frames: Iterable[FrameParse], step_s: float) -> Iterator[tuple[float, FrameParse]]:
    """Every key moment with the frame that is nearest to it, where there is one within half a step."""
    before: FrameParse | None = None
    number = 0
    for frame in frames:
        while before is not None and number * step_s <= frame.time_s:
            at_s = number * step_s
            near = before if at_s - before.time_s <= frame.time_s - at_s else frame
            if abs(near.time_s - at_s) <= step_s / 2:
                yield at_s, near
            number += 1
        before = frame
    if before is not None and number * step_s - before.time_s <= step_s / 2:
        yield number * step_s, before


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
