"""Protocols and devices of live sources: RTMP, HLS, web cameras, screens."""

from __future__ import annotations

import errno
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import pytest
from builders import write_video
from rtmp_sender import rtmp_sender
from senders import Stream, address, hls_sender, http_sender, ramps

from parsing.errors import InputError
from parsing.media import connection, playlists
from parsing.media.addresses import live_address
from parsing.media.live import LiveSource


def test_rtmp_lost_and_found() -> None:
    with rtmp_sender(Stream(ramps(20), paced=False), Stream(ramps(10), paced=False)) as url:
        source = LiveSource(address(url.replace("//", "//me:geheim@")), drops=False, reconnect_s=1.0)
        frames = list(source.frames())
    assert [frame.index for frame in frames] == [*range(30)]
    assert np.allclose(np.diff([frame.time_s for frame in frames[:20]]), 1 / 30, atol=0.002)
    assert (source.facts.reconnects, source.complete) == (1, False)
    assert source.failure == f"{url}: cannot be opened (Connection refused); 30 frames had come"


def test_rtmp_without_such_a_stream() -> None:
    with rtmp_sender(Stream([])) as url, pytest.raises(InputError) as refused:
        LiveSource(address(url.replace("//", "//me:geheim@")))
    assert str(refused.value) == f"{url}: cannot be opened (the server refuses)"


def test_rtmp_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_S", 0.7)
    with rtmp_sender(Stream(ramps(90), paced=False, holds=True)) as url:
        source = LiveSource(address(url), drops=False, reconnect_s=0)
        assert len(list(source.frames())) == 90
    assert source.failure == f"{url}: no answer; 90 frames had come"


@pytest.mark.parametrize("scheme", ["srt", "rist"])
def test_what_this_ffmpeg_lacks_is_refused(scheme: str) -> None:
    with pytest.raises(InputError, match=rf"^{scheme}://host:9: expected an address of rtsp, .*; other streams are read from a pipe"):
        live_address(f"{scheme}://me:geheim@host:9?passphrase=geheim")


def test_a_playlist_that_slides_on(tmp_path: Path) -> None:
    with hls_sender(tmp_path, Stream(ramps(75))) as url:
        source = LiveSource(address(url), drops=False)
        frames = list(source.frames())
        assert not (tmp_path / "live0.ts").exists()
    assert 30 <= len(frames) <= 75
    assert np.allclose(np.diff([frame.time_s for frame in frames]), 1 / 30, atol=0.002)
    assert (source.facts.reconnects, source.failure) == (0, None)


def listed(*segments: str, tags: str = "", end: str = "#EXT-X-ENDLIST\n") -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{tags}" + "".join(f"#EXTINF:0.4,\n{name}\n" for name in segments) + end


def test_a_playlist_that_stays_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playlists, "STALE_S", (0.1, 0.1))
    write_video(tmp_path / "s.ts", ramps(75), fps=30)  # more than is looked at before the first picture
    (tmp_path / "p.m3u8").write_text(listed("s.ts", end=""))
    with http_sender(tmp_path) as url:
        source = LiveSource(address(f"{url}/p.m3u8"), drops=False, reconnect_s=1.0)
        assert 60 < len(list(source.frames())) <= 75  # the last ones are lost where no end is told
    assert source.failure is not None
    assert "p.m3u8: nothing new in the playlist for" in source.failure


@pytest.mark.parametrize("stalls", [False, True])
def test_a_playlist_that_breaks_off_is_lost_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stalls: bool) -> None:
    monkeypatch.setattr(playlists, "READ_S", 0.5)
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.ts", ramps(30), fps=30)
    (tmp_path / "p.m3u8").write_text(listed("a.ts", end=""))
    asked: list[str] = []

    def breaks_off(path: str) -> bool | None:
        asked.append(path)
        if asked.count("/p.m3u8") != 4:  # the first two begin the connection
            return None
        (tmp_path / "p.m3u8").write_text(listed("b.ts"))
        return stalls

    with http_sender(tmp_path, breaks_off=breaks_off) as url:
        source = LiveSource(address(f"{url}/p.m3u8"), drops=False, reconnect_s=60.0)
        assert len(list(source.frames())) > 40
    assert (source.facts.reconnects, source.failure) == (1, None)


@pytest.mark.parametrize("typed", ["http://a..b/x.m3u8", f"http://{'a' * 64}.b/x.m3u8", "http://[::::]/x.m3u8", "http://h:99999/x.m3u8"])
def test_a_playlist_at_no_address(typed: str) -> None:
    with pytest.raises(InputError) as refused:
        LiveSource(address(typed.replace("//", "//me:geheim@")))
    assert str(refused.value) == f"{typed}: no address, or it leads to none"


