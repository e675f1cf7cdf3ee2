"""Parse videos: `python -m pipelines.run SOURCE... --out PATH`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.command import run_command
from pipelines.parse.sources import plan_jobs


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.run",
        description="Parse videos: persons, ten body parts each, part states, tracks, the action.",
        epilog="exit codes: 0 all good, 1 some inputs failed, 2 usage or configuration, 130 interrupted",
    )
    files = parser.add_argument_group("input and output")
    files.add_argument("sources", nargs="+", metavar="SOURCE", help="a video, an image, a folder, or a glob in quotes")
    files.add_argument("--out", required=True, type=Path, metavar="PATH", help="NAME.json for one source, else a folder (made if missing)")
    files.add_argument("--save-video", action="store_true", help="also write the annotated video (image: PNG) beside the JSON")
    files.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    what = parser.add_argument_group("what runs")
    what.add_argument("--config", default="default", metavar="NAME|FILE", help="pipeline config (default: default)")
    what.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting, e.g. person_detector.score_threshold=0.5"
    )
    what.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the networks run (default: auto)")
    what.add_argument("--every", type=int, metavar="N", help="parse every N-th frame, carry boxes in between (default: config's, 3)")
    what.add_argument("--batch", type=int, metavar="N", help="key frames that run together (default: config's, 4)")
    what.add_argument("--max-persons", type=int, metavar="N", help="persons kept in a frame, best first (default: config's, 20)")
    talk = parser.add_argument_group("messages")
    talk.add_argument("--quiet", action="store_true", help="errors only")
    talk.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: argparse.Namespace) -> int:
    jobs = plan_jobs(arguments.sources, arguments.out, arguments.save_video, arguments.overwrite)
    # Late: the networks' libraries take seconds to load, which help and usage errors need not wait for.
    from pipelines.parse.jobs import print_summary, run_jobs
    from pipelines.parse.parser import VideoParser

    flags = {"every": arguments.every, "batch": arguments.batch, "max_persons": arguments.max_persons}
    overrides = [*arguments.set, *(f"{key}={value}" for key, value in flags.items() if value is not None)]
    parser = VideoParser.from_config(arguments.config, overrides, arguments.device)
    outcomes = run_jobs(parser, jobs, arguments.quiet, arguments.debug)
    if not arguments.quiet:
        print_summary(outcomes)
    return 1 if any(outcome.error for outcome in outcomes) else 0


if __name__ == "__main__":
    run_command(build_parser(), main)
