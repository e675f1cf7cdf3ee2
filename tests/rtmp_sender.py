"""A server of one RTMP stream on loopback: as much of Adobe's specification 1.0 as a player needs."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from senders import Stream, send, stream_server

HANDSHAKE = 1536  # bytes
CHUNK = 1 << 20  # bytes: all messages here are whole
CHUNK_SIZE, WINDOW, BANDWIDTH, COMMAND = 1, 5, 6, 20
FLV_HEADER, FLV_TAG, FLV_END = 13, 11, 4


def message(kind: int, body: bytes, stream_id: int = 0, time_ms: int = 0) -> bytes:
    """One chunk with a whole header."""
    channel = 2 if kind in (CHUNK_SIZE, WINDOW, BANDWIDTH) else 4
    return bytes([channel]) + struct.pack(">I", time_ms)[1:] + struct.pack(">I", len(body))[1:] + struct.pack("<BI", kind, stream_id) + body


def amf(*values: str | float | dict[str, str] | None) -> bytes:
    """Values as AMF0 writes them."""

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    def one(value: str | float | dict[str, str] | None) -> bytes:
        match value:
            case None:
                return b"\x05"
            case str():
                return b"\x02" + text(value)
            case dict():
                return b"\x03" + b"".join(text(key) + one(entry) for key, entry in value.items()) + b"\x00\x00\x09"
            case _:
                return b"\x00" + struct.pack(">d", value)

    return b"".join(map(one, values))


class _Messages:
    """Takes a file of FLV piece by piece, and sends its tags as messages."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.data, self.skipped = connection, b"", False

    def __call__(self, data: bytes) -> None:
        self.data += data
        if not self.skipped and len(self.data) >= FLV_HEADER:
            self.data, self.skipped = self.data[FLV_HEADER:], True
        while self.skipped and len(self.data) >= FLV_TAG:
            size, time_ms = int.from_bytes(self.data[1:4]), int.from_bytes(self.data[4:7])
            if len(self.data) < FLV_TAG + size + FLV_END:
                return
            self.connection.sendall(message(self.data[0], self.data[FLV_TAG : FLV_TAG + size], 1, time_ms))
            self.data = self.data[FLV_TAG + size + FLV_END :]


def _received(connection: socket.socket, what: bytes, data: bytes = b"") -> bytes:
    """What comes from `what` on."""
    while what not in data:
        more = connection.recv(4096)
        if not more:
            raise ConnectionError
        data += more
    return data.partition(what)[2]


def _begin(connection: socket.socket, refuses: bool) -> None:
    """All until the stream plays."""
    data = b""
    while len(data) < 1 + HANDSHAKE:
        data += connection.recv(4096)
    connection.sendall(b"\x03" + bytes(HANDSHAKE) + data[1 : 1 + HANDSHAKE])
    rest = _received(connection, b"connect", data[1 + HANDSHAKE :])
    for kind, body in (
        (WINDOW, struct.pack(">I", CHUNK)),
        (BANDWIDTH, struct.pack(">IB", CHUNK, 2)),
        (CHUNK_SIZE, struct.pack(">I", CHUNK)),
    ):
        connection.sendall(message(kind, body))
    connection.sendall(message(COMMAND, amf("_result", 1, None, {"code": "NetConnection.Connect.Success"})))
    rest = _received(connection, b"createStream", rest)
    while len(rest) < 9:
        rest += connection.recv(4096)
    connection.sendall(message(COMMAND, amf("_result", struct.unpack(">d", rest[1:9])[0], None, 1)))
    _received(connection, b"play", rest)
    status = {"level": "error", "code": "NetStream.Play.StreamNotFound"} if refuses else {"level": "status", "code": "NetStream.Play.Start"}
    connection.sendall(message(COMMAND, amf("onStatus", 0, None, status), 1))


@contextmanager
def rtmp_sender(*streams: Stream) -> Iterator[str]:
    """The address of a sender, see `stream_server`, that has no stream without pictures."""

    def give(stream: Stream, connection: socket.socket, stopped: threading.Event) -> None:
        connection.settimeout(10)
        _begin(connection, refuses=not stream.pictures)
        if stream.pictures:
            send(stream, _Messages(connection), stopped, "flv")

    with stream_server(streams, give) as port:
        yield f"rtmp://127.0.0.1:{port}/live/x"