def test_a_redirect_to_no_address(tmp_path: Path) -> None:
    with (
        http_sender(tmp_path, moved="http://[::::]/x.m3u8") as url,
        pytest.raises(InputError, match=r"moved\.m3u8: no address, or it leads to"),
    ):
        LiveSource(address(f"{url}/moved.m3u8"))


def test_a_password_of_any_letters(tmp_path: Path) -> None:
    write_video(tmp_path / "s.ts", ramps(12), fps=30)
    (tmp_path / "p.m3u8").write_text(listed("s.ts"))
    with http_sender(tmp_path) as url:
        source = LiveSource(address(url.replace("//", "//me:%E2%82%AC@") + "/p.m3u8"), drops=False)
        assert len(list(source.frames())) == 12


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The place of a server that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def read_to_its_failure(url: str) -> None:
    """Raises InputError: where the source cannot be opened, or after its last frame."""
    source = LiveSource(address(url), drops=False, reconnect_s=0)
    assert len(list(source.frames())) <= 12
    raise InputError(str(source.failure))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (listed("http://OTHER/s.ts"), "leads to http://OTHER; a playlist leads to the host that was typed alone"),
        (listed("s.ts", "//OTHER/s.ts"), "leads to http://OTHER"),
        (listed("http://OTHER/s.ts", end=""), "leads to http://OTHER"),
        (listed("http://user:pw@localhost/s.ts"), "leads to http://localhost;"),
        (listed("s.ts", tags='#EXT-X-MAP:URI="http://OTHER/init.mp4"\n'), "leads to http://OTHER"),
        (listed("s.ts", tags='#EXT-X-KEY:METHOD=AES-128,URI="http://OTHER/key"\n'), "leads to http://OTHER"),
        (listed("s.ts", tags='#EXT-X-KEY:METHOD=AES-128,URI="s.ts"\n'), "its segments are encrypted"),
        (listed("file://FOLDER/s.ts"), "leads to file://"),
        (listed("moved.ts"), "leads to file://"),
        (listed("http://h:999999/s.ts"), "leads to "),
        (listed("concat:FOLDER/s.ts"), "no video that can be read"),
        (listed("subfile,,start,0,end,0,,:FOLDER/s.ts"), "no video that can be read"),
        (listed("tcp://OTHER/s.ts"), "no video that can be read"),
        (listed("data:video/mp2t;base64,AAAA"), "no video that can be read"),
        (listed("gone.ts"), "no video that can be read"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://OTHER/p.m3u8\n", "leads to http://OTHER"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\np.m3u8\n", "a playlist of playlists of playlists"),
        ("#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\nq.m3u8?{}\n" * 40, "of more than 32"),
        ("", "no video that can be read"),
    ],
)
def test_a_playlist_leads_nowhere_else(text: str, message: str, tmp_path: Path, elsewhere: str, capfd: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "s.ts", ramps(12), fps=30)
    (tmp_path / "q.m3u8").write_text(listed("s.ts"))
    parts = text.replace("OTHER", elsewhere).replace("FOLDER", str(tmp_path)).split("{}")
    (tmp_path / "p.m3u8").write_text("".join(f"{part}{i}" for i, part in enumerate(parts[:-1])) + parts[-1])
    with http_sender(tmp_path) as url, pytest.raises(InputError, match=message.replace("OTHER", elsewhere)) as refused:
        read_to_its_failure(url.replace("//", "//me:geheim@") + "/p.m3u8")
    assert "geheim" not in str(refused.value)
    assert capfd.readouterr().err == ""


def test_a_playlist_by_another_name_is_none(tmp_path: Path, elsewhere: str) -> None:
    (tmp_path / "p.mp4").write_text(listed(f"http://{elsewhere}/s.ts"))
    with http_sender(tmp_path) as url, pytest.raises(InputError, match=r"p\.mp4: cannot be opened"):
        LiveSource(address(f"{url}/p.mp4"))


def test_a_playlist_of_several_qualities_is_read_in_the_best(tmp_path: Path) -> None:
    for name, hw in (("small", (24, 32)), ("large", (48, 64))):
        write_video(tmp_path / f"{name}.ts", ramps(12, hw), fps=30)
        (tmp_path / f"{name}.m3u8").write_text(listed(f"{name}.ts"))
    (tmp_path / "p.m3u8").write_text("#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{n}.m3u8\n" for n in ("small", "large")))
    with http_sender(tmp_path) as url:
        source = LiveSource(address(f"{url}/p.m3u8"), drops=False)
        assert [frame.image_hw for frame in source.frames()] == [(48, 64)] * 12
    assert source.failure is None


def test_a_playlist_that_wants_a_password(tmp_path: Path) -> None:
    with http_sender(tmp_path) as url, pytest.raises(InputError, match=r"secret\.m3u8: user name or password is wrong") as refused:
        LiveSource(address(url.replace("//", "//me:geheim@") + "/secret.m3u8?token=geheim"))
    assert "geheim" not in str(refused.value)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A key and a certificate of 127.0.0.1 that signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    both, names = tmp_path / "both.pem", ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, "-keyout", both, "-out", both], check=True, capture_output=True)
    return both


