"""How a page comes to its video: a link beside it, or data within it."""

from __future__ import annotations

import base64
import os
import string
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2

from parsing.errors import InputError
from parsing.files import text_name
from parsing.media.encoding import VideoWriter
from parsing.media.sources import open_source
from parsing.media.stills import Still
from parsing.media.suffixes import IMAGE_SUFFIXES
from parsing.types import Array, VideoFacts
from pipelines.viewer.thumbnails import jpeg

PLAYED = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg", ".mkv": "video/webm"}
MOST_BYTES = 48 * 2**20  # that a page takes in; browsers keep it in memory as text
AS_IT_IS = 16 * 2**20  # smaller ones are not encoded again
COPY_PX, STILL_PX = 480, 1600  # shorter side of a video that is encoded for a page, longer side of an image
_PLAIN = frozenset((string.ascii_letters + string.digits + "-._~/").encode())
OTHER_LENGTH = 0.05, 1.0  # a video is another one where its length differs by more than this share and these seconds


def check_video(path: Path, facts: VideoFacts) -> None:
    """Whether a video can be the one that a parse is of; its name may have changed.

    Raises:
        InputError: it cannot be read, or has another size or length.
    """
    source = open_source(path)
    try:
        found = source.facts
    finally:
        source.close()
    if (found.width, found.height) != (facts.width, facts.height):
        sizes = f"{found.width} x {found.height} px, the parse is of one of {facts.width} x {facts.height} px"
        raise InputError(f"{path}: another video than that of the parse ({facts.name}): {sizes}")
    share, seconds = OTHER_LENGTH
    if abs(found.duration_s - facts.duration_s) > max(seconds, share * facts.duration_s):
        lengths = f"{found.duration_s:.1f} s, the parse is of one of {facts.duration_s:.1f} s"
        raise InputError(f"{path}: another video than that of the parse ({facts.name}): {lengths}")


def linked(video: Path, page: Path) -> str:
    """The address of a video relative to a page, whatever characters the names have."""
    relative = os.path.relpath(os.path.abspath(video), os.path.dirname(os.path.abspath(page)))  # noqa: PTH100, PTH120  # links stay
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in os.fsencode(relative))


def plays(video: Path) -> bool:
    """Whether browsers know the container by its name; what is coded in it they may still not know."""
    return video.suffix.lower() in PLAYED


def embedded(video: Path) -> str:
    """A video as a data address; one that is large, or that browsers do not play, is encoded again at up to 480 lines.

    Raises:
        InputError: it is too long to stand in a page.
    """
    if plays(video) and video.stat().st_size <= AS_IT_IS:
        return data_address(video.read_bytes(), PLAYED[video.suffix.lower()])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        _encode(video, copy)
        return data_address(copy.read_bytes(), "video/mp4")


def still(path: Path) -> str:
    """An image as a data address."""
    image = next(Still(path).frames()).image
    return data_address(jpeg(image, STILL_PX, STILL_PX), "image/jpeg")


def is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def data_address(data: bytes, kind: str) -> str:
    """`data:` with the bytes in it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _encode(video: Path, copy: Path) -> None:
    source = open_source(video)
    facts = source.facts
    scale = min(1.0, COPY_PX / min(facts.width, facts.height))
    size = max(2, round(facts.width * scale)), max(2, round(facts.height * scale))
    try:
        with VideoWriter(copy, size[::-1], facts.fps) as writer:
            for time_s, image in _scaled(((f.time_s, f.image) for f in source.frames()), size):
                writer.add(image, time_s)
                # The file is asked by its folder: until it is whole it has another name.
                if sum(entry.stat().st_size for entry in copy.parent.iterdir()) > MOST_BYTES:
                    limit = f"more than {MOST_BYTES // 2**20} MiB at {COPY_PX} lines"
                    raise InputError(f"{video}: {limit}, too much to stand in a page; leave out --embed, and the page links to it")
    finally:
        source.close()


def _scaled(frames: Iterable[tuple[float, Array]], size: tuple[int, int]) -> Iterable[tuple[float, Array]]:
    return ((time_s, cv2.resize(image, size, interpolation=cv2.INTER_AREA)) for time_s, image in frames)


def default_video(parse: Path, facts: VideoFacts) -> Path | None:
    """The video beside a parse, by the name that the parse has it under."""
    name = Path(facts.name).name  # a name from outside names no other folder
    beside = parse.parent / name if name else None
    return beside if beside is not None and beside.is_file() and text_name(beside) == facts.name else None
