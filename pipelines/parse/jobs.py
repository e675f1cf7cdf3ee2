"""Sources parsed one after the other into files; a failure of one does not end the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from parsing.console import complain
from parsing.document import VideoParse
from parsing.media.live import LiveSource
from parsing.media.sources import Source, open_source
from parsing.media.stills import Still
from parsing.progress import Counter
from parsing.types import VideoFacts, main_action
from parsing.writing import DocumentWriter, LinesWriter, ParseWriter
from pipelines.command import complain_of
from pipelines.drawing.frames import FrameDrawer
from pipelines.parse.live import Delays, LiveOptions, ended_by_signals
from pipelines.parse.parser import ParseStream, VideoParser
from pipelines.parse.sources import STDOUT, Job
from pipelines.parse.summary import Outcome
from pipelines.parse.viewers import ImageCopy, PictureWriter, VideoCopy, Viewing

NO_VIEWING = Viewing()
FROM_FILES = LiveOptions()


def run_jobs(
    parser: VideoParser,
    jobs: Sequence[Job],
    quiet: bool,
    debug: bool,
    live: LiveOptions = FROM_FILES,
    viewing: Viewing = NO_VIEWING,
) -> list[Outcome]:
    """Parse every source; failures are named on stderr as they happen."""
    outcomes = []
    for job in jobs:
        try:
            outcomes.append(parse_to_files(parser, job, quiet, live, viewing))
        except Exception as error:
            outcomes.append(Outcome(job, error=complain_of(job.source, error, debug)))
    return outcomes


def parse_to_files(parser: VideoParser, job: Job, quiet: bool, live: LiveOptions = FROM_FILES, viewing: Viewing = NO_VIEWING) -> Outcome:
    """Write the document of one source, and its annotated video where the job names one.

    Of a file neither appears before both are whole; of a live source, what was done stays, whatever ends it.
    """
    started = time.monotonic()
    source = open_source(job.source) if isinstance(job.source, Path) else live.open(job.source)
    stream = parser.stream(source)
    drawer = FrameDrawer(parser.vocabulary, parser.settings.drawing, has_tracks=not isinstance(source, Still))
    num_frames, delays, failure = 0, Delays(), None
    writer: DocumentWriter | None = None
    reader_left = True  # until all is written
    with ExitStack() as stack, _reader_may_leave(job):
        stop = stack.enter_context(ended_by_signals(source)) if isinstance(source, LiveSource) else None
        if job.json_path:
            writer = stack.enter_context(_document(job, stream, parser))
        pictures = [stack.enter_context(made) for made in _pictures(job, stream, viewing, stop)]
        progress = stack.enter_context(Counter(job.source.name, stream.num_frames or 0, quiet))
        for frame, parse in stack.enter_context(closing(stream.with_frames(keep_images=bool(pictures)))):
            if writer:
                writer.add(parse)
            if pictures:
                picture = drawer.draw(frame, parse, stream.actions, stream.track_actions)
                for made in pictures:
                    made.add(picture, frame, parse)
            if isinstance(source, LiveSource):
                delays.add(source.age_s(frame.index))
            num_frames += 1
            progress.advance()
        if writer:
            writer.finish(stream.parse())
        reader_left = False
    if not reader_left:  # who has left is not told what was lost
        failure = _notes(job, source, stream, delays, quiet)
    best = main_action(stream.actions)
    action = f"{best.label} {best.score:.2f}" if best else ""
    return Outcome(job, num_frames, writer.num_tracks if writer else 0, action, time.monotonic() - started, failure)


def _document(job: Job, stream: ParseStream, parser: VideoParser) -> DocumentWriter:
    path = job.json_path
    assert path is not None
    if path == STDOUT or path.suffix == ".jsonl":
        return LinesWriter(None if path == STDOUT else path, stream.parse())
    return ParseWriter(path, parser.vocabulary, None if isinstance(job.source, Path) else lambda: _until_now(stream))


def _until_now(stream: ParseStream) -> VideoParse:
    """What is known of a live source whose frames were not used up."""
    return replace(stream.parse(), facts=stream.source.facts, complete=False)


def _pictures(job: Job, stream: ParseStream, viewing: Viewing, stop: Callable[[], None] | None) -> Iterator[PictureWriter]:
    """Whatever takes the annotated pictures."""
    facts = stream.facts
    if job.drawing_path is not None:
        if job.drawing_path.suffix == ".mp4":
            yield VideoCopy(job.drawing_path, (facts.height, facts.width), facts.fps, is_live=not isinstance(job.source, Path))
        else:
            yield ImageCopy(job.drawing_path)
    yield from viewing.open(stream, stop)


@contextmanager
def _reader_may_leave(job: Job) -> Iterator[None]:
    """A reader of the standard output that goes away is no failure of the command."""
    try:
        yield
    except BrokenPipeError:
        if job.json_path != STDOUT:
            raise


def _notes(job: Job, source: Source, stream: ParseStream, delays: Delays, quiet: bool) -> str | None:
    """Say what was lost; the line of it, where the source did not end as it should have."""
    if isinstance(source, LiveSource):
        if not quiet:
            complain(f"{job.source}: {stream.facts.frames_dropped} of {stream.facts.frames_decoded} frames dropped; {delays}")
        if source.failure is not None:
            complain(f"error: {source.failure}")
        return source.failure
    if stream.complete is False and not quiet:
        complain(f"{job.source}: {loss(stream.facts)}")
    return None


def loss(facts: VideoFacts) -> str:
    """What an incomplete video gave, in words."""
    declared = f" of {facts.frames_declared}" if facts.frames_declared is not None else ""
    return f"damaged or cut off: {facts.frames_decoded}{declared} frames decoded, {facts.decode_errors} errors"
