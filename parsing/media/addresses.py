"""Addresses of live sources: what a user typed, what it may open, and what of it may be shown.

A file never leads here: videos are opened by `parsing.media.containers`, which lets FFmpeg open no protocol at all.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field

import certifi

from parsing.errors import InputError
from parsing.media.containers import FORMATS

_CAMERA, _SCREEN = re.compile(r"camera:(.*)"), re.compile(r"screen:(?:(\d+),(\d+),(\d+)x(\d+))?")
_DEVICE = re.compile(r"/dev/video\d+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PLACE = re.compile(r"[^:]+://(?P<user>[^/?#]*@)?(?P<host>[^/?#@]*)(?P<path>[^?#]*)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:[\w.-]*|\[[0-9A-Fa-f:.%]+\])(?::\d+)?")
_SECURE = "tcp,tls,crypto,httpproxy"
# What FFmpeg may open for an address of each scheme, and the formats that it may then read; never `file`, `pipe`, `data`,
# `concat` or `subfile`, so that no playlist and no redirect leads to the machine's own files.
_NETWORK = {
    "rtsp": (f"rtsp,rtsps,rtp,srtp,udp,{_SECURE}", "rtsp,rtp,sdp,mpegts"),
    "rtmp": (f"rtmp,rtmps,rtmpt,{_SECURE}", "flv,live_flv"),
    "http": (f"http,https,{_SECURE}", f"mpjpeg,{FORMATS}"),
    "tcp": ("tcp", FORMATS),
    "udp": ("udp,rtp", FORMATS),
}
_NETWORK |= {"rtsps": _NETWORK["rtsp"], "rtmps": _NETWORK["rtmp"], "https": _NETWORK["http"]}
LIST_SUFFIXES, _LIST_FORMATS = (".m3u8", ".m3u"), f"hls,aac,ac3,eac3,mp3,webvtt,{FORMATS}"
# Of a playlist, the newest segment is the first; each is fetched by a request of its own, see `parsing.media.playlists`.
_LIST_OPTIONS = {"live_start_index": "-1", "http_persistent": "0", "http_multiple": "0"}
_LOW_DELAY = {"flags": "low_delay", "analyzeduration": "2000000", "max_delay": "300000"}


@dataclass(frozen=True)
class Address:
    """Where a live source is; only `name`, which has no password and no query, is ever printed or stored.

    Args:
        url: what FFmpeg opens; empty for the standard input.
        input_format: FFmpeg's name of a device; None where the data tell it.
        options: of the demuxer.
        paced: it may be sent faster than it was filmed, as recordings and segments are.
        is_playlist: it is of HLS.
    """

    name: str
    url: str = field(repr=False)
    input_format: str | None = None
    options: dict[str, str] = field(default_factory=dict, repr=False)
    paced: bool = False
    is_playlist: bool = False

    def __str__(self) -> str:
        return self.name


def live_address(text: str) -> Address | None:
    """The live source that a user typed, or None for a file, a folder or a pattern.

    Raises:
        InputError: an address of an unknown scheme, or a device that this system has no name for.
    """
    if text in ("-", "pipe:", "pipe:0"):
        return Address("stdin", "", options={"format_whitelist": FORMATS, "protocol_whitelist": "none", **_LOW_DELAY}, paced=True)
    if match := _CAMERA.fullmatch(text):
        return _camera(match[1])
    if _DEVICE.fullmatch(text):
        return Address(text, text, "video4linux2")
    if text.startswith("screen:"):
        return _screen(text)
    scheme = _SCHEME.match(text)
    return None if scheme is None else _network(text, scheme[1].lower())


def _network(text: str, scheme: str) -> Address:
    name = shown_address(text, scheme)
    if scheme not in _NETWORK:
        raise InputError(f"{name}: expected an address of {', '.join(_NETWORK)}; other streams are read from a pipe (-)")
    if scheme in ("http", "https") and name.lower().endswith(LIST_SUFFIXES):
        options = {"format_whitelist": _LIST_FORMATS, **_LIST_OPTIONS, **_LOW_DELAY}
        return Address(name, text, "hls", options, paced=True, is_playlist=True)
    protocols, formats = _NETWORK[scheme]
    options = {"protocol_whitelist": protocols, "format_whitelist": formats, **_LOW_DELAY}
    if scheme in ("rtsp", "rtsps"):
        options |= {"rtsp_flags": "prefer_tcp"}
    if scheme in ("http", "https"):
        options |= {"reconnect": "1", "reconnect_delay_max": "4"}
    if scheme == "https":  # the password goes to nobody else; of cameras' own rtsps, hardly a certificate would pass
        options |= {"tls_verify": "1", "ca_file": os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()}
    return Address(name, text, options=options, paced=scheme in ("http", "https"))


def shown_address(text: str, scheme: str) -> str:
    """An address without user, password and query.

    Raises:
        InputError: nobody can tell which part of it the password is.
    """
    parts = _PLACE.fullmatch(text)
    unclear = parts is not None and not parts["user"] and ":" in parts["host"] and "@" in parts["path"] + parts["rest"]
    if parts is None or unclear or not _HOST.fullmatch(parts["host"]):
        raise InputError(f"{scheme}://…: expected {scheme}://USER:PASSWORD@HOST:PORT/PATH, with @ / ? # of a password as %40 %2F %3F %23")
    return f"{scheme}://{parts['host']}{parts['path']}"


def _camera(number: str) -> Address:
    name = f"camera:{number}"
    if sys.platform == "darwin":
        return Address(name, f"{number}:none", "avfoundation", {"framerate": "30"})
    if sys.platform == "win32":
        return Address(name, f"video={number}", "dshow")
    if not number.isdigit():
        raise InputError(f"{name}: expected the number of a camera, as in camera:0 for /dev/video0")
    return Address(name, f"/dev/video{number}", "video4linux2")


def _screen(text: str) -> Address:
    match, display = _SCREEN.fullmatch(text), os.environ.get("DISPLAY")
    if match is None:
        raise InputError(f"{text}: expected screen: or a part of it as screen:LEFT,TOP,WIDTHxHEIGHT, in pixels")
    if not display:
        raise InputError(f"{text}: there is no X11 screen here (DISPLAY is not set)")
    if match[1] is None:
        return Address(text, display, "x11grab", {"framerate": "30"})
    left, top, width, height = match.groups()
    return Address(text, f"{display}+{left},{top}", "x11grab", {"framerate": "30", "video_size": f"{width}x{height}"})
