"""Look at parses in a browser: `python -m pipelines.report parse.json --video video.mp4 --out report.html`.

A folder of parses becomes a folder of pages with an index.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from parsing.errors import InputError
from parsing.files import atomic, claim_outputs
from parsing.intervals import HOLDS_FROM
from pipelines.command import CommandParser, add_output_options, complain_of, files_in, run_command

log = logging.getLogger(__name__)
INDEX = "index.html"


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        "report",
        description="Show a parse beside its video in one page that needs no network; of a folder of parses, pages and an index.",
        epilog="exit codes: 0 all good, 1 some parses failed, 2 usage",
    )
    parser.add_argument("sources", nargs="+", type=Path, metavar="PARSE", help="a parse.json, or a folder of them, which is searched")
    parser.add_argument("--video", type=Path, metavar="PATH", help="the video, or the folder of the videos (default: beside the parse)")
    parser.add_argument("--out", required=True, type=Path, metavar="PATH", help="NAME.html for one parse, else a folder")
    parser.add_argument("--embed", action="store_true", help="put the video into the page; by default the page links to it")
    parser.add_argument("--png", action="store_true", help="also pictures: NAME_timeline.png and NAME_tracks.png")
    parser.add_argument(
        "--threshold", type=share, default=HOLDS_FROM, metavar="SCORE", help=f"a state holds from this score on (default: {HOLDS_FROM})"
    )
    add_output_options(parser)
    return parser


def share(text: str) -> float:
    """A score of the command line."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a score above 0, up to 1")
    return value


def main(arguments: argparse.Namespace) -> int:
    from pipelines.viewer.reports import ReportJob, write_report

    parses = parses_in(arguments.sources)
    one = arguments.out.suffix.lower() in (".html", ".htm") and not arguments.out.is_dir()
    if one and (len(parses) > 1 or arguments.sources[0].is_dir()):
        raise InputError(f"--out {arguments.out}: {len(parses)} parses need a folder, not one page")
    if arguments.video and not arguments.video.is_dir() and len(parses) > 1:
        raise InputError(f"--video {arguments.video}: one video for {len(parses)} parses; expected the folder of their videos")
    outs = [arguments.out] if one else page_names(parses, arguments.out)
    jobs = [ReportJob(parse, out, arguments.video, arguments.embed, arguments.png) for parse, out in zip(parses, outs, strict=True)]
    index = [] if one else [arguments.out / INDEX]
    read = [*parses, *(files_in(arguments.video) if arguments.video else ())]
    claim_outputs([*(path for job in jobs for path in job.outputs), *index], read, overwrite=arguments.overwrite)
    cards = []
    for job in jobs:
        try:
            card, remarks = write_report(job, arguments.threshold, arguments.quiet)
        except Exception as error:
            if len(jobs) == 1:
                raise
            complain_of(job.parse, error, arguments.debug)
            continue
        cards.append(card)
        for remark in remarks:
            log.info("%s", remark)
    if index and cards:
        write_index(index[0], cards)
    return 0 if len(cards) == len(jobs) else 1


def write_index(path: Path, cards: Sequence[object]) -> None:
    """The index of the pages in its folder."""
    from pipelines.viewer.index import index_page

    with atomic(path) as temporary:
        temporary.write_text(index_page(path.parent.resolve().name, cards), encoding="utf-8")  # type: ignore[arg-type]


def parses_in(sources: Sequence[Path]) -> list[Path]:
    """Parses that sources name: files, and the JSON files of folders.

    Raises:
        InputError: a folder has none.
    """
    found: dict[str, Path] = {}
    for source in sources:
        files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
        if not files:
            raise InputError(f"{source}: folder without parses (*.json)")
        found |= {os.path.abspath(file): file for file in files}  # noqa: PTH100  # links are kept
    return list(found.values())


def page_names(parses: Sequence[Path], folder: Path) -> list[Path]:
    """A page for each parse; those of equal names have their folders in front."""
    names = [parse.name.removesuffix(".json") for parse in parses]
    counts, shared = Counter(names), os.path.commonpath([os.path.abspath(parse.parent) for parse in parses])  # noqa: PTH100
    places = [Path(os.path.relpath(os.path.abspath(parse.parent), shared)) for parse in parses]  # noqa: PTH100
    flat = ["-".join([*place.parts, name]) if counts[name] > 1 else name for place, name in zip(places, names, strict=True)]
    return [folder / f"{name}.html" for name in flat]


if __name__ == "__main__":
    run_command(build_parser(), main)
