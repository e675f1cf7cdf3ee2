"""Where a pipeline loses its Kinetics-TPS score: each stage replaced by ground truth, alone and together.

python -m pipelines.diagnose --gt FOLDER --videos FOLDER --out report.json

The third place of 2021 showed this table for its baseline: states and the action are what limits the score.
"""

from __future__ import annotations

import argparse
import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parsing.console import say
from parsing.datasets.kinetics_tps.annotations import frame_number
from parsing.datasets.kinetics_tps.index import video_path
from parsing.datasets.kinetics_tps.results import Results, read_truth
from parsing.errors import InputError
from parsing.json_files import write_json
from parsing.media.sources import Source, open_source
from parsing.progress import track
from parsing.recorded.stages import RecordedParts, RecordedPersons, RecordedStates, Recordings
from parsing.stages import PartDetector, PartStateRecognizer, PersonDetector
from parsing.types import Array, Frame, FrameParse, ModelFacts
from pipelines.benchmarks.kinetics_tps.score import evaluate
from pipelines.benchmarks.kinetics_tps.submission import check_parts, video_json
from pipelines.command import CommandParser, add_device_option, add_output_options, add_set_option, claim, run_command, torch_device
from pipelines.config_files import config_path
from pipelines.parse.actions import VideoActions
from pipelines.parse.config import read_pipeline
from pipelines.parse.parser import VideoParser

Memory = dict[tuple[bool, ...], dict[int, Any]]  # what each stage gave for each frame, by the truth that it and its inputs had
PARTS_OF_ROW = ("persons", "part boxes", "states", "action")
ROWS: tuple[tuple[str, ...], ...] = (
    (),
    ("persons",),
    ("part boxes",),
    ("states",),
    ("action",),
    ("persons", "part boxes"),
    ("part boxes", "states"),
    ("states", "action"),
    ("part boxes", "states", "action"),
    ("persons", "part boxes", "states"),
    PARTS_OF_ROW,
)


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("diagnose", description="The score with stages replaced by ground truth.")
    parser.add_argument(
        "--gt", type=Path, required=True, metavar="FOLDER", help="gt_part_result.json and gt_vid_result.json, or annotations"
    )
    parser.add_argument("--videos", type=Path, required=True, metavar="FOLDER", help="videos, under their classes or not")
    parser.add_argument("--config", default="default", metavar="NAME|FILE", help="pipeline config (default: default)")
    add_set_option(parser, "every=1")
    parser.add_argument("--limit", type=int, metavar="N", help="only N videos, spread evenly (default: all)")
    parser.add_argument("--vote", type=float, default=0.0, metavar="SHARE", help="of the video's mean in every state (default: 0)")
    add_device_option(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="table as JSON")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    truth = limited(read_truth(arguments.gt), arguments.limit)
    videos = {video: find_video(arguments.videos, action, video) for video, action in truth.actions.items()}
    settings = read_pipeline(arguments.config, arguments.set)
    claim(arguments, [arguments.out], settings, inputs=[config_path(arguments.config), *videos.values()])
    parser = VideoParser(settings, torch_device(arguments.device))
    diagnosis = Diagnosis(parser, arguments.gt, truth, arguments.vote)
    for video, path in track(videos.items(), len(videos), "diagnose", arguments.quiet, unit="videos"):
        diagnosis.add(video, path)
    table = diagnosis.table()
    write_json(arguments.out, table)
    if not arguments.quiet:
        say(*lines(table))
    return 0


def limited(truth: Results, limit: int | None) -> Results:
    """Ground truth of `limit` videos, spread evenly over their names."""
    names = sorted(truth.actions)
    kept = names if limit is None else [names[i] for i in np.unique(np.linspace(0, len(names) - 1, max(1, limit)).round().astype(int))]
    parts, actions = ({name: side[name] for name in kept} for side in (truth.parts, truth.actions))
    return Results(parts, actions, truth.parts_path, truth.actions_path)  # type: ignore[arg-type]


def find_video(folder: Path, action: str, video: str) -> Path:
    path = video_path(folder, action, video)
    if path is None:
        raise InputError(f"{folder}: no video {video!r}, under {action!r} or not")
    return path


