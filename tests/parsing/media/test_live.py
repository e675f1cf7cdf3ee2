"""Live sources against real senders on loopback."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builders import write_video
from senders import Stream, address, gstreamer_python, http_sender, ramps, rtsp_sender, send, tcp_sender

from parsing.errors import InputError
from parsing.media import connection
from parsing.media.addresses import live_address
from parsing.media.live import MOST_HELD, LiveClock, LiveSource, Pacer
from parsing.media.video import Video


@pytest.fixture
def rtsp_python() -> str:
    python = gstreamer_python()
    if python is None:
        pytest.skip("GStreamer's RTSP server is not here (Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly)")
    return python


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPEN_S", "READ_S", "FIRST_PICTURE_S"):
        monkeypatch.setattr(connection, name, 1.5)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("rtsp://user:secret@host:554/live?token=secret", "rtsp://host:554/live"),
        ("rtsp://user:sec@ret@host/live", "rtsp://host/live"),
        ("http://[::1]:80/x.m3u8#secret", "http://[::1]:80/x.m3u8"),
        ("http://host/@user/x.mp4", "http://host/@user/x.mp4"),
        ("RTMP://host/app/key", "rtmp://host/app/key"),
        ("-", "stdin"),
        ("/dev/video3", "/dev/video3"),
    ],
)
def test_names_have_no_secrets(typed: str, name: str) -> None:
    found = address(typed)
    assert (found.name, str(found)) == (name, name)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "typed", ["rtsp://user:sec/ret@host/live", "rtsp://user:sec?ret@host/", "rtsp://user:sec#ret@host", "rtsp://a b:ret/"]
)
def test_addresses_with_an_unclear_password_are_refused_without_it(typed: str) -> None:
    with pytest.raises(InputError, match=r"^rtsp://…: expected .*%40") as refused:
        live_address(typed)
    assert "ret" not in str(refused.value)


@pytest.mark.parametrize("typed", ["file:///etc/passwd", "concat://a", "gopher://h/", "s3://bucket/x.mp4"])
def test_other_schemes_are_refused(typed: str) -> None:
    with pytest.raises(InputError, match="expected an address of rtsp"):
        live_address(typed)


@pytest.mark.parametrize("typed", ["a.mp4", "clips/*.mkv", "/dev/null", "camera", "rtsp:/x"])
def test_files_are_no_addresses(typed: str) -> None:
    assert live_address(typed) is None


@pytest.mark.parametrize("typed", ["camera:9999", "tcp://127.0.0.1:1", "rtsp://u:secret@127.0.0.1:1/a", "rtmp://127.0.0.1:1/a"])
def test_a_source_that_does_not_exist(typed: str) -> None:
    with pytest.raises(InputError, match="cannot be opened") as refused:
        LiveSource(address(typed))
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_stream_that_changes_size_is_lost_and_found() -> None:
    with tcp_sender(Stream(ramps(20)), Stream(ramps(10, (96, 80)))) as url:
        source = LiveSource(address(url), drops=False, reconnect_s=1.0)
        frames = list(source.frames())
    facts = source.facts
    assert [frame.index for frame in frames] == [*range(30)]
    assert {frame.image_hw for frame in frames} == {(48, 64)}
    assert np.allclose(np.diff([frame.time_s for frame in frames[:20]]), 1 / 30, atol=0.002)
    assert frames[20].time_s > frames[19].time_s
    assert (facts.frames_decoded, facts.frames_dropped, facts.reconnects) == (30, 0, 1)
    assert source.complete is False
    assert source.failure == f"{url}: cannot be opened (Connection refused); 30 frames had come"


def test_frames_that_nobody_takes_are_dropped_and_counted() -> None:
    with tcp_sender(Stream(ramps(60))) as url:
        source = LiveSource(address(url), reconnect_s=0.0)
        seen = []
        for frame in source.frames():
            seen.append(frame.index)
            assert source.age_s(frame.index) >= 0
            time.sleep(0.3)
    facts = source.facts
    assert facts.frames_decoded == 60
    assert facts.frames_dropped == 60 - len(seen) > 20
    assert seen == sorted(set(seen))
    assert len(source._held) <= MOST_HELD


def test_a_stream_without_key_frames(short_limits: None) -> None:  # noqa: ARG001
    with (
        tcp_sender(Stream(ramps(300), keys=False)) as url,
        pytest.raises(InputError, match=r"tcp://.*: (no picture in 2 s, of \d+ packets: no key frame came|no video)"),
    ):
        LiveSource(address(url))


def test_silence_is_told(short_limits: None) -> None:  # noqa: ARG001
    with tcp_sender(Stream([], holds=True)) as url, pytest.raises(InputError, match=r"cannot be opened \(no answer\)"):
        LiveSource(address(url))


def test_a_stream_that_stops(short_limits: None) -> None:  # noqa: ARG001
    with tcp_sender(Stream(ramps(40), holds=True)) as url:
        source = LiveSource(address(url), drops=False, reconnect_s=0.0)
        frames = list(source.frames())
    assert len(frames) >= 39  # a muxer may hold the last one back
    assert source.failure is not None
    assert "no answer" in source.failure


def test_stop_ends_at_once() -> None:
    with tcp_sender(Stream(ramps(3000))) as url:
        source = LiveSource(address(url))
        for _ in source.frames():
            source.stop()
        source.close()
    assert source.failure is None
    assert source.facts.frames_decoded < 3000


def test_an_end_that_was_asked_for() -> None:
    with tcp_sender(Stream(ramps(3000))) as url:
        source = LiveSource(address(url), most_s=0.5)
        frames = list(source.frames())
        source.close()
    assert frames[-1].time_s < 0.5
    assert source.failure is None


def test_an_end_that_comes_while_the_source_is_lost() -> None:
    with tcp_sender(Stream(ramps(10))) as url:
        source = LiveSource(address(url), reconnect_s=60.0, most_s=1.0)
        began_s = time.monotonic()
        assert 0 < len(list(source.frames())) <= 10
        source.close()
    assert not source._thread.is_alive()
    assert time.monotonic() - began_s < 30  # 60 s would be the failure
    assert (source.failure, source.complete) == (None, "unknown")


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The writing end of a pipe that is the standard input."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        yield writing


def test_a_pipe_ends_with_its_sender(piped: int) -> None:
    def work() -> None:
        with os.fdopen(piped, "wb") as pipe:
            send(Stream(ramps(40), paced=False), pipe.write)

    sender = threading.Thread(target=work)
    sender.start()
    source = LiveSource(address("-"), drops=False)
    frames = list(source.frames())
    sender.join()
    assert [frame.index for frame in frames] == [*range(40)]
    assert (source.failure, source.complete, source.facts.name) == (None, "unknown", "stdin")


def test_an_end_that_comes_while_a_pipe_is_silent(piped: int) -> None:
    send(Stream(ramps(90), paced=False), lambda data: os.write(piped, data))  # more than is looked at before the first picture
    source = LiveSource(address("-"), drops=False, most_s=3.5)
    frames = list(source.frames())  # the pipe is still open
    source.close()
    os.close(piped)
    assert 60 < len(frames) <= 90
    assert source.failure is None


def test_an_end_that_was_asked_for_is_one_of_the_stream(piped: int) -> None:
    """Where nothing is dropped, networks that are slow do not end it sooner."""
    writer = threading.Thread(target=lambda: send(Stream(ramps(90), paced=False), lambda data: os.write(piped, data)))
    writer.start()
    source = LiveSource(address("-"), drops=False, most_s=1.0)
    frames = []
    for frame in source.frames():
        frames.append(frame)
        time.sleep(0.05)
    source.close()
    writer.join(10)
    os.close(piped)
    assert len(frames) == 30


@pytest.mark.parametrize("text", [b"", b"no video at all" * 100])
def test_a_pipe_without_video(piped: int, text: bytes) -> None:
    os.write(piped, text)
    os.close(piped)
    with pytest.raises(InputError, match=r"stdin: cannot be opened"):
        LiveSource(address("-"))


def test_a_recording_by_http_plays_to_its_end(tmp_path: Path) -> None:
    write_video(tmp_path / "c.mp4", ramps(12), fps=30)
    with http_sender(tmp_path) as url:
        source = LiveSource(address(f"{url}/c.mp4"), drops=False)
        assert len(list(source.frames())) == 12
    assert source.failure is None


def test_a_playlist_by_http(tmp_path: Path) -> None:
    write_video(tmp_path / "s.ts", ramps(12), fps=30)
    (tmp_path / "p.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\ns.ts\n#EXT-X-ENDLIST\n")
    with http_sender(tmp_path) as url:
        source = LiveSource(address(f"{url}/p.m3u8"), drops=False)
        assert len(list(source.frames())) == 12


def test_nothing_from_the_network_leads_to_files(tmp_path: Path) -> None:
    video = write_video(tmp_path / "s.ts", ramps(12), fps=30)
    (tmp_path / "p.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\nfile://{video}\n#EXT-X-ENDLIST\n")
    with http_sender(tmp_path) as url:
        for path in ("p.m3u8", "moved.mp4"):
            with pytest.raises(InputError, match=f"{path}: "):
                LiveSource(address(f"{url}/{path}"))


def test_files_lead_to_no_network(tmp_path: Path) -> None:
    write_video(tmp_path / "s.ts", ramps(12), fps=30)
    with http_sender(tmp_path) as url:
        playlist = tmp_path / "p.mp4"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\n{url}/s.ts\n#EXT-X-ENDLIST\n")
        with pytest.raises(InputError, match="not a readable video"):
            Video(playlist)


def test_a_wrong_password_by_http(tmp_path: Path) -> None:
    with http_sender(tmp_path) as url, pytest.raises(InputError, match="user name or password is wrong or missing") as refused:
        LiveSource(address(url.replace("//", "//me:geheim@") + "/secret.mp4"))
    assert "geheim" not in str(refused.value)


def test_rtsp_lost_and_found(rtsp_python: str) -> None:
    with rtsp_sender(rtsp_python, password="geheim") as (place, port):
        with pytest.raises(InputError, match="user name or password is wrong or missing") as refused:
            LiveSource(address(f"rtsp://viewer:falsch@{place}/live"))
        assert "falsch" not in str(refused.value)
        source = LiveSource(address(f"rtsp://viewer:geheim@{place}/live"), reconnect_s=60.0)
        frames = source.frames()
        assert next(frames).image_hw == (120, 160)
    with rtsp_sender(rtsp_python, port, "geheim"):
        while not source.facts.reconnects:
            next(frames)
        source.stop()
    source.close()
    assert source.facts.name == f"rtsp://{place}/live"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([(5.0, 0.0), (5.1, 0.1), (5.2, 0.3)], [0.0, 0.1, 0.2]),  # its own times count
        ([(None, 0.0), (None, 0.5)], [0.0, 0.5]),  # it has none
        ([(5.0, 0.0), (5.0, 0.1), (4.9, 0.2)], [0.0, 0.001, 0.002]),  # they stand still, or go back
        ([(0.0, 0.0), (9000.0, 0.1), (9000.1, 0.2)], [0.0, 0.1, 0.2]),  # they jump
    ],
)
def test_times(times: list[tuple[float | None, float]], expected: list[float]) -> None:
    clock = LiveClock(follows_arrival=True)
    assert [clock.read(media_s, 100 + now_s) for media_s, now_s in times] == pytest.approx(expected)


def test_recordings_wait_for_their_time() -> None:
    pacer = Pacer(opened_s=100.0)
    waits = [pacer.wait_s(media_s, now_s) for media_s, now_s in ((7.0, 100.5), (8.0, 100.5), (8.0, 103.0), (99.0, 103.0), (99.5, 103.1))]
    assert waits == pytest.approx([0.0, 0.5, 0.0, 0.0, 0.4])
