"""Write submissions.

python -m pipelines.export kinetics-tps SOURCE... --out submission.zip
python -m pipelines.export tinyvirat --scores test.npz --thresholds FILE --test tiny_test_v2_public.json --class-map FILE --out answer.txt

A source is a parse.json, a folder of them, a video or a folder of videos; videos are parsed on the way.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from parsing.datasets.kinetics_tps.results import SAMPLE_EVERY
from parsing.document import VideoParse, read_parse
from parsing.errors import InputError
from parsing.progress import track
from parsing.types import main_action
from pipelines.benchmarks.kinetics_tps.submission import Form, SubmissionWriter
from pipelines.command import add_output_options, claim, files_named, run_command, torch_device
from pipelines.multilabel_options import add_export
from pipelines.parse.sources import files_of


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.export", description="Write submissions.")
    common = argparse.ArgumentParser(add_help=False)
    add_output_options(common)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="FORMAT")
    help_tps = "a submission to Kinetics-TPS: persons, ten parts, one state each, every fifth frame"
    add_kinetics_tps(kinds.add_parser("kinetics-tps", parents=[common], help=help_tps))
    add_export(kinds.add_parser("tinyvirat", parents=[common], help="a submission to TinyAction: the labels of every test clip"))
    return parser


def add_kinetics_tps(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="parse.json, video, or a folder of either; folders of videos are searched"
    )
    one.add_argument("--out", type=Path, required=True, metavar="ZIP", help="pred_part_result.json and pred_vid_result.json")
    one.add_argument("--form", choices=get_args(Form), default="2022", help="lists of boxes and verbs (2021) or one each (default: 2022)")
    one.add_argument("--vote", type=float, default=0.0, metavar="SHARE", help="of the video's mean in every state, 0 to 1 (default: 0)")
    one.add_argument("--config", default="default", metavar="NAME|FILE", help="pipeline config for videos")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of the pipeline")
    one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")


def main(arguments: argparse.Namespace) -> int:
    {"kinetics-tps": export_kinetics_tps, "tinyvirat": export_tinyvirat}[arguments.kind](arguments)
    return 0


def export_kinetics_tps(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.vote <= 1:
        raise InputError(f"--vote {arguments.vote}: expected a share from 0 to 1")
    if arguments.out.suffix != ".zip":
        raise InputError(f"--out {arguments.out}: expected a name that ends in .zip")
    files = [file for source in arguments.sources for file in parses_or_videos(Path(source))]
    claim(arguments, [arguments.out], inputs=[*files, *pipeline_files(arguments, files)])
    with SubmissionWriter(arguments.out, arguments.form, arguments.vote) as writer:
        for parse in track(parses_of(files, arguments), len(files), "export", arguments.quiet, unit="videos"):
            action = main_action(parse.actions)
            if action is None:
                raise InputError(f"{parse.facts.name}: its parse has no action")
            writer.add(Path(parse.facts.name).stem, action.label, parse.frames, parse.vocabulary)


def pipeline_files(arguments: argparse.Namespace, files: list[Path]) -> list[Path]:
    """What the pipeline's config reads, where there are videos to parse."""
    if all(file.suffix == ".json" for file in files):
        return []
    from pipelines.parse.config import config_path, read_pipeline

    return [config_path(arguments.config), *files_named(read_pipeline(arguments.config, arguments.set))]


def export_tinyvirat(arguments: argparse.Namespace) -> None:
    from pipelines.multilabel import export_answer

    export_answer(arguments)


def parses_or_videos(source: Path) -> list[Path]:
    """Files that a source stands for."""
    if not source.is_dir():
        return files_of(str(source))
    parses = sorted(source.rglob("*.json"))
    return parses or [file for folder in [source, *sorted(p for p in source.rglob("*") if p.is_dir())] for file in videos_in(folder)]


def videos_in(folder: Path) -> list[Path]:
    try:
        return files_of(str(folder))
    except InputError:
        return []  # a folder that only holds folders


def parses_of(files: list[Path], arguments: argparse.Namespace) -> Iterator[VideoParse]:
    """One parse at a time; the pipeline is built for the first video."""
    if not files:
        raise InputError(f"{arguments.sources[0]}: holds neither parses nor videos")
    parser = None
    for file in files:
        if file.suffix == ".json":
            yield read_parse(file)
            continue
        if parser is None:
            from pipelines.parse.parser import VideoParser

            overrides = [f"every={SAMPLE_EVERY}", *arguments.set]
            parser = VideoParser.from_config(arguments.config, overrides, torch_device(arguments.device))
        yield parser(file)


if __name__ == "__main__":
    run_command(build_parser(), main)
