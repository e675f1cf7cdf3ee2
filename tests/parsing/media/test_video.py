import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from builders import ramp, write_video

from parsing.errors import InputError
from parsing.media.sources import open_source
from parsing.media.video import Video


def shades(path: Path) -> list[int]:
    """Which picture of the ramp each decoded frame shows."""
    return [round((float(frame.image.mean()) - 10) / 8) for frame in Video(path).frames()]


def turned(path: Path, degrees: int) -> Path:
    """Write a display matrix into an mp4's track header, as phones do: turn clockwise by `degrees`."""
    one, matrix = 1 << 16, {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    for i, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + i : at + i + 4] = (value * one).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
    return path


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [ramp(i) for i in range(12)], fps=10)
    with Video(path) as video:
        frames = list(video.frames())
        facts = video.facts
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 10 for i in range(12)])
    assert shades(path) == list(range(12))
    assert (facts.width, facts.height, facts.fps, facts.frames_declared, facts.frames_decoded) == (64, 48, 10.0, 12, 12)
    assert facts.decode_errors == 0
    assert facts.duration_s == pytest.approx(1.2)
    assert video.complete is True
    assert video.num_frames == 12


def test_variable_rate_keeps_presentation_times(tmp_path: Path) -> None:
    times = [0, 40, 50, 1000, 1500]
    path = write_video(tmp_path / "v.mp4", [ramp(i) for i in range(5)], times_ms=times)
    with Video(path) as video:
        assert [frame.time_s for frame in video.frames()] == pytest.approx([t / 1000 for t in times], abs=1e-3)


@pytest.mark.parametrize(("degrees", "hw", "corner"), [(90, (64, 48), (0, -1)), (180, (48, 64), (-1, -1)), (270, (64, 48), (-1, 0))])
def test_rotation_is_applied(tmp_path: Path, degrees: int, hw: tuple[int, int], corner: tuple[int, int]) -> None:
    picture = np.full((48, 64, 3), 30, np.uint8)
    picture[:16, :16] = 230  # the left top corner, before turning
    path = turned(write_video(tmp_path / "r.mp4", [picture] * 3), degrees)
    video = Video(path)
    (frame,) = video.at([1]).values()
    assert frame.image_hw == hw
    assert frame.image[corner].mean() > 200
    assert frame.image[0, 0].mean() < 60
    assert (video.facts.height, video.facts.width, video.facts.rotation, video.facts.mirrored) == (*hw, degrees, False)


@pytest.mark.parametrize("hw", [(49, 63), (17, 33)])
def test_odd_sizes_keep_their_last_row_and_column(tmp_path: Path, hw: tuple[int, int]) -> None:
    picture = np.full((*hw, 3), 40, np.uint8)
    picture[:, -5:], picture[-5:] = 220, 220
    path = write_video(tmp_path / "o.mkv", [picture] * 2, codec="ffv1", pix_fmt="yuv444p")
    (frame,) = Video(path).at([0]).values()
    assert frame.image_hw == hw
    assert frame.image[2, -1].mean() == pytest.approx(220, abs=4)
    assert frame.image[-1, 2].mean() == pytest.approx(220, abs=4)


def test_ten_bit(tmp_path: Path) -> None:
    path = write_video(tmp_path / "t.mkv", [ramp(i) for i in range(4)], codec="ffv1", pix_fmt="yuv420p10le")
    assert shades(path) == [0, 1, 2, 3]


def test_frames_at_indices(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "a.mp4", [ramp(i) for i in range(12)]))
    found = video.at([7, 2, 2, 99])
    assert {wanted: frame.index for wanted, frame in found.items()} == {2: 2, 7: 7, 99: 11}
    assert found[7].time_s == pytest.approx(0.7)
    assert video.at([]) == {}


def test_passes_do_not_disturb_each_other(tmp_path: Path) -> None:
    with Video(write_video(tmp_path / "a.mp4", [ramp(i) for i in range(12)])) as video:
        one, other = video.frames(), video.frames()
        pairs = [(next(one).index, next(other).index, video.at([i])[i].index) for i in range(12)]
    assert pairs == [(i, i, i) for i in range(12)]
    with pytest.raises(InputError, match=r"a\.mp4: was closed, expected a video that is open$"):
        next(video.frames())


def test_one_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [ramp(5)])
    assert shades(path) == [5]


def test_images_are_videos_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "i.png"), np.full((20, 30, 3), (0, 0, 255), np.uint8))
    source = open_source(tmp_path / "i.png")
    (frame,) = source.frames()
    assert frame.image[0, 0].tolist() == [255, 0, 0]  # RGB
    facts = source.facts
    assert (facts.width, facts.height, facts.frames_declared) == (30, 20, 1)
    assert (source.num_frames, source.complete) == (1, True)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_truncated_files_yield_what_is_left_and_say_so(tmp_path: Path, suffix: str, share: float) -> None:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(60)]
    codec = "mpeg4" if suffix == "avi" else "libx264"
    movable = {"movflags": "+faststart"} if suffix == "mp4" else {}
    path = write_video(tmp_path / f"a.{suffix}", noise, fps=2, codec=codec, container_options=movable)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with Video(path) as video:
        assert 0 < sum(1 for _ in video.frames()) < 60
    # A transport stream has no header that would tell how much there was.
    assert video.complete is False or (suffix == "ts" and video.complete == "unknown")


def test_garbage_in_the_middle_is_counted(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    noise = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(40)]
    path = write_video(tmp_path / "a.mkv", noise, codec="mpeg4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(random.integers(0, 255, 3000, np.uint8))
    path.write_bytes(bytes(data))
    with Video(path) as video:
        assert 20 <= sum(1 for _ in video.frames()) <= 40
        assert video.facts.decode_errors > 0
        assert video.complete is False


def test_no_index_is_one_clear_line(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [ramp(i) for i in range(20)])
    path.write_bytes(path.read_bytes()[:-1200])  # the index (moov) stands last
    with pytest.raises(InputError, match=r"a\.mp4: not a readable video: .* cut off before the end of its index"):
        open_source(path)


def test_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"sound\.mp4: holds no video stream"):
        open_source(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.jpg"])
@pytest.mark.parametrize("content", [b"", b"just text\n", b"\x00" * 5000])
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: ") as caught:
        open_source(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile real.mp4\n", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nreal.mp4\n#EXT-X-ENDLIST\n"]
)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ffconcat"])
def test_playlists_open_nothing(tmp_path: Path, text: str, name: str) -> None:
    write_video(tmp_path / "real.mp4", [ramp(i) for i in range(3)])
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="not a readable video"):
        open_source(tmp_path / name)


def test_only_local_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", tmp_path):
        with pytest.raises(InputError, match="not a regular file"):
            open_source(path)
    for path in (tmp_path / "none.mp4", Path("http://localhost/a.mp4"), Path("concat:a|b")):
        with pytest.raises(InputError, match="cannot be read"):
            open_source(path)


def test_too_many_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsing.media.containers.MAX_PIXELS", 1000)
    with pytest.raises(InputError, match="64 x 48 pixels"):
        open_source(write_video(tmp_path / "a.mp4", [ramp(0)]))


def test_nothing_reaches_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / "a.avi", [ramp(i) for i in range(20)], codec="mpeg4")
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 200] = b"\xa5" * 200
    path.write_bytes(bytes(data))
    list(Video(path).frames())
    assert capfd.readouterr() == ("", "")
