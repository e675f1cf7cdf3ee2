"""HLS: what FFmpeg asks for on behalf of a playlist is fetched here, from the host that the user typed and from nowhere else."""

from __future__ import annotations

import io
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, unquote_to_bytes, urljoin, urlsplit

import requests
import urllib3

from parsing.errors import InputError
from parsing.media.addresses import LIST_SUFFIXES, Address
from parsing.media.connection import OPEN_S, READ_S, ConnectionLost

MOST_BYTES = 2**20  # of a playlist
MOST_LISTS, MOST_REDIRECTS = 32, 5
STALE_S = (10.0, 30.0)  # a playlist that has been the same for three of its segments has no sender; at least, and at most
PORTS = {"http": 80, "https": 443}
_SEGMENT_S = re.compile(rb"#EXT-X-TARGETDURATION:\s*(\d{1,6})")
_VARIANT, _END = b"#EXT-X-STREAM-INF", b"#EXT-X-ENDLIST"


class Body(Protocol):
    """What PyAV reads from."""

    def read(self, num_bytes: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _List:
    """A list of segments, and since when it has been so, on the monotonic clock."""

    text: bytes
    since_s: float

    @property
    def stale_s(self) -> float:
        """For how long it may stay."""
        told = _SEGMENT_S.search(self.text)
        return min(max(3.0 * int(told[1]) if told else 0.0, STALE_S[0]), STALE_S[1])


class _Segment:
    """The body of an answer; where it breaks off, what came counts."""

    def __init__(self, response: requests.Response, stopped: threading.Event) -> None:
        self.response, self.stopped = response, stopped

    def read(self, num_bytes: int) -> bytes:
        if self.stopped.is_set():
            return b""
        try:
            data: bytes = self.response.raw.read1(num_bytes, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError):
            return b""
        return data

    def close(self) -> None:
        self.response.close()


class Playlist:
    """Opens the playlist of an address and what it leads to, over all connections to it.

    `has_ended` says that it is whole, as those of recordings are; `failure` is what went wrong in this connection.

    Raises:
        InputError: what was typed is no address.
    """

    def __init__(self, address: Address, stopped: threading.Event) -> None:
        self.address, self.stopped, self.has_ended = address, stopped, False
        self.failure: InputError | ConnectionLost | None = None
        self._typed = self._parts(address.url)
        self._lists: dict[str, _List] = {}
        self._opened = Counter[str]()
        self._session = requests.Session()
        if self._typed.username is not None:
            self._session.auth = (unquote_to_bytes(self._typed.username), unquote_to_bytes(self._typed.password or ""))

    def locate(self) -> str:
        """Begin a connection: where the playlist is, behind redirects; what it names is meant relative to that.

        Raises:
            InputError: it is at another host, or wants another password.
            ConnectionLost: it is not there.
        """
        self.failure = None
        self._opened.clear()
        with self._get(self.address.url) as response:
            return str(response.url)

    def open(self, url: str, flags: int, options: dict[str, str]) -> Body:  # noqa: ARG002
        """A playlist or a segment for FFmpeg; as that would go on after an error, it is kept as `failure`, and all is empty then."""
        if self.failure is None and not self.stopped.is_set():
            try:
                return self._open(url, options)
            except (InputError, ConnectionLost) as error:
                self.failure = error
        return io.BytesIO()

    def check(self) -> None:
        """Raises InputError, ConnectionLost: `failure`."""
        if self.failure is not None:
            raise self.failure

    def _open(self, url: str, options: dict[str, str]) -> Body:
        """Raises InputError, ConnectionLost: as `locate`; it is encrypted, has not changed for a long time, or has no end."""
        if url.startswith("crypto"):
            raise InputError(f"{self.address}: its segments are encrypted, which is not read")
        is_list = self._checked(url).path.lower().endswith(LIST_SUFFIXES)
        begin, end = int(options.get("offset", 0)), int(options.get("end_offset", 0))
        try:
            response = self._get(url, {"Range": f"bytes={begin}-{end - 1 if end else ''}"} if begin or end else {})
        except ConnectionLost:
            if is_list:
                raise
            return io.BytesIO()  # the server has it no longer
        return io.BytesIO(self._list(url, response)) if is_list else _Segment(response, self.stopped)

    def _list(self, url: str, response: requests.Response) -> bytes:
        try:
            with response:
                text: bytes = response.raw.read(MOST_BYTES, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError):
            raise ConnectionLost("the connection broke off") from None
        self._opened[_VARIANT.decode() if _VARIANT in text else url] += 1
        if self._opened[_VARIANT.decode()] > 1 or len(self._opened) > MOST_LISTS:
            raise InputError(f"{self.address}: a playlist of playlists of playlists, or of more than {MOST_LISTS}")
        if _VARIANT not in text:
            self._note(url, text)
        return text

    def _note(self, url: str, text: bytes) -> None:
        self.has_ended, now_s, before = _END in text, time.monotonic(), self._lists.get(url)
        if before is None or before.text != text:
            if len(self._lists) > MOST_LISTS:
                self._lists.clear()
            self._lists[url] = _List(text, now_s)
        elif now_s - before.since_s > before.stale_s:
            raise ConnectionLost(f"nothing new in the playlist for {now_s - before.since_s:.0f} s")

    def _get(self, url: str, headers: dict[str, str] | None = None) -> requests.Response:
        for _ in range(MOST_REDIRECTS):
            self._checked(url)
            try:
                response = self._session.get(url, headers=headers, stream=True, timeout=(OPEN_S, READ_S), allow_redirects=False)
                following = urljoin(url, response.headers["Location"]) if response.is_redirect else ""
            except ValueError:  # urllib3 and the codec of host names have their own
                raise self._no_address() from None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise ConnectionLost(_reason(error)) from None
            if response.ok and not following:
                return response
            response.close()
            if response.status_code in (401, 403):
                raise InputError(f"{self.address}: user name or password is wrong or missing")
            if not following:
                raise ConnectionLost(f"the server answers {response.status_code}")
            url = following
        raise ConnectionLost("its address leads on and on")

    def _checked(self, url: str) -> SplitResult:
        """Raises InputError: it is not at the typed host and port, nor at the host's port for HTTPS."""
        parts, typed = self._parts(url), self._typed
        ports = (_port(typed), 443 if parts.scheme == "https" else None)
        if not (parts.scheme in PORTS and parts.hostname == typed.hostname and _port(parts) in ports):
            place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            raise InputError(f"{self.address}: leads to {place}; a playlist leads to the host that was typed alone")
        return parts

    def _parts(self, url: str) -> SplitResult:
        """Raises InputError: it is no address."""
        try:
            parts = urlsplit(url)
            _ = parts.port  # which is looked at only now
        except ValueError:
            raise self._no_address() from None
        return parts

    def _no_address(self) -> InputError:
        return InputError(f"{self.address}: no address, or it leads to none")


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS[parts.scheme]


def _reason(error: Exception) -> str:
    """Why nothing came; the error's own words hold the address."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    return "no answer" if isinstance(error, requests.Timeout) else "no connection"