@pytest.mark.parametrize("name", ["s.ts", "p.m3u8"])
def test_https_goes_to_whom_one_trusts(name: str, tmp_path: Path, identity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "s.ts", ramps(12), fps=30)
    (tmp_path / "p.m3u8").write_text(listed("s.ts"))
    with http_sender(tmp_path, identity) as url:
        with pytest.raises(InputError, match="certificate is not trusted"):
            LiveSource(address(f"{url}/{name}"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(identity))
        assert len(list(LiveSource(address(f"{url}/{name}"), drops=False, reconnect_s=0).frames())) == 12


def test_motion_jpeg_has_times_of_its_arrival(tmp_path: Path) -> None:
    pictures = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in ramps(12)]
    parts = [b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data) for data in pictures]
    (tmp_path / "stream.mjpg").write_bytes(b"".join(parts))
    with http_sender(tmp_path) as url:
        source = LiveSource(address(f"{url}/stream.mjpg"), drops=False, reconnect_s=0)
        times = [frame.time_s for frame in source.frames()]
    assert len(times) == 12
    assert not np.allclose(np.diff(times), 1 / 25, atol=0.001)  # as FFmpeg makes them up


@pytest.mark.parametrize(
    ("typed", "number", "words"),
    [
        ("camera:0", errno.ENOENT, "No such file or directory"),
        ("/dev/video0", errno.EBUSY, "Device or resource busy"),
        ("camera:0", errno.ENODEV, "No such device"),
        ("camera:0", errno.ENOTTY, "it is no camera"),
        ("camera:0", errno.EACCES, "Permission denied"),
        ("screen:9,9,9x9", errno.EINVAL, "no such part of the screen"),
        ("screen:", errno.EIO, "no screen answers"),
        ("rtmp://host/x", errno.EIO, "the connection broke off"),
    ],
)
def test_why_a_device_cannot_be_opened(typed: str, number: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(av, "open", lambda *_, **__: av.error.err_check(-number))
    with pytest.raises(InputError) as refused:
        LiveSource(address(typed))
    assert str(refused.value) == f"{typed}: cannot be opened ({words})"


@pytest.mark.parametrize("typed", ["camera:", "camera:x", "camera:-1", "screen:1,2", "screen::1"])
def test_devices_that_cannot_be(typed: str) -> None:
    with pytest.raises(InputError, match=f"^{typed}: expected "):
        live_address(typed)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A black screen of 64 x 48 pixels with a red square away from the pointer in its middle."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not here (Debian: xvfb)")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "64x48x24", "-noreset", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        number = process.stdout.readline().strip()
        draw(number, 0xFF0000, (50, 36, 8, 8))
        monkeypatch.setenv("DISPLAY", f":{number}")
        yield process
        process.kill()


def draw(display: str, rgb: int, box: tuple[int, int, int, int]) -> None:
    """A rectangle on the root window, in the words of X11's protocol."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"/tmp/.X11-unix/X{display}")  # where every X server on Linux listens, whatever TMPDIR says
        server.sendall(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        (size,) = struct.unpack("<6xH", server.recv(8, socket.MSG_WAITALL))
        setup = server.recv(4 * size, socket.MSG_WAITALL)
        own_id, vendor, formats = struct.unpack_from("<4xI8xH3xB", setup)
        (root,) = struct.unpack_from("<I", setup, 32 + (vendor + 3) // 4 * 4 + 8 * formats)
        server.sendall(struct.pack("<BxHIIII", 55, 5, own_id, root, 4, rgb))  # a graphics context with a colour
        server.sendall(struct.pack("<BxHII4H", 70, 5, root, own_id, *box))
        server.sendall(struct.pack("<BxH", 43, 1))
        server.recv(32, socket.MSG_WAITALL)  # an answer: all before it is done


def test_a_part_of_a_screen(screen: subprocess.Popen[str]) -> None:
    source = LiveSource(address("screen:44,34,16x12"), reconnect_s=0.0)
    frames = source.frames()
    image = next(frames).image
    assert image.shape == (12, 16, 3)
    red = (image == np.array([255, 0, 0])).all(-1)
    assert red.sum() == 64
    assert red[2:10, 6:14].all()
    with pytest.raises(InputError, match="no such part of the screen"):
        LiveSource(address("screen:60,0,16x16"))
    screen.kill()
    for _ in frames:
        continue
    assert source.failure is not None
    assert "screen:44,34,16x12: the screen is gone; " in source.failure
    with pytest.raises(InputError, match=r"screen:: cannot be opened \(no screen answers\)"):
        LiveSource(address("screen:"))
