"""Videos and images as cameras, recorders and broken disks leave them: which frames are shown, and whether that is all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from builders import ramp, write_video

from parsing.errors import InputError
from parsing.media.images import image_size, read_image
from parsing.media.sources import open_source
from parsing.media.suffixes import VIDEO_SUFFIXES
from parsing.media.video import Video
from parsing.types import Array, Completeness
from pipelines.parse.sources import files_of


def noise(count: int, hw: tuple[int, int] = (96, 128)) -> list[Array]:
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (*hw, 3), np.uint8) for _ in range(count)]


def shades(video: Video) -> list[int]:
    """Which picture of the ramp each decoded frame shows."""
    return [round((float(frame.image.mean()) - 10) / 8) for frame in video.frames()]


def with_sound(path: Path, pictures: list[Array], seconds: float, codec: str = "libx264", sound: str = "aac", start_s: float = 0.0) -> Path:
    """A video at 10 frames a second with sound of its own length."""
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream(codec, rate=10), container.add_stream(sound, rate=44100)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt, audio.layout = "yuv420p", "mono"
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i + round(start_s * 10), Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        step = audio.codec_context.frame_size or 1024
        kind, dtype = ("fltp", np.float32) if sound == "aac" else ("s16", np.int16)
        for i in range(int(seconds * 44100 / step)):
            wave = av.AudioFrame.from_ndarray(np.zeros((1, step), dtype), kind, "mono")
            wave.rate, wave.time_base, wave.pts = 44100, Fraction(1, 44100), i * step + round(start_s * 44100)
            container.mux(audio.encode(wave))
        container.mux(audio.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
# Container, share that is left -> what `complete` may say. Never `true`.
CUT: list[tuple[str, dict[str, str], str, float, set[Completeness]]] = [
    ("mp4", FRAGMENTED, "libx264", 0.2, {False}),
    ("mp4", FRAGMENTED, "libx264", 0.55, {False}),
    ("mp4", FRAGMENTED, "libx264", 0.97, {False}),
    ("mp4", {"movflags": "+faststart"}, "libx264", 0.97, {False}),
    ("ts", {}, "libx264", 0.6, {False, "unknown"}),
    ("ts", {}, "libx264", 0.8, {False, "unknown"}),
    ("mpg", {}, "mpeg2video", 0.9, {False, "unknown"}),
    ("mkv", {}, "libx264", 0.97, {False}),
    ("webm", {}, "libvpx", 0.97, {False}),
    ("flv", {}, "flv", 0.97, {False}),
    ("avi", {}, "mpeg4", 0.97, {False}),
]


@pytest.mark.parametrize(("suffix", "options", "codec", "share", "may_say"), CUT, ids=lambda value: str(value)[:30])
def test_a_cut_file_is_never_called_complete(
    tmp_path: Path, suffix: str, options: dict[str, str], codec: str, share: float, may_say: set[Completeness]
) -> None:
    gop = {"g": "5"} if codec == "libx264" else {}
    path = write_video(tmp_path / f"a.{suffix}", noise(60), fps=25, codec=codec, options=gop, container_options=options)
    with Video(cut(path, share)) as video:
        count = sum(1 for _ in video.frames())
    assert 0 < count < 60
    assert video.complete in may_say
    assert video.complete is not True


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "flv", "mpg", "ts", "gif"])
def test_a_whole_file_is_never_called_damaged(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": "libvpx", "avi": "mpeg4", "flv": "flv", "mpg": "mpeg2video", "gif": "gif"}.get(suffix, "libx264")
    pix_fmt = "rgb8" if suffix == "gif" else "yuv420p"
    with Video(write_video(tmp_path / f"a.{suffix}", noise(50), fps=25, codec=codec, pix_fmt=pix_fmt)) as video:
        assert sum(1 for _ in video.frames()) == 50
    assert video.complete is not False
    assert video.facts.decode_errors == 0
    assert video.facts.duration_s == pytest.approx(2.0, abs=0.1)


def test_a_cluster_that_is_passed_over_is_missed(tmp_path: Path) -> None:
    """FFmpeg looks for the next cluster behind one whose header is damaged, and says nothing; the duration tells."""
    path = write_video(tmp_path / "a.webm", noise(60), 25, codec="libvpx", container_options={"cluster_time_limit": "400"})
    data = bytearray(path.read_bytes())
    last = data.rindex(b"\x1f\x43\xb6\x75")
    data[last : last + 4] = bytes(4)
    path.write_bytes(bytes(data))
    with Video(path) as video:
        assert 30 < sum(1 for _ in video.frames()) < 60
    assert video.complete is False


def test_sound_that_is_longer_than_the_video(tmp_path: Path) -> None:
    with Video(with_sound(tmp_path / "a.mkv", [ramp(i) for i in range(20)], 10)) as video:
        assert shades(video) == list(range(20))
    assert video.complete is True
    assert video.facts.frames_decoded == 20


def test_a_recording_that_starts_late(tmp_path: Path) -> None:
    with Video(with_sound(tmp_path / "a.mkv", [ramp(i) for i in range(20)], 2, start_s=90_000)) as video:
        frames = list(video.frames())
    assert video.complete is True
    assert (len(frames), frames[0].time_s, video.facts.frames_declared) == (20, 0.0, None)
    assert frames[-1].time_s == pytest.approx(1.9, abs=0.01)
    assert video.facts.duration_s == pytest.approx(2.0, abs=0.15)


def test_dropped_frames_of_an_avi_are_no_damage(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for i in (0, 1, 2, 5, 6):  # the muxer writes empty chunks for 3 and 4
            frame = av.VideoFrame.from_ndarray(ramp(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with Video(tmp_path / "a.avi") as video:
        assert shades(video) == [0, 1, 2, 5, 6]
    assert (video.complete, video.num_frames) == (True, 5)


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path: Path) -> None:
    options = {"bf": "0", "g": "50"}
    path = write_video(tmp_path / "a.mp4", [ramp(i % 20) for i in range(50)], options=options)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    # One edit: its duration in units of the movie, and where in the media it starts: at the tenth of 50 frames.
    _, count, length, _, rate = struct.unpack(">IIIiI", data[at : at + 20])
    unit = struct.unpack(">I", data[(m := data.index(b"mdhd")) + 16 : m + 20])[0]
    assert count == 1
    data[at : at + 20] = struct.pack(">IIIiI", 0, 1, length * 4 // 5, unit, rate)
    path.write_bytes(bytes(data))
    with Video(path) as video:
        assert shades(video) == [i % 20 for i in range(10, 50)]
    assert (video.num_frames, video.facts.frames_declared, video.complete) == (40, 40, True)


@pytest.mark.parametrize("damage", ["cut", "zeroed"])
def test_a_damaged_file_gives_the_same_frames_each_time(tmp_path: Path, damage: str) -> None:
    pictures, options = noise(60, (240, 320)), {"g": "10", "threads": "4"}
    container_options = FRAGMENTED if damage == "cut" else {}
    path = write_video(tmp_path / "a.mp4", pictures, 25, options=options, container_options=container_options)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[len(data) // 5 :]
    else:
        data[len(data) * 40 // 100 : len(data) * 46 // 100] = bytes(len(data) * 46 // 100 - len(data) * 40 // 100)
    path.write_bytes(bytes(data))
    seen = []
    for _ in range(2):
        with Video(path) as video:
            seen.append([(frame.index, frame.image.tobytes()) for frame in video.frames()])
    assert seen[0] == seen[1]
    assert video.complete is False
    assert len(seen[0]) > (5 if damage == "cut" else 40)


def test_many_errors_in_a_row_do_not_end_a_video_that_goes_on(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", [ramp(i % 20) for i in range(1300)], 25, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    places = [i for i in range(len(data) - 4) if data[i : i + 4] == b"00dc"][20:1230]
    for place in places:
        length = struct.unpack("<I", data[place + 4 : place + 8])[0]
        data[place + 8 : place + 8 + length] = bytes(length)
    path.write_bytes(bytes(data))
    with Video(path) as video:
        assert sum(1 for _ in video.frames()) >= 80
        assert len(video.at([0, 600, 1299])) == 3
    assert video.facts.decode_errors >= 1200
    assert video.complete is False


def latin1_title(path: Path) -> Path:
    data = path.read_bytes()
    assert data.count(b"Cafe") >= 1
    path.write_bytes(data.replace(b"Cafe", b"Caf\xe9"))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv"])
def test_titles_may_be_in_any_encoding(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Cafe"
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for i in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp(i), format="rgb24")))
        container.mux(stream.encode(None))
    with Video(latin1_title(path)) as video:
        assert shades(video) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["A.MTS", "b.m2ts", "c.3gp", "d.ts", "e.mpeg", "f.wmv", "g.y4m"])
def test_folders_of_everyday_cameras(tmp_path: Path, name: str) -> None:
    assert Path(name).suffix.lower() in VIDEO_SUFFIXES
    (tmp_path / name).touch()
    assert files_of(str(tmp_path)) == [tmp_path / name]


def test_uncompressed_video_opens(tmp_path: Path) -> None:
    planes = b"".join(b"FRAME\n" + bytes([60 + 20 * i]) * 48 * 64 + bytes([128]) * (48 * 64 // 2) for i in range(3))
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W64 H48 F10:1 Ip A1:1 C420jpeg\n" + planes)
    with Video(tmp_path / "a.y4m") as video:
        means = [float(frame.image.mean()) for frame in video.frames()]
    assert len(means) == 3
    assert means == sorted(means)


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix into the track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    for i, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + i : at + i + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("matrix", "bright", "hw"),
    [
        ((-1, 0, 0, 1), (0, -1), (48, 64)),  # a mirror: the left top corner is shown at the right
        ((1, 0, 0, -1), (-1, 0), (48, 64)),
        ((0, 1, 1, 0), (0, 0), (64, 48)),  # x and y change places
    ],
)
def test_mirrored_videos_are_mirrored(
    tmp_path: Path, matrix: tuple[int, int, int, int], bright: tuple[int, int], hw: tuple[int, int]
) -> None:
    picture = np.full((48, 64, 3), 30, np.uint8)
    picture[:16, :16] = 230
    with Video(with_matrix(write_video(tmp_path / "a.mp4", [picture] * 2), matrix)) as video:
        (frame,) = video.at([0]).values()
    assert frame.image_hw == hw
    assert frame.image[bright].mean() > 200
    assert video.facts.mirrored


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    cover = cv2.imencode(".jpg", np.full((200, 200, 3), 255, np.uint8))[1].tobytes()
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        art, stream = container.add_stream("mjpeg", rate=1), container.add_stream("libx264", rate=10)
        art.height, art.width, art.pix_fmt = 200, 200, "yuvj420p"
        art.disposition = av.stream.Disposition.attached_pic
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts, packet.time_base = art, 0, 0, Fraction(1, 1)
        container.mux(packet)
        for i in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp(i), format="rgb24")))
        container.mux(stream.encode(None))
    with Video(path) as video:
        assert shades(video) == [0, 1, 2, 3]
        assert (video.facts.width, video.facts.height) == (64, 48)


def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 144, 180, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        for i in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp(i, (144, 180)), format="rgb24")))
        container.mux(stream.encode(None))
    with Video(path) as video:
        (frame,) = video.at([0]).values()
    assert frame.image_hw == (144, 256)
    assert video.facts.pixel_aspect == pytest.approx(64 / 45)


@pytest.mark.parametrize(("transfer", "name", "white"), [(16, "pq", 0.58), (18, "hlg", 0.75)])
def test_high_dynamic_range_is_not_dark(tmp_path: Path, transfer: int, name: str, white: float) -> None:
    """Diffuse white, 203 cd/m², is 58 % of PQ's range and 75 % of HLG's (ITU-R BT.2408); SDR players show it bright."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        codes = (round(64 + 876 * white), 512, 512)
        for plane, code in zip(frame.planes, codes, strict=True):
            plane.update(np.full(plane.buffer_size // 2, code, np.uint16).tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with Video(path) as video:
        (shown,) = video.at([0]).values()
    assert video.facts.hdr == name
    assert 190 < float(shown.image.mean()) <= 255
    assert float(np.ptp(shown.image.reshape(-1, 3).mean(0))) < 4  # grey stays grey


@pytest.mark.parametrize(("suffix", "codec", "pix_fmt"), [("h264", "libx264", "yuv420p"), ("mjpeg", "mjpeg", "yuvj420p")])
def test_streams_without_a_header_are_measured(tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
    with Video(write_video(tmp_path / f"a.{suffix}", noise(50), fps=25, codec=codec, pix_fmt=pix_fmt)) as video:
        assert sum(1 for _ in video.frames()) == 50
    assert video.facts.duration_s == pytest.approx(2.0, abs=0.05)
    assert video.facts.fps == pytest.approx(25)


def huge_jpeg(path: Path) -> Path:
    """A small JPEG whose header claims 32,000 x 32,000 pixels."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 32_000, 32_000)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("read", [image_size, read_image, open_source])
def test_the_size_of_an_image_is_bounded_before_it_is_decoded(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(InputError, match=r"huge\.jpg: an image of 32000 x 32000 px; at most"):
        read(huge_jpeg(tmp_path / "huge.jpg"))


def test_a_stream_that_appears_late(tmp_path: Path) -> None:
    """Tags of sound in an FLV whose header and first seconds have none: FFmpeg adds a stream while packets are read."""
    silent = write_video(tmp_path / "v.flv", noise(80, (48, 64)), fps=10, codec="flv")
    loud = with_sound(tmp_path / "s.flv", [ramp(i % 20) for i in range(80)], 8, codec="flv", sound="pcm_s16le")
    tags = flv_tags(silent.read_bytes())
    sound = [tag for tag in flv_tags(loud.read_bytes()) if tag[0] == 8]
    joined = tags[:-20] + sound[-30:] + tags[-20:]
    header = silent.read_bytes()[:4] + b"\x01" + silent.read_bytes()[5:13]  # of a file without sound
    (tmp_path / "a.flv").write_bytes(header + b"".join(tag + struct.pack(">I", len(tag)) for tag in joined))
    with Video(tmp_path / "a.flv") as video:
        assert sum(1 for _ in video.frames()) == 80


def flv_tags(data: bytes) -> list[bytes]:
    """The tags behind the header, without the sizes between them."""
    tags, at = [], 13
    while at + 11 <= len(data):
        length = 11 + int.from_bytes(data[at + 1 : at + 4], "big")
        tags.append(data[at : at + length])
        at += length + 4
    return tags


def plain_loop(path: Path) -> int:
    """Frames that the shortest loop over packets gives in one thread."""
    count = 0
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                count += len(packet.decode())
            except av.error.FFmpegError:
                continue
    return count


def zeroed(path: Path, start: float, end: float) -> Path:
    data = bytearray(path.read_bytes())
    begin, stop = int(len(data) * start), int(len(data) * end)
    data[begin:stop] = bytes(stop - begin)
    path.write_bytes(bytes(data))
    return path


def test_no_fewer_frames_than_a_plain_loop(tmp_path: Path) -> None:
    """Threads lose pictures of damaged files, and how many depends on the machine."""
    options = {"g": "10"}
    for path in (
        cut(write_video(tmp_path / "a.mp4", noise(50), 25, options=options, container_options=FRAGMENTED), 0.2),
        zeroed(write_video(tmp_path / "b.mp4", noise(50), 25, options=options), 0.05, 0.9),
        zeroed(write_video(tmp_path / "c.mkv", noise(50), 25, options=options), 0.4, 0.46),
        zeroed(write_video(tmp_path / "d.mpg", noise(50), 25, codec="mpeg2video"), 0.3, 0.45),
    ):
        with Video(path) as video:
            assert sum(1 for _ in video.frames()) == plain_loop(path) > 0
        assert video.complete is False


def test_what_cannot_be_decoded_is_replaced_by_the_last_frame_that_can(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise(50), 25, codec="mpeg4")
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.rindex(b"moov")
    keep = (end - start) // 10
    data[start + keep : end] = bytes(end - start - keep)
    path.write_bytes(bytes(data))
    with Video(path) as video:
        found = video.at([30, 49])
    assert set(found) == {30, 49}
    assert found[30].index == found[49].index < 10


def test_dv_has_a_rate(tmp_path: Path) -> None:
    with Video(write_video(tmp_path / "a.dv", noise(5, (576, 720)), 25, codec="dvvideo")) as video:
        assert sum(1 for _ in video.frames()) == 5
    assert (video.facts.fps, video.facts.width, video.facts.height) == (25, 768, 576)
    assert video.facts.duration_s == pytest.approx(0.2)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_the_size_of_a_png_is_bounded_too(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 31_999, 31_999, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(InputError, match=r"an image of 31999 x 31999 px; at most 32000 px a side and 200 million pixels"):
        open_source(tmp_path / "a.png")


def test_nothing_reaches_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Damaged images and videos, and colour profiles that libpng complains of."""
    cv2.imwrite(str(tmp_path / "a.png"), noise(1)[0])
    png = (tmp_path / "a.png").read_bytes()
    (tmp_path / "profile.png").write_bytes(png[:33] + png_chunk(b"iCCP", b"bad\0\0" + zlib.compress(b"no profile")) + png[33:])
    assert read_image(tmp_path / "profile.png").shape == (96, 128, 3)
    (tmp_path / "cut.png").write_bytes(png[: len(png) // 2])
    cv2.imwrite(str(tmp_path / "a.jpg"), noise(1)[0])
    cut(tmp_path / "a.jpg", 0.5)
    for name in ("cut.png", "a.jpg"):
        with pytest.raises(InputError, match=f"{name}: the image is cut off"):
            open_source(tmp_path / name)
    with Video(zeroed(write_video(tmp_path / "a.mkv", noise(20), codec="mpeg4"), 0.4, 0.5)) as video:
        assert sum(1 for _ in video.frames()) > 0
    assert capfd.readouterr() == ("", "")
