"""Parse videos: `python -m pipelines.run SOURCE... --out PATH`."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table

from parsing.document import ParseWriter
from parsing.errors import InputError
from parsing.files import atomic
from parsing.types import Frame, FrameParse
from pipelines.command import describe, run_command
from pipelines.encoding import VideoWriter
from pipelines.parser import ParseStream, VideoParser
from pipelines.progress import FrameProgress
from pipelines.rendering import draw_parse
from pipelines.sources import Job, plan_jobs


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.run",
        description="Parse videos: persons, ten body parts each, part states, tracks, the action.",
        epilog="exit codes: 0 all good, 1 some inputs failed, 2 usage or configuration",
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


@dataclass(frozen=True)
class Outcome:
    """What became of one source; `error` is None where it went well."""

    job: Job
    num_frames: int = 0
    num_tracks: int = 0
    action: str = ""
    seconds: float = 0.0
    error: str | None = None


def main(arguments: argparse.Namespace) -> int:
    jobs = plan_jobs(arguments.sources, arguments.out, arguments.save_video, arguments.overwrite)
    flags = {"every": arguments.every, "batch": arguments.batch, "max_persons": arguments.max_persons}
    overrides = [*arguments.set, *(f"{key}={value}" for key, value in flags.items() if value is not None)]
    parser = VideoParser.from_config(arguments.config, overrides, arguments.device)
    outcomes = []
    for job in jobs:
        outcomes.append(_attempt(parser, job, arguments.quiet, arguments.debug))
        if outcomes[-1].error:
            print(f"error: {outcomes[-1].error}", file=sys.stderr)
    if not arguments.quiet:
        _print_summary(outcomes)
    return 1 if any(outcome.error for outcome in outcomes) else 0


def _attempt(parser: VideoParser, job: Job, quiet: bool, debug: bool) -> Outcome:
    """Parse one source; a failure of this source must not end the others."""
    try:
        return parse_to_files(parser, job, quiet)
    except (InputError, OSError) as error:
        if debug:
            raise
        text = describe(error)
        return Outcome(job, error=text if job.source.name in text or isinstance(error, OSError) else f"{job.source}: {text}")


def parse_to_files(parser: VideoParser, job: Job, quiet: bool) -> Outcome:
    """Write the JSON of one source, and its annotated video where the job names one; neither appears before both are whole."""
    started = time.monotonic()
    stream = parser.stream(job.source)
    num_frames = 0
    with ExitStack() as stack:
        writer = stack.enter_context(ParseWriter(job.json_path, parser.vocabulary, stream.actions, parser.models))
        drawing = stack.enter_context(_Drawing(job.drawing_path, stream, parser)) if job.drawing_path else None
        progress = stack.enter_context(FrameProgress(job.source.name, stream.num_frames, quiet))
        for frame, parse in stream.with_frames(keep_images=drawing is not None):
            writer.add(parse)
            if drawing:
                drawing.add(frame, parse)
            num_frames += 1
            progress.advance()
        writer.finish(stream.facts, stream.complete)
    if not stream.complete and not quiet:
        facts = stream.facts
        print(
            f"{job.source}: damaged: {facts.frames_decoded} of {facts.frames_declared} frames decoded, {facts.decode_errors} errors",
            file=sys.stderr,
        )
    best = stream.actions[0] if stream.actions else None
    action = f"{best.label} {best.score:.2f}" if best else ""
    return Outcome(job, num_frames, writer.num_tracks, action, time.monotonic() - started)


class _Drawing:
    """The annotated copy of a source: an mp4, or a PNG for an image."""

    def __init__(self, path: Path, stream: ParseStream, parser: VideoParser) -> None:
        self.path, self.stream, self.vocabulary = path, stream, parser.vocabulary
        facts = stream.facts
        self.video = VideoWriter(path, (facts.height, facts.width), facts.fps) if path.suffix == ".mp4" else None

    def __enter__(self) -> _Drawing:
        if self.video:
            self.video.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        if self.video:
            self.video.__exit__(*failure)

    def add(self, frame: Frame, parse: FrameParse) -> None:
        picture = draw_parse(frame, parse, self.vocabulary, self.stream.actions)
        if self.video:
            self.video.add(picture, frame.time_s)
            return
        with atomic(self.path) as temporary:
            if not cv2.imwrite(str(temporary), picture[:, :, ::-1]):
                raise InputError(f"{self.path}: cannot write the annotated image")


def _print_summary(outcomes: list[Outcome]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("source", "frames", "tracks", "action", "frames/s", "result"):
        table.add_column(column, justify="right" if column in ("frames", "tracks", "frames/s") else "left")
    for o in outcomes:
        rate = f"{o.num_frames / o.seconds:.1f}" if o.seconds else ""
        table.add_row(
            o.job.source.name, str(o.num_frames), str(o.num_tracks), o.action, rate, "failed" if o.error else str(o.job.json_path)
        )
    Console().print(table)


if __name__ == "__main__":
    run_command(build_parser(), main)
