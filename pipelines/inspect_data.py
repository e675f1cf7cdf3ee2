"""See what a data set holds: `python -m pipelines.inspect_data ANNOTATIONS --images DIR --sheet sheet.png`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from parsing.console import say
from parsing.datasets import DataSplit, Format, Problems, default_images, read_records, usable
from parsing.media.images import write_image
from parsing.progress import track
from pipelines.command import CommandParser, add_output_options, claim, run_command


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        "inspect",
        description="Count classes, box sizes and problems of a data set, and draw a sheet of its pictures.",
        epilog="exit codes: 0 no problem, 1 problems were found, 2 the data set cannot be read",
    )
    parser.add_argument("annotations", type=Path, help="annotation file, data.yaml, or folder of annotations")
    parser.add_argument("--format", choices=get_args(Format), default="coco", help="default: coco (also WholeBody, Halpe, PoseTrack, …)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="default: `images` beside the annotations")
    parser.add_argument("--split", choices=get_args(DataSplit), default="train", help="of a data.yaml (default: train)")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet with the boxes drawn")
    parser.add_argument("--on-error", choices=("skip", "fail"), default="skip", help="go on after a bad record (default) or stop")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    from detectors.labelling.inspection import sheet, summary_lines  # late, as PyTorch comes with it

    problems = Problems(arguments.on_error, quiet=True)  # the summary lists them
    images = arguments.images or default_images(arguments.annotations)
    records = read_records(arguments.format, arguments.annotations, images, problems, arguments.split)
    if arguments.sheet:
        claim(arguments, [arguments.sheet], inputs=(record.path for record in records))
    good = usable(track(records, len(records), "reading", arguments.quiet), problems)
    say(*summary_lines(good, problems))
    if arguments.sheet:
        write_image(arguments.sheet, sheet(good))
    return 1 if problems.found else 0


if __name__ == "__main__":
    run_command(build_parser(), main)
