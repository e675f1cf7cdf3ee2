"""Sources parsed one after the other into files; a failure of one does not end the others."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parsing.console import complain, printable, say
from parsing.document import ParseWriter
from parsing.media.encoding import VideoWriter
from parsing.media.images import write_image
from parsing.progress import Counter
from parsing.types import Frame, FrameParse, VideoFacts, main_action
from pipelines.command import complain_of
from pipelines.drawing.frames import FrameDrawer
from pipelines.parse.parser import ParseStream, VideoParser
from pipelines.parse.sources import Job


@dataclass(frozen=True)
class Outcome:
    """What became of one source; `error` is None where it went well, `skipped` where its outputs were there before."""

    job: Job
    num_frames: int = 0
    num_tracks: int = 0
    action: str = ""
    seconds: float = 0.0
    error: str | None = None
    skipped: bool = False

    @property
    def result(self) -> str:
        return "failed" if self.error else f"{self.job.json_path}{' (was there)' if self.skipped else ''}"


def run_jobs(parser: VideoParser, jobs: Sequence[Job], quiet: bool, debug: bool) -> list[Outcome]:
    """Parse every source; failures are named on stderr as they happen."""
    outcomes = []
    for job in jobs:
        try:
            outcomes.append(parse_to_files(parser, job, quiet))
        except Exception as error:
            outcomes.append(Outcome(job, error=complain_of(job.source, error, debug)))
    return outcomes


def parse_to_files(parser: VideoParser, job: Job, quiet: bool) -> Outcome:
    """Write the JSON of one source, and its annotated video where the job names one; neither appears before both are whole."""
    started = time.monotonic()
    stream = parser.stream(job.source)
    num_frames = 0
    with ExitStack() as stack:
        writer = stack.enter_context(ParseWriter(job.json_path, parser.vocabulary))
        drawing = stack.enter_context(_Drawing(job.drawing_path, stream, parser)) if job.drawing_path else None
        progress = stack.enter_context(Counter(job.source.name, stream.num_frames or 0, quiet))
        frames = stack.enter_context(closing(stream.with_frames(keep_images=drawing is not None)))
        for frame, parse in frames:
            writer.add(parse)
            if drawing:
                drawing.add(frame, parse)
            num_frames += 1
            progress.advance()
        writer.finish(stream.parse())
    if stream.complete is False and not quiet:
        complain(f"{job.source}: {loss(stream.facts)}")
    best = main_action(stream.actions)
    action = f"{best.label} {best.score:.2f}" if best else ""
    return Outcome(job, num_frames, writer.num_tracks, action, time.monotonic() - started)


def loss(facts: VideoFacts) -> str:
    """What an incomplete video gave, in words."""
    declared = f" of {facts.frames_declared}" if facts.frames_declared is not None else ""
    return f"damaged or cut off: {facts.frames_decoded}{declared} frames decoded, {facts.decode_errors} errors"


class _Drawing:
    """The annotated copy of a source: an mp4, or a PNG for an image."""

    def __init__(self, path: Path, stream: ParseStream, parser: VideoParser) -> None:
        self.path, self.stream = path, stream
        self.drawer = FrameDrawer(parser.vocabulary, parser.settings.drawing)
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
        picture = self.drawer.draw(frame, parse, self.stream.actions, self.stream.track_actions)
        if self.video:
            self.video.add(picture, frame.time_s)
        else:
            write_image(self.path, picture)


def print_summary(outcomes: Sequence[Outcome]) -> None:
    """A table of all sources on stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("source", "frames", "tracks", "action", "frames/s", "result"):
        table.add_column(column, justify="right" if column in ("frames", "tracks", "frames/s") else "left")
    for o in outcomes:
        rate = f"{o.num_frames / o.seconds:.1f}" if o.seconds else ""
        row = (o.job.source.name, o.num_frames, o.num_tracks, o.action, rate, o.result)
        table.add_row(*(Text(printable(value)) for value in row))  # as text, brackets are no markup
    # Away from a terminal, lines need not fit a screen.
    console = Console(width=None if sys.stdout.isatty() else 200, color_system=None)
    with console.capture() as captured:
        console.print(table)
    say(*captured.get().splitlines())