class Diagnosis:
    """Predictions of every row of the table, gathered video by video.

    Args:
        recordings: folder of the ground truth, which the `oracle` stages look up.
    """

    def __init__(self, parser: VideoParser, recordings: Path, truth: Results, vote_share: float) -> None:
        check_parts(parser.vocabulary, "--config")
        self.parser, self.truth, self.vote_share = parser, truth, vote_share
        known = Recordings(recordings)
        self.true_persons: PersonDetector = RecordedPersons(known, ModelFacts("person_detector", "oracle", None, "{}"))
        self.true_parts: PartDetector = RecordedParts(known, ModelFacts("part_detector", "oracle", None, "{}"))
        self.true_states: PartStateRecognizer = RecordedStates(known, ModelFacts("part_states", "oracle", None, "{}"), ())
        self.parts: dict[tuple[str, ...], dict[str, Any]] = {row: {} for row in ROWS}
        self.actions: dict[tuple[str, ...], dict[str, str]] = {row: {} for row in ROWS}

    def add(self, video: str, path: Path) -> None:
        """Run every row on the annotated frames of a video; what rows share is computed once."""
        names = {frame_number(name, video) - 1: name for name in self.truth.parts[video]}
        source = open_source(path)
        frames = [frame for index, frame in sorted(source.at(names).items()) if frame.index == index]
        label, names_known = self.truth.actions[video], self.parser.vocabulary.actions
        predicted = self._predicted_action(source)
        true = (np.array(names_known) == label).astype(np.float32) if label in names_known else None
        memory: Memory = defaultdict(dict)
        for row in ROWS:
            actions = true if "action" in row else predicted
            parses = self._parses(row, frames, actions, memory)
            vocabulary = (self.true_states if "states" in row else self.parser.part_states).vocabulary
            self.parts[row][video] = video_json(parses, vocabulary, "2022", self.vote_share) if parses else {}
            self.actions[row][video] = label if "action" in row else names_known[int(predicted.argmax())] if predicted is not None else ""

    def table(self) -> list[dict[str, Any]]:
        """Score, action accuracy and mean PSC of each row."""
        result = []
        for row in ROWS:
            found = Results(self.parts[row], self.actions[row], Path("prediction"), Path("prediction"))
            report = evaluate(self.truth, found)
            result.append(
                {"ground truth of": list(row)} | {key: report[key] for key in ("score", "action_accuracy", "mean_psc", "num_videos")}
            )
        return result

    def _predicted_action(self, source: Source) -> Array | None:
        """(A,) scores of the whole video, the mean over its windows."""
        actions = VideoActions(self.parser.by_size.large)
        actions.read(source)
        return np.mean([window.probabilities for window in actions.windows], 0) if actions.windows else None

    def _parses(self, row: tuple[str, ...], frames: Sequence[Frame], actions: Array | None, memory: Memory) -> list[FrameParse]:
        """The parser's own way through a video, with the stages of the row replaced by the truth."""
        persons, boxes, states, action = (name in row for name in PARTS_OF_ROW)
        parser: Any = copy.copy(self.parser)
        parser.person_detector = Remembered(self.true_persons if persons else parser.person_detector, memory[persons,])
        parser.part_detector = Remembered(self.true_parts if boxes else parser.part_detector, memory[persons, boxes])
        parser.part_states = Remembered(self.true_states if states else parser.part_states, memory[persons, boxes, states, action])
        size = parser.settings.batch
        batches = [list(frames[start : start + size]) for start in range(0, len(frames), size)]
        parses = [parse for batch in batches for parse in parser.parse_key_frames(batch, actions)]
        items = parser.tracker(zip(frames, parses, strict=True))
        items = items if states or parser.state_filter is None else parser.state_filter(items)
        return [parse for _, parse in items if parse is not None]


class Remembered:
    """A stage of which what it gave for a frame is kept, so that rows in which its inputs are the same compute it once."""

    def __init__(self, stage: Callable[..., Sequence[Any]], found: dict[int, Any]) -> None:
        self.stage, self.found = stage, found

    def __call__(self, frames: Sequence[Frame], *inputs: Any) -> list[Any]:
        if any(frame.index not in self.found for frame in frames):
            self.found.update(zip((frame.index for frame in frames), self.stage(frames, *inputs), strict=True))
        return [self.found[frame.index] for frame in frames]


def lines(table: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The table in Markdown."""
    yield f"| ground truth of ({table[0]['num_videos']} videos) | score | action accuracy | mean PSC |"
    yield "|---|---|---|---|"
    for row in table:
        name = " + ".join(row["ground truth of"]) or "nothing"
        yield f"| {name} | {row['score']:.4f} | {row['action_accuracy']:.3f} | {row['mean_psc']:.3f} |"


if __name__ == "__main__":
    run_command(build_parser(), main)
