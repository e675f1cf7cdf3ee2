"""Pictures of the frames of a parse, taken from its video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from parsing.datasets.tracks import save_frames
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.media.video import Video


def picture_name(index: int) -> str:
    """The picture of a frame, as the readers of annotated videos name it: they count from 1."""
    return f"img_{index + 1:05d}.jpg"


def save_pictures(parse: AnyParse, indices: Sequence[int], videos: Path, folder: Path) -> None:
    """Write pictures of frames of a parse, named by `picture_name`.

    Args:
        videos: the video, or a folder that it lies in or below.

    Raises:
        InputError: the video is not there, or several have its name, or it is not the one of the parse.
    """
    path = video_of(parse, videos)
    if indices:
        save_frames(path, sorted(indices), folder)


def video_of(parse: AnyParse, videos: Path) -> Path:
    """The video of a parse; arguments and errors as of `save_pictures`."""
    path = _named(parse.facts.name, videos)
    with Video(path) as video:
        facts = video.facts
    if (facts.width, facts.height) != (parse.facts.width, parse.facts.height):
        sizes = f"{facts.width} x {facts.height} px, its parse is of one of {parse.facts.width} x {parse.facts.height} px"
        raise InputError(f"{path}: another video than that of the parse: {sizes}")
    return path


def _named(name: str, videos: Path) -> Path:
    """By the last part of a path alone, so that a name from outside names no other folder; links to one video are one."""
    below = [path for path in sorted(videos.rglob("*")) if path.name == name and path.is_file()] if videos.is_dir() else [videos]
    found = list({os.path.realpath(path): path for path in below}.values())
    if len(found) > 1:
        raise InputError(f"{videos}: holds two videos of the name {name!r:.80}, {found[0]} and {found[1]}; expected one")
    if not found or found[0].name != name or not found[0].is_file():
        raise InputError(f"{videos}: is not the video of the parse, {name!r:.80}; --videos names it or a folder that it lies in")
    return found[0]
