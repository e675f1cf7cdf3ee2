"""Senders of live streams on loopback: MPEG-TS by TCP, files by HTTP, RTSP by GStreamer."""

from __future__ import annotations

import functools
import http.server
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import OutputContainer
from builders import ramp

from parsing.media.addresses import Address, live_address
from parsing.types import Array

GSTREAMER = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")


def address(text: str) -> Address:
    """What `text` names; it names a live source."""
    found = live_address(text)
    assert found is not None
    return found


def ramps(count: int, hw: tuple[int, int] = (48, 64)) -> list[Array]:
    """Pictures that get brighter, over and over."""
    return [ramp(i % 28, hw) for i in range(count)]


@dataclass(frozen=True)
class Stream:
    """Pictures that one connection gets: (H, W, 3) uint8 RGB, `fps` of them a second, at once where it is not `paced`.

    Without `keys` no key frame is sent; `holds` leaves the connection open and silent at the end.
    """

    pictures: Sequence[Array]
    fps: int = 30
    paced: bool = True
    keys: bool = True
    holds: bool = False


class _Sink:
    """What PyAV writes into; an own copy, as its buffer is used again."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self.write = lambda data: send(bytes(data)) or len(data)


def send(stream: Stream, write: Callable[[bytes], object], stopped: threading.Event | None = None, format: str = "mpegts") -> None:
    """A stream as H.264, in MPEG-TS or FFmpeg's `format`, picture by picture."""
    with av.open(_Sink(write), "w", format=format, options={"flush_packets": "1"}) as container:
        _encode(stream, container, stopped)


def _encode(stream: Stream, container: OutputContainer, stopped: threading.Event | None) -> None:
    height, width = stream.pictures[0].shape[:2]
    video = container.add_stream("libx264", rate=stream.fps, options={"tune": "zerolatency", "preset": "ultrafast", "g": "15"})
    video.width, video.height, video.pix_fmt = width, height, "yuv420p"
    began = time.monotonic()
    for number, picture in enumerate(stream.pictures):
        if stopped is not None and stopped.is_set():
            return
        for packet in video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")):
            if stream.keys or not packet.is_keyframe:
                container.mux(packet)
        if stream.paced:
            time.sleep(max(0.0, began + (number + 1) / stream.fps - time.monotonic()))


@contextmanager
def stream_server(streams: Sequence[Stream], give: Callable[[Stream, socket.socket, threading.Event], None]) -> Iterator[int]:
    """The port of a server that gives one stream to each connection, and refuses further ones."""
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for stream in streams:
                with suppress(OSError, av.error.FFmpegError):  # the other side has left
                    connection, _ = server.accept()
                    with connection:
                        give(stream, connection, stopped)
                        if stream.holds:
                            stopped.wait()
            server.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stopped.set()
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def tcp_sender(*streams: Stream) -> Iterator[str]:
    """The address of a sender of MPEG-TS, see `stream_server`."""

    def give(stream: Stream, connection: socket.socket, stopped: threading.Event) -> None:
        if stream.pictures:
            send(stream, connection.sendall, stopped)

    with stream_server(streams, give) as port:
        yield f"tcp://127.0.0.1:{port}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *given: Any, moved: str, breaks_off: Callable[[str], bool | None], **settings: Any) -> None:
        self.moved, self.breaks_off = moved, breaks_off
        super().__init__(*given, **settings)

    def do_GET(self) -> None:
        if (stalls := self.breaks_off(self.path)) is not None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"#EXTM3U\n")
            time.sleep(1.0 if stalls else 0.0)
        elif self.path.startswith("/secret"):
            self.send_error(401)
        elif self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.moved)
            self.end_headers()
        else:
            with suppress(ConnectionError):
                super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@contextmanager
def http_sender(
    folder: Path,
    identity: Path | None = None,
    moved: str = "file:///etc/hostname",
    breaks_off: Callable[[str], bool | None] = lambda _: None,
) -> Iterator[str]:
    """The address of a folder's files; `/secret` wants a password, `/moved` leads to a file of this machine.

    Args:
        identity: a key and a certificate, with which it speaks HTTPS.
        moved: where `/moved` leads instead.
        breaks_off: of a path, whether its answer stalls (True) or ends (False) before it is whole; None for a whole one.
    """
    handler = functools.partial(_Handler, directory=str(folder), moved=moved, breaks_off=breaks_off)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who does not trust it leaves
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http{'s' if identity else ''}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


@contextmanager
def hls_sender(folder: Path, stream: Stream) -> Iterator[str]:
    """The address of a playlist of the last three half seconds of a stream, which is there from its first segment on; its end is told."""
    options = {"hls_time": "0.5", "hls_list_size": "3", "hls_flags": "delete_segments"}
    stopped = threading.Event()

    def work() -> None:
        with av.open(str(folder / "live.m3u8"), "w", format="hls", options=options) as container:
            _encode(stream, container, stopped)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not (folder / "live.m3u8").exists():
            time.sleep(0.01)
        with http_sender(folder) as url:
            yield f"{url}/live.m3u8"
    finally:
        stopped.set()
        thread.join(10)


def gstreamer_python() -> str | None:
    """An interpreter that has GStreamer's RTSP server (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0), or None."""
    for python in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            if subprocess.run([python, "-c", GSTREAMER], capture_output=True, check=False).returncode == 0:
                return python
    return None


@contextmanager
def rtsp_sender(python: str, port: int = 0, password: str = "") -> Iterator[tuple[str, int]]:
    """Host and port of an RTSP server, and its port; its stream is `/live`, and its user `viewer` where there is a password."""
    command = [python, str(RTSP_SERVER), str(port), password]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield f"127.0.0.1:{port}", port
        finally:
            process.kill()
