"""Write parses, or submissions, in other formats.

python -m pipelines.export table SOURCE... --format csv --out tables/
python -m pipelines.export cvat SOURCE... --out task/
python -m pipelines.export kinetics-tps SOURCE... --out submission.zip
python -m pipelines.export coco SOURCE... --truth annotations.json --out results.json
python -m pipelines.export tinyvirat --scores test.npz --thresholds FILE --test tiny_test_v2_public.json --class-map FILE --out answer.txt

A source is a parse.json, a folder of them, a video or a folder of videos; videos are parsed on the way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from parsing.configs import chosen_class
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.progress import track
from parsing.streamed import ParseFile
from pipelines.command import (
    CommandParser,
    add_device_option,
    add_output_options,
    add_set_option,
    claim,
    complain_of,
    files_named,
    run_command,
    torch_device,
)
from pipelines.exporters import EXPORTERS, Exporter
from pipelines.options import add_options, names_to_offer, read_options
from pipelines.parse.sources import DOCUMENT_SUFFIXES, MANIFEST, files_of


def build_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The command line of every format, or of the one that `argv` chooses."""
    parser = CommandParser("export", description="Write parses in other formats.")
    kinds = parser.add_subparsers(dest="exporter", required=True, metavar="FORMAT")
    for name in names_to_offer(EXPORTERS, argv):
        exporter = chosen_class(EXPORTERS, name)
        one = kinds.add_parser(name, help=exporter.__doc__, description=exporter.__doc__)
        one.add_argument("sources", nargs="*", metavar="SOURCE", help="parse.json, video, or a folder of either, which is searched")
        one.add_argument("--out", type=Path, required=True, metavar="PATH", help="file or folder that is written")
        add_options(one, exporter, offered=("device",))
        one.add_argument("--config", default="default", metavar="NAME|FILE", help="pipeline config for videos")
        add_set_option(one, "every=1")
        add_device_option(one)
        add_output_options(one)
    return parser


def main(arguments: argparse.Namespace) -> int:
    exporter: Exporter = read_options(chosen_class(EXPORTERS, arguments.exporter), arguments, arguments.exporter)
    if bool(arguments.sources) != exporter.reads_parses:
        what = "give a SOURCE" if exporter.reads_parses else "a SOURCE, and an option that names another; expected one"
        raise InputError(f"{arguments.exporter}: {what}")
    files = [file for source in arguments.sources for file in parses_or_videos(source)]
    failed: list[Path] = []
    parses = track(parses_of(files, failed, exporter.every, arguments), len(files), "export", arguments.quiet, unit="videos")
    inputs = [*exporter.inputs(), *files, *pipeline_files(arguments, files)]
    claim(arguments, [arguments.out], inputs=inputs, folders=exporter.folder)
    exporter.write(parses, arguments.out)
    return 1 if failed else 0


def pipeline_files(arguments: argparse.Namespace, files: list[Path]) -> list[Path]:
    """What the pipeline's config reads, where there are videos to parse."""
    if all(file.suffix in DOCUMENT_SUFFIXES for file in files):
        return []
    from pipelines.config_files import config_path
    from pipelines.parse.config import read_pipeline

    return [config_path(arguments.config), *files_named(read_pipeline(arguments.config, arguments.set))]


def parses_or_videos(source: str) -> list[Path]:
    """Files that a source stands for."""
    top = Path(source)
    if not top.is_dir():
        return files_of(source)
    parses = sorted(file for suffix in DOCUMENT_SUFFIXES for file in top.rglob(f"*{suffix}") if file.name != MANIFEST)
    return parses or [file for folder in [top, *sorted(p for p in top.rglob("*") if p.is_dir())] for file in videos_in(folder)]


def videos_in(folder: Path) -> list[Path]:
    try:
        return files_of(str(folder))
    except InputError:
        return []  # a folder that only holds folders


def parses_of(files: list[Path], failed: list[Path], every: int | None, arguments: argparse.Namespace) -> Iterator[AnyParse]:
    """One parse at a time; the pipeline is built where there is a video.

    Args:
        failed: gains the files that give no parse; each is named on stderr, and the others go on.

    Raises:
        InputError: there is no file.
        Exception: of the last file, where none gives a parse.
    """
    if not files:
        raise InputError(f"{arguments.sources[0]}: holds neither parses nor videos")
    read = _whole if all(file.suffix in DOCUMENT_SUFFIXES for file in files) else _parse_or_read(every, arguments)
    for file in files:
        try:
            parse = read(file)
        except Exception as error:
            failed.append(file)
            if len(failed) == len(files):
                raise
            complain_of(file, error, arguments.debug)
            continue
        yield parse


def _whole(file: Path) -> ParseFile:
    """A parse of which every frame was read once: what is wrong with one must not end the export of the others."""
    parse = ParseFile(file)
    for _ in parse.frames:
        pass
    return parse


def _parse_or_read(every: int | None, arguments: argparse.Namespace) -> Callable[[Path], AnyParse]:
    from pipelines.parse.parser import VideoParser

    fixed = [] if every is None else [f"every={every}"]
    parser = VideoParser.from_config(arguments.config, [*fixed, *arguments.set], torch_device(arguments.device))
    return lambda file: _whole(file) if file.suffix in DOCUMENT_SUFFIXES else parser(file)


if __name__ == "__main__":
    run_command(build_parser(sys.argv[1:]), main)
