"""From a parse to the benchmark's result files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from parsing.datasets.kinetics_tps.annotations import MAX_PERSONS
from parsing.datasets.kinetics_tps.columns import VerbTable, columns_of
from parsing.datasets.kinetics_tps.results import SAMPLE_EVERY
from parsing.errors import InputError
from parsing.files import atomic
from parsing.states.voting import vote
from parsing.types import Array, FrameParse
from parsing.vocabulary import Vocabulary

Form = Literal["2021", "2022"]
# Where a part mostly lies in the box of its person, as shares of its sides: for parts that were not found, as a box
# that is wrong costs nothing. Medians over persons that were annotated by pose.
USUAL = {
    "head": (0.36, 0.02, 0.66, 0.17), "hip": (0.26, 0.41, 0.74, 0.55),
    "left_arm": (0.48, 0.16, 0.86, 0.46), "right_arm": (0.14, 0.16, 0.52, 0.46),
    "left_hand": (0.59, 0.40, 0.75, 0.48), "right_hand": (0.25, 0.40, 0.41, 0.48),
    "left_leg": (0.41, 0.44, 0.73, 0.93), "right_leg": (0.27, 0.44, 0.59, 0.93),
    "left_foot": (0.46, 0.85, 0.68, 0.98), "right_foot": (0.32, 0.85, 0.54, 0.98),
}  # fmt: skip


class SubmissionWriter:
    """A zip of `pred_part_result.json` and `pred_vid_result.json`, written video by video in memory that does not grow.

    Every video is read back by the evaluation's own reader before it is written. The file appears whole when the block
    ends, and not at all otherwise.
    """

    def __init__(self, path: Path, form: Form, vote_share: float = 0.0) -> None:
        self.path, self.form, self.vote_share = path, form, vote_share
        self.actions: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> SubmissionWriter:
        temporary = self._stack.enter_context(atomic(self.path))
        self._zip = self._stack.enter_context(zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED))
        self._file: IO[bytes] = self._stack.enter_context(self._zip.open("pred_part_result.json", "w", force_zip64=True))
        return self

    def __exit__(self, kind: type[BaseException] | None, *failure: Any) -> None:
        if kind is None:
            self._file.write(b"}" if self.actions else b"{}")
            self._file.close()
            self._zip.writestr("pred_vid_result.json", json.dumps(self.actions))
        self._stack.__exit__(kind, *failure)

    def add(self, video: str, action: str, frames: Iterable[FrameParse], vocabulary: Vocabulary) -> None:
        """Append a video.

        Args:
            video: its name, without a suffix.
            frames: its parse; frames 1, 6, 11, … are taken.

        Raises:
            InputError: a video comes twice, or has no frame.
        """
        if video in self.actions:
            raise InputError(f"{video}: two parses of this video")
        frames = [frame for frame in frames if frame.index % SAMPLE_EVERY == 0]
        if not frames:
            raise InputError(f"{video}: no frame in its parse")
        objects = video_json(frames, vocabulary, self.form, self.vote_share)
        columns_of(list(objects.values()), [f"{self.path}: {video}: {name}" for name in objects], VerbTable(), limits=True)
        self._file.write((b",\n" if self.actions else b"{") + json.dumps({video: objects})[1:-1].encode())
        self.actions[video] = action


def check_parts(vocabulary: Vocabulary, where: str) -> None:
    """Raises InputError where the parts are not those of the benchmark."""
    if set(vocabulary.parts) != set(USUAL):
        raise InputError(f"{where}: the parts {', '.join(vocabulary.parts)}; Kinetics-TPS expects {', '.join(USUAL)}")


def video_json(frames: list[FrameParse], vocabulary: Vocabulary, form: Form, vote_share: float = 0.0) -> dict[str, Any]:
    """Frame names to frame objects; the ten best persons of each frame, each with all ten parts and one state a part."""
    scores = np.concatenate([frame.states.scores for frame in frames])
    visible = np.concatenate([frame.parts.visible for frame in frames])
    # A part that was not seen is given what its kind mostly does in this video.
    usual = vote(scores, visible, vocabulary.kinds, 1.0)
    chosen = np.where(visible[..., None], vote(scores, visible, vocabulary.kinds, vote_share), usual)
    chosen = np.where(vocabulary.allowed, chosen, -1.0)
    ends = np.cumsum([len(frame.persons) for frame in frames])
    rows = np.split(chosen.argmax(-1) if chosen.size else np.zeros((0, len(vocabulary.parts)), int), ends[:-1])
    columns = zip(frames, rows, strict=True)
    return {f"img_{frame.index + 1:05d}.json": _frame_json(frame, states, vocabulary, form) for frame, states in columns}


def _frame_json(frame: FrameParse, states: Array, vocabulary: Vocabulary, form: Form) -> dict[str, Any]:
    best = np.argsort(-frame.persons.scores, kind="stable")[:MAX_PERSONS]
    humans = []
    for number, i in enumerate(best, 1):
        box = frame.persons.xyxy[i]
        parts = {}
        for p, name in enumerate(vocabulary.parts):
            place = frame.parts.xyxy[i, p] if frame.parts.visible[i, p] else _usual_box(box, name)
            found, verb = [round(float(side), 1) for side in place], vocabulary.states[states[i, p]]
            one = {"box": [found], "verb": [verb]} if form == "2021" else {"box": found, "verb": verb}
            parts[name] = {"number": p + 1, **one, "name": name}
        humans.append({"number": number, "box": [round(float(side), 1) for side in box], "parts": parts})
    return {"humans": humans}


def _usual_box(person: Array, name: str) -> Array:
    sides = np.tile(person[2:] - person[:2], 2)
    return np.asarray(np.tile(person[:2], 2) + sides * np.array(USUAL[name]))
