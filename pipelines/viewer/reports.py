"""Reports as files: one page, or a folder of pages with an index; pictures beside them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from parsing.errors import InputError
from parsing.files import atomic
from parsing.media.sources import open_source
from parsing.progress import Counter
from parsing.streamed import ParseFile
from parsing.types import Array, Frame, FrameParse
from pipelines.viewer.gather import Gathered, gather
from pipelines.viewer.index import Card
from pipelines.viewer.media import check_video, default_video, embedded, is_image, linked, plays, still
from pipelines.viewer.page import Shown, page
from pipelines.viewer.thumbnails import cut_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportJob:
    """One parse and the page that it becomes.

    Args:
        video: a file, a folder that holds it under its name, or None: beside the parse, if it is there.
        png: whether pictures for papers are made, too.
    """

    parse: Path
    out: Path
    video: Path | None = None
    embed: bool = False
    png: bool = False

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The state timeline and the map of tracks."""
        return tuple(self.out.with_name(f"{self.out.stem}_{name}.png") for name in ("timeline", "tracks")) if self.png else ()

    @property
    def outputs(self) -> list[Path]:
        return [self.out, *self.pictures]


def write_report(job: ReportJob, threshold: float, quiet: bool) -> tuple[Card, list[str]]:
    """Write the report of one parse; its card for an index, and remarks for whoever made it.

    Raises:
        InputError: the parse cannot be read, or the video is another one.
    """
    file = ParseFile(job.parse)
    video = find_video(job, file)
    remarks = []
    if video is None:
        remarks.append(f"{job.parse}: its video ({file.parse.facts.name}) is not beside it; --video names it, or choose it in the page")
    else:
        check_video(video, file.parse.facts)
    with Counter(job.parse.name, file.parse.facts.frames_decoded, quiet) as progress:
        found = gather(file.parse, _counted(file, progress), threshold)
    pictures, poster = ({}, None) if video is None else cut_out(_frames(video), found.sights)
    shown = _shown(job, video)
    if video is not None and not (job.embed or is_image(video) or plays(video)):
        remarks.append(
            f"{video}: browsers do not play {video.suffix or 'files without a suffix'}; --embed puts a copy into the page that they play"
        )
    text = page(found, shown, pictures)
    for path, figure in zip(job.pictures, _figures(found, poster) if job.png else (), strict=True):
        from parsing.measures.pictures import save_png

        save_png(figure, path)
    with atomic(job.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Card.of(found.summary, linked(job.out, job.out), poster), [*remarks, *(f"{job.parse}: {note}" for note in found.notes)]


def find_video(job: ReportJob, file: ParseFile) -> Path | None:
    """The video of a parse.

    Raises:
        InputError: the one that was named is not there.
    """
    if job.video is None:
        return default_video(job.parse, file.parse.facts)
    if job.video.is_dir():
        return default_video(job.video / "parse.json", file.parse.facts)
    if not job.video.exists():
        raise InputError(f"--video {job.video}: no such file; expected the video of {job.parse}")
    return job.video


def _shown(job: ReportJob, video: Path | None) -> Shown:
    if video is None:
        return Shown()
    if is_image(video):
        return Shown("image", still(video))
    return Shown("video", embedded(video) if job.embed else linked(video, job.out))


def _counted(file: ParseFile, progress: Counter) -> Iterator[FrameParse]:
    for frame in file.frames:
        yield frame
        progress.advance()


def _frames(video: Path) -> Iterator[Frame]:
    source = open_source(video)
    with closing(source):
        yield from source.frames()


def _figures(found: Gathered, poster: bytes | None) -> Sequence[Figure]:
    from pipelines.viewer.figures import map_figure, timeline_figure  # late: matplotlib takes a second

    background: Array | None = None if poster is None else np.asarray(Image.open(io.BytesIO(poster)))
    return timeline_figure(found), map_figure(found, background)
