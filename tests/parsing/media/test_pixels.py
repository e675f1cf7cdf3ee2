"""Pictures as a viewer sees them: upright, not mirrored by mistake, with square pixels, in standard dynamic range."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from builders import write_video

from parsing.media.tone_mapping import eetf, hlg_scene_light, pq_eotf, pq_signal
from parsing.media.video import Video
from parsing.types import Array

MATRICES = {
    "as stored": ((1, 0, 0, 1), lambda image: image),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "a quarter clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "a quarter counter-clockwise": ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda image: image[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize(("matrix", "shown"), MATRICES.values(), ids=MATRICES)
def test_display_matrices(tmp_path: Path, matrix: tuple[int, ...], shown: Callable[[Array], Array]) -> None:
    picture = np.full((48, 64, 3), 30, np.uint8)
    picture[:16, :32], picture[:16, 32:] = 230, 120  # each corner has a grey of its own
    picture[32:, :32] = 180
    path = write_video(tmp_path / "a.mp4", [picture] * 3)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
    with Video(path) as video:
        image, facts = video.at([0])[0].image, video.facts
    expected = shown(picture)
    assert image.shape == expected.shape == (facts.height, facts.width, 3)
    assert np.abs(image[4::8, 4::8].astype(int) - expected[4::8, 4::8]).max() < 12
    # Mirroring left and right, then turning clockwise, gives the same.
    again = np.rot90(picture[:, ::-1] if facts.mirrored else picture, -facts.rotation // 90)
    assert np.array_equal(again, expected)


@pytest.mark.parametrize(
    ("aspect", "hw"),
    [
        (Fraction(64, 45), (144, 256)),  # 180 * 64 / 45
        (Fraction(1), (144, 180)),
        (Fraction(8, 9), (162, 180)),  # 144 * 9 / 8
        (Fraction(20), (144, 180)),  # no pixel is that long
    ],
)
def test_pixels_that_are_not_square(tmp_path: Path, aspect: Fraction, hw: tuple[int, int]) -> None:
    picture = np.full((144, 180, 3), 40, np.uint8)
    picture[:, :90] = 200
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 144, 180, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with Video(path) as video:
        (frame,) = video.at([0]).values()
        assert frame.image_hw == hw == (video.facts.height, video.facts.width)
        assert video.facts.pixel_aspect == pytest.approx(float(aspect) if aspect < 8 else 1)
    assert frame.image[:, : hw[1] // 2 - 4].min() > 180
    assert frame.image[:, hw[1] // 2 + 4 :].max() < 60


@pytest.mark.parametrize(
    ("curve", "transfer", "signal", "grey"),
    [
        ("pq", 16, 0.4403, 142),  # 50 cd/m² lies below the knee: 255 * (50 / 203) ** (1 / 2.4)
        ("pq", 16, 0.7518, 255),  # 1000 cd/m² becomes the brightest that is shown
        ("pq", 16, 1.0, 255),
        ("pq", 16, 0.0, 0),
        ("hlg", 18, 0.75, 231),  # reference white, 203 cd/m², is 161 cd/m² after the roll-off
        ("hlg", 18, 1.0, 255),
    ],
)
def test_high_dynamic_range(tmp_path: Path, curve: str, transfer: int, signal: float, grey: int) -> None:
    path = tmp_path / "a.mkv"
    luma = np.full((48, 64), 64 + round(876 * signal), np.uint16)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        for plane, values in zip(frame.planes, (luma, *[np.full((24, 32), 512, np.uint16)] * 2), strict=True):
            rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            rows[:, : values.shape[1]] = values
            plane.update(rows.tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with Video(path) as video:
        image = video.at([0])[0].image
        assert video.facts.hdr == curve
    assert image.astype(int) == pytest.approx(np.full_like(image, grey).astype(int), abs=2)


def test_curves() -> None:
    """Values of ITU-R BT.2408, tables 1 and 2."""
    nits = np.array([0.0, 26.0, 100.0, 203.0, 1000.0, 10_000.0])
    assert pq_signal(nits)[1:] == pytest.approx([0.38, 0.508, 0.58, 0.752, 1], abs=0.005)
    assert pq_eotf(pq_signal(nits)) == pytest.approx(nits, abs=0.01, rel=1e-6)
    assert hlg_scene_light(np.array([0, 0.5, 0.75, 1.0])) == pytest.approx([0, 1 / 12, 0.265, 1], abs=1e-3)
    assert eetf(np.array([1.0, 50.0])) == pytest.approx([1, 50], rel=1e-6)  # below the knee nothing changes
    rolled = eetf(np.linspace(1, 1000, 500))
    assert (np.diff(rolled) > 0).all()
    assert rolled[-1] == pytest.approx(203, rel=1e-6)
