"""Pick the frames of parses that are worth a person's time, as a task for an annotation tool.

python -m pipelines.select parses/ --videos clips/ --most 200 --format cvat --out task/

The folder holds the pictures (`images`), what the parses say of them to be corrected (`annotations.xml` and `labels.json` of
CVAT, `tasks.json` and `labels.xml` of Label Studio), and `chosen.csv`: which frames, and why.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from parsing.console import say
from parsing.datasets.records import PERSON
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.folders import written_folder
from parsing.progress import track
from parsing.streamed import ParseFile
from pipelines.command import CommandParser, add_output_options, claim, complain_of, run_command
from pipelines.exporters.box_tracks import box_tracks
from pipelines.exporters.cvat import Label, cvat_labels, joined
from pipelines.exporters.frame_tasks import PictureTask, write_cvat_images, write_label_studio_images
from pipelines.exporters.label_studio import add_words, words_of_persons
from pipelines.exporters.names import file_names
from pipelines.exporters.pictures import picture_name, save_pictures
from pipelines.selection import OF_PERSONS, REASONS, Candidate, candidates, choose


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("select", description="Pick the frames of parses that are worth a person's time, as an annotation task.")
    parser.add_argument("sources", nargs="+", type=Path, metavar="PARSE", help="parse.json, or a folder of them")
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="the videos of the parses, in it or in folders below")
    parser.add_argument("--most", type=int, default=200, metavar="N", help="number of frames (default: 200)")
    parser.add_argument("--apart", type=float, default=1.0, metavar="SECONDS", help="least time between two frames of a video (default: 1)")
    parser.add_argument("--persons", action="store_true", help="a task of persons' boxes alone, without their parts and states")
    parser.add_argument("--against", type=Path, metavar="DIR", help="parses of the same videos by other views or weights")
    parser.add_argument("--format", choices=("cvat", "label_studio"), default="cvat", help="of the task (default: cvat)")
    parser.add_argument("--link", default="/data/local-files/?d=", metavar="PREFIX", help="what Label Studio finds the pictures behind")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the task")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    if arguments.most < 1 or not 0 <= arguments.apart < float("inf"):
        raise InputError(f"--most {arguments.most}, --apart {arguments.apart:g}: expected at least 1 frame, and 0 seconds or more")
    files = [file for source in arguments.sources for file in parse_files(source)]
    parses, failed = read(files, arguments.debug)
    others, lost = read(parse_files(arguments.against), arguments.debug) if arguments.against else ([], [])
    claim(arguments, [arguments.out], inputs=files, folders=True)
    named = {name: parse for parse, name in file_names(parses, "", stem=True)}
    found = candidates(track(iter(parses), len(parses), "look", arguments.quiet, unit="parses"), {p.facts.name: p for p in others})
    chosen = choose(found, arguments.most, arguments.apart, OF_PERSONS if arguments.persons else REASONS)
    if not chosen:
        raise InputError(f"{arguments.sources[0]}: no frame of {len(found)} key frames is worth a look; is there nobody in the videos?")
    with written_folder(arguments.out, "select") as folder:
        write_task(named, chosen, folder, arguments)
        write_chosen(chosen, folder / "chosen.csv")
    if not arguments.quiet:
        say(f"{arguments.out}: {len(chosen)} of {len(found)} key frames, from {len({one.video for one in chosen})} videos")
    return 1 if failed or lost else 0


def parse_files(source: Path) -> list[Path]:
    """The parses that a source stands for.

    Raises:
        InputError: a folder holds none.
    """
    files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source}: holds no parse.json")
    return files


def read(files: Sequence[Path], debug: bool) -> tuple[list[AnyParse], list[Path]]:
    """The parses that can be read whole, and the files that cannot, which are named on stderr.

    Raises:
        Exception: of the last file, where none can be read.
    """
    parses: list[AnyParse] = []
    failed: list[Path] = []
    for file in files:
        try:
            parse = ParseFile(file)
            for _ in parse.frames:
                pass  # what is wrong with a frame is told when its turn comes
            parses.append(parse)
        except Exception as error:
            failed.append(file)
            if len(failed) == len(files):
                raise
            complain_of(file, error, debug)
    return parses, failed


def write_task(parses: dict[str, AnyParse], chosen: Sequence[Candidate], folder: Path, arguments: argparse.Namespace) -> None:
    """The pictures, and what the parses say of them in the form of the tool."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for one in chosen:
        wanted[one.video].add(one.index)
    labels: dict[str, Label] = {}
    words = words_of_persons()
    tasks = []
    for name, parse in parses.items():
        indices = wanted[parse.facts.name]
        if not indices:
            continue
        own = [label for label in cvat_labels(parse.vocabulary) if label["name"] == PERSON or not arguments.persons]
        labels |= {label["name"]: joined(label, labels.get(label["name"])) for label in own}
        if not arguments.persons:
            add_words(words, parse.vocabulary)
        save_pictures(parse, sorted(indices), arguments.videos, folder / "images" / name)
        size = parse.facts.height, parse.facts.width
        for frame in parse.frames:
            if frame.index in indices:
                boxes = [box for box in box_tracks(parse, frames=[frame]) if box.label in words]
                tasks.append(PictureTask(f"{name}/{picture_name(frame.index)}", size, frame, boxes))
    if arguments.format == "cvat":
        write_cvat_images(tasks, list(labels.values()), folder)
    else:
        write_label_studio_images(tasks, words, arguments.link, folder)


def write_chosen(chosen: Sequence[Candidate], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "frame", "time_s", *REASONS])
        rows.writerows([one.video, one.index, round(one.time_s, 6), *(round(score, 4) for score in one.scores)] for one in chosen)


if __name__ == "__main__":
    run_command(build_parser(), main)
