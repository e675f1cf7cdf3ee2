"""Parse videos: `python -m pipelines.run SOURCE... --out PATH`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from parsing.errors import InputError
from parsing.files import claim_outputs
from parsing.intervals import HOLDS_FROM
from parsing.loading import loading
from pipelines.command import (
    CommandParser,
    add_device_option,
    add_message_options,
    add_set_option,
    claim,
    complain_of,
    run_command,
    torch_device,
)
from pipelines.parse.run_options import add_live_options, add_many_options, check_options
from pipelines.parse.sources import STDOUT, Job, plan_jobs
from pipelines.parse.summary import Outcome, print_summary

if TYPE_CHECKING:
    from pipelines.parse.config import PipelineConfig

HIDDEN = ("panels", "parts", "ids", "actions")


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        "run",
        usage="%(prog)s SOURCE [SOURCE ...] --out PATH [options]",
        description="Parse videos: persons, their parts and part states, tracks, the action.",
        epilog="exit codes: 0 all good, 1 some inputs failed, 2 usage or configuration, 130 interrupted",
    )
    files = parser.add_argument_group("input and output")
    files.add_argument("sources", nargs="+", metavar="SOURCE", help="a video, an image, a folder, a glob in quotes, or a live source")
    files.add_argument("--out", type=Path, metavar="PATH", help="NAME.json, NAME.jsonl or - for one source, else a folder")
    files.add_argument("--save-video", action="store_true", help="also NAME.parsed.mp4 (images: .png) beside the JSON")
    files.add_argument("--skip-existing", action="store_true", help="go on where a run stopped: leave out what is done")
    files.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    what = parser.add_argument_group("what runs")
    what.add_argument("--config", default="default", metavar="NAME|FILE", help="pipeline config (default: default)")
    add_set_option(what, "person_detector.score_threshold=0.5")
    add_device_option(what)
    every = "parse every N-th frame, or where persons move, and carry boxes in between (default: config's, 3)"
    what.add_argument("--every", metavar="N|auto", help=every)
    what.add_argument("--batch", type=int, metavar="N", help="key frames that run together (default: config's, 4)")
    what.add_argument("--max-persons", type=int, metavar="N", help="persons kept in a frame, best first (default: config's, 20)")
    drawn = parser.add_argument_group("what is seen")
    drawn.add_argument("--hide", action="append", default=[], choices=HIDDEN, help="leave it out of the annotated copy; may be given again")
    drawn.add_argument("--follow", type=int, metavar="TRACK", help="draw this track alone")
    drawn.add_argument("--report", action="store_true", help="also a page to look at the parse beside the video: NAME.html")
    add_live_options(parser)
    add_many_options(parser)
    add_message_options(parser.add_argument_group("messages"))
    return parser


def drawn_as(arguments: argparse.Namespace, settings: PipelineConfig) -> PipelineConfig:
    """The settings with what the command line says of the annotated copy.

    Raises:
        InputError: a track that cannot be.
    """
    if arguments.follow is not None and arguments.follow < 0:
        raise InputError(f"--follow {arguments.follow}: expected the number of a track, 0 or more")
    hidden = dict.fromkeys(arguments.hide, False)
    followed = {} if arguments.follow is None else {"follow": arguments.follow}
    return replace(settings, drawing=replace(settings.drawing, **hidden, **followed))


def done_and_left(jobs: Sequence[Job], skip_existing: bool) -> tuple[list[Job], list[Job]]:
    """The jobs whose outputs are there and are to be left as they are, and the others, both in order."""
    done: list[Job] = []
    left: list[Job] = []
    for job in jobs:
        (done if skip_existing and job.is_done else left).append(job)
    return done, left


def report_path(job: Job) -> Path:
    """The page beside the parse."""
    assert job.json_path is not None  # `check_options` refuses a report of what is not written
    return job.json_path.with_name(f"{job.json_path.name.removesuffix('.json').removesuffix('.jsonl')}.html")


def write_reports(outcomes: Sequence[Outcome], arguments: argparse.Namespace) -> int:
    """A page for each parse that was made; how many could not be written, each named on stderr."""
    from pipelines.viewer.reports import ReportJob, write_report

    failed = 0
    for job in [outcome.job for outcome in outcomes if not outcome.error and not outcome.skipped]:
        assert job.json_path is not None
        video = job.source if isinstance(job.source, Path) else None
        try:
            write_report(ReportJob(job.json_path, report_path(job), video), HOLDS_FROM, quiet=True)
        except Exception as error:
            complain_of(job.json_path, error, arguments.debug)
            failed += 1
    return failed


def overrides_of(arguments: argparse.Namespace) -> list[str]:
    """What the command line changes in the config."""
    flags = {"every": arguments.every, "batch": arguments.batch, "max_persons": arguments.max_persons}
    return [*arguments.set, *(f"{key}={value}" for key, value in flags.items() if value is not None)]


def run_here(settings: PipelineConfig, jobs: Sequence[Job], arguments: argparse.Namespace) -> list[Outcome]:
    """Parse in this process."""
    with loading():
        from pipelines.parse.jobs import run_jobs
        from pipelines.parse.live import LiveOptions
        from pipelines.parse.parser import VideoParser
        from pipelines.parse.viewers import Viewing

    live = LiveOptions(arguments.live, arguments.reconnect, arguments.seconds)
    viewing = Viewing(arguments.show, arguments.serve, arguments.host)
    parser = VideoParser(settings, torch_device(arguments.device))
    return run_jobs(parser, jobs, arguments.quiet, arguments.debug, live, viewing)


def main(arguments: argparse.Namespace) -> int:
    check_options(arguments)
    if arguments.engine == "ray":
        from pipelines.parse.ray_engine import run_with_ray

        return run_with_ray(arguments, overrides_of(arguments))
    jobs = plan_jobs(arguments.sources, arguments.out, arguments.save_video)
    done, left = done_and_left(jobs, arguments.skip_existing)
    made = [path for job in left for path in job.outputs]
    sources = [job.source for job in jobs if isinstance(job.source, Path)]
    made += [report_path(job) for job in left] if arguments.report else []
    claim_outputs(made, sources, overwrite=arguments.overwrite)
    # Late: the networks' libraries take seconds to load, which help and usage errors need not wait for.
    with loading():
        from pipelines.config_files import config_path
        from pipelines.parse.config import read_pipeline

    is_live = arguments.live and len(sources) < len(jobs)
    at_once = ["batch=1"] if is_live and arguments.batch is None else []  # all cores for the one frame that is there
    settings = drawn_as(arguments, read_pipeline(arguments.config, [*at_once, *overrides_of(arguments)]))
    claim(arguments, made, settings, inputs=[config_path(arguments.config), *sources])  # the config's files count as well
    outcomes = [Outcome(job, skipped=True) for job in done]
    if arguments.workers is not None:
        from pipelines.parse.many import parse_by_workers

        outcomes += parse_by_workers(arguments, settings, done, left)
    elif left:
        outcomes += run_here(settings, left, arguments)
    failed = write_reports(outcomes, arguments) if arguments.report else 0
    if not arguments.quiet and arguments.out != STDOUT:
        print_summary(outcomes)
    return 1 if failed or any(outcome.error for outcome in outcomes) else 0


if __name__ == "__main__":
    run_command(build_parser(), main)
