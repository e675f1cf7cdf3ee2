"""Whole files of every container, and what each says of files that are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from parsing.media.video import Video
from parsing.types import Array

NUM_FRAMES, FPS = 50, 25
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
SEGMENTS = {"movflags": "dash+global_sidx+frag_keyframe+empty_moov"}
FAST_START = {"movflags": "+faststart"}
CODECS = {
    ".mp4": "libx264", ".mov": "mpeg4", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mpeg4", ".flv": "flv", ".wmv": "wmv2",
    ".ts": "libx264", ".m2ts": "mpeg2video", ".mpg": "mpeg2video", ".gif": "gif", ".ivf": "libvpx", ".3gp": "mpeg4", ".ogv": "libvpx",
    ".h264": "libx264", ".mjpeg": "mjpeg", ".y4m": "wrapped_avframe",
}  # fmt: skip
PIX_FMTS = {"gif": "rgb8", "mjpeg": "yuvj420p"}
NO_HEADER_OF_THE_WHOLE = {".ts", ".m2ts", ".mpg", ".h264", ".mjpeg", ".y4m"}


def write(path: Path, options: dict[str, str]) -> Path:
    """Noise at 25 frames a second, in the codec that is usual for the suffix."""
    random, codec = np.random.default_rng(0), CODECS[path.suffix]
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(codec, rate=FPS, options={"g": "10"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, PIX_FMTS.get(codec, "yuv420p")
        for _ in range(NUM_FRAMES):
            picture: Array = random.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def read(path: Path) -> tuple[int, Video]:
    """How many frames a video gives, and the video after its last frame."""
    with Video(path) as video:
        return sum(1 for _ in video.frames()), video


WHOLE = [(suffix, {}) for suffix in CODECS] + [(".mp4", FRAGMENTED), (".mp4", SEGMENTS), (".mp4", FAST_START)]


@pytest.mark.parametrize(("suffix", "options"), WHOLE)
def test_whole_files(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    num_frames, video = read(write(tmp_path / f"a{suffix}", options))
    assert (num_frames, video.num_frames, video.facts.decode_errors) == (NUM_FRAMES, NUM_FRAMES, 0)
    assert video.complete == ("unknown" if suffix in NO_HEADER_OF_THE_WHOLE else True)
    assert video.facts.duration_s == pytest.approx(NUM_FRAMES / FPS, abs=0.1)
    assert video.facts.fps == pytest.approx(FPS, rel=0.03)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(("suffix", "options"), [case for case in WHOLE if case != (".mp4", {}) and case[0] not in (".mov", ".3gp")])
def test_cut_files_are_never_complete(tmp_path: Path, suffix: str, options: dict[str, str], share: float) -> None:
    path = cut(write(tmp_path / f"a{suffix}", options), share)
    num_frames, video = read(path)
    assert 0 < num_frames <= NUM_FRAMES
    assert video.complete is False or (video.complete == "unknown" and suffix in NO_HEADER_OF_THE_WHOLE)


def test_a_fragmented_file_that_ends_with_a_fragment_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", FRAGMENTED)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moof") - 4])
    num_frames, video = read(path)
    assert (num_frames, video.complete) == (NUM_FRAMES - last_fragment(data), "unknown")


def test_a_fragment_whose_index_is_cut_does_not_cost_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", FRAGMENTED)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moof") + 30])
    num_frames, video = read(path)
    assert (num_frames, video.complete) == (NUM_FRAMES - last_fragment(data), False)


def last_fragment(data: bytes) -> int:
    """Frames of the last fragment, of which its `trun` box tells."""
    at = data.rindex(b"trun") + 8
    return int.from_bytes(data[at : at + 4], "big")


def test_segments_that_are_missing_are_known_from_their_index(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", SEGMENTS)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moof") - 4])
    assert read(path)[1].complete is False


@pytest.mark.parametrize("start", [0.35, 0.5, 0.7])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".flv", ".wmv", ".ogv", ".gif"])
def test_files_that_lost_something_within_are_never_complete(tmp_path: Path, suffix: str, start: float) -> None:
    path = write(tmp_path / f"a{suffix}", {})
    data = bytearray(path.read_bytes())
    begin, end = int(len(data) * start), int(len(data) * (start + 0.12))
    data[begin:end] = bytes(end - begin)
    path.write_bytes(bytes(data))
    num_frames, video = read(path)
    assert 0 < num_frames <= NUM_FRAMES
    assert video.complete in (False, "unknown")
