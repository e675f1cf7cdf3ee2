"""Boxes of annotated videos: between their key frames, and with pictures of their frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from parsing.datasets.problems import named_file
from parsing.errors import InputError
from parsing.media.images import write_image
from parsing.media.suffixes import IMAGE_SUFFIXES
from parsing.media.video import Video


@dataclass(frozen=True, eq=False)
class KeyBox:
    """A box of a track at a frame, from 0; the track is away from a frame on whose box is not `shown`."""

    frame: int
    xyxy: Sequence[float]
    shown: bool = True
    states: Mapping[str, bool] = field(default_factory=dict)


def boxes_between(keys: Iterable[KeyBox], frames: range, dense: bool = False) -> list[KeyBox]:
    """The shown boxes of a track at annotated frames; between two of them the box moves evenly, its states are those before.

    Args:
        frames: those that were annotated: every one of the video, or every n-th.
        dense: every box is given, and none is to be put between two of them.

    Raises:
        ValueError: two boxes at one frame, or one at a frame that there is not.
    """
    ordered = sorted(keys, key=lambda key: key.frame)
    found = [key for key in ordered if key.shown]
    odd = next((key.frame for key in found if not 0 <= key.frame < frames.stop), None)
    if odd is not None:
        raise ValueError(f"a box at frame {odd}, but the video has {frames.stop} frames, from 0")
    for before, after in pairwise(ordered):
        if before.frame == after.frame:
            raise ValueError(f"two boxes at frame {before.frame}")
        if dense or not before.shown:
            continue
        start, end = (np.asarray(key.xyxy, float) for key in (before, after if after.shown else before))
        for frame in range(before.frame + 1, min(after.frame, frames.stop)):
            if frame in frames:
                share = (frame - before.frame) / (after.frame - before.frame)
                found.append(KeyBox(frame, (start + share * (end - start)).tolist(), True, before.states))
    return sorted(found, key=lambda key: key.frame)


def num_frames(video: str, images: Path) -> int:
    """How many frames a video has, or of how many there are pictures where it is not there.

    Raises:
        InputError: it cannot be read, or there is neither.
    """
    folder, path = _folder(video, images), video_file(video, images)
    if path is not None:
        with Video(path) as source:
            return source.num_frames
    numbers = [int(name.removeprefix("img_")) for name in _pictures(folder) if name.removeprefix("img_").isdecimal()]
    if not numbers:
        raise InputError(f"{named_file(images, video)}: video not found, nor pictures of its frames in {folder}")
    return max(numbers)


def frame_pictures(video: str, numbers: Iterable[int], images: Path) -> dict[int, Path]:
    """Pictures of a video's frames, counted from 0, as `<images>/<video>/img_%05d` counts them from 1.

    Those that are not there are taken from the video, which lies in `images` or beside it, once.

    Raises:
        InputError: there is no such video, or it ends before a frame.
    """
    folder, wanted = _folder(video, images), sorted(set(numbers))
    names, there = {number: f"img_{number + 1:05d}" for number in wanted}, _pictures(folder)
    lacking, path = [number for number in wanted if names[number] not in there], video_file(video, images)
    if lacking and path is None:
        raise InputError(f"{folder / names[lacking[0]]}.jpg: not there, nor the video {video} that it could be taken from")
    if lacking and path is not None:
        save_frames(path, lacking, folder)
    return {number: there.get(names[number], folder / f"{names[number]}.jpg") for number in wanted}


def save_frames(video: Path, numbers: Sequence[int], folder: Path) -> None:
    """Write frames of a video, counted from 0, as `img_%05d.jpg`, which count from 1; one frame is held in memory.

    Raises:
        InputError: the video cannot be read, or ends before a frame.
    """
    lacking = set(numbers)
    with Video(video) as source:
        for frame in source.frames():
            if frame.index in lacking:
                write_image(folder / f"img_{frame.index + 1:05d}.jpg", frame.image)
                lacking.remove(frame.index)
            if not lacking:
                return
    raise InputError(f"{video}: lacks frame {min(lacking) + 1}, which is annotated")


def is_there(video: str, images: Path) -> bool:
    """Whether there is a video, or a folder for pictures of its frames."""
    return video_file(video, images) is not None or _folder(video, images).is_dir()


def _folder(video: str, images: Path) -> Path:
    """Where pictures of a video's frames lie, always below `images`, since they may be written."""
    path = named_file(Path(), video)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise InputError(f"{video!r:.80}: expected the name of a video, below {images}")
    return (images / path).with_suffix("")


def video_file(name: str, images: Path) -> Path | None:
    """A video in `images` or beside it; None where there is none."""
    return next((path for folder in (images, images.parent) if (path := named_file(folder, name)).is_file()), None)


def _pictures(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their names without suffix."""
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES} if folder.is_dir() else {}
