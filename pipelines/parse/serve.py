"""A page with the annotated stream and the latest states, while a source is parsed; built on aiohttp."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import threading
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np

from parsing.console import complain
from parsing.entry_values import frame_json
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.types import Array, Frame, FrameParse
from pipelines.parse.page import HTML
from pipelines.parse.parser import ParseStream

MOST_VIEWERS = 16
JPEG_QUALITY = 80
BOUNDARY = "frame"
START_S, END_S = 10.0, 3.0
# Nothing from elsewhere on the page, and the page on nothing from elsewhere.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Page:
    """Serves `/`, `/stream.mjpg`, `/frame.jpg`, and the latest frame in the form of a parse's at `/latest.json`, `/events`.

    A slow viewer misses frames and holds nobody up. Where it listens on loopback addresses alone, requests that
    name another host are refused, so that no page from elsewhere reads this one by a name of its own.

    Args:
        port: 0 for any that is free.

    Raises:
        InputError: when the block begins: aiohttp is not installed, or the address cannot be had.
    """

    def __init__(self, host: str, port: int, stream: ParseStream) -> None:
        self.web = import_extra("aiohttp.web", "serve")
        self.host, self.port, self.stream = host, port, stream
        self._latest: tuple[Array, dict[str, Any]] | None = None
        self._jpeg: tuple[int, bytes] = (-1, b"")
        self._number = self._num_viewers = 0
        self._changed: asyncio.Event | None = None
        self._is_own = False  # bound to addresses of this machine alone
        self._runner: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="page", daemon=True)

    def __enter__(self) -> Page:
        self._thread.start()
        with ExitStack() as stack:
            stack.callback(self._end)
            try:
                self._run(self._start(), START_S)
            except (OSError, UnicodeError) as error:  # the latter of a name that is none
                why = getattr(error, "strerror", None) or str(error) or "no answer"
                raise InputError(f"--serve {self.port}: {self.host} cannot be listened on ({why})") from None
            stack.pop_all()
        complain(f"serving on http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/")
        return self

    def __exit__(self, *failure: object) -> None:
        self._end()

    def add(self, picture: Array, frame: Frame, parse: FrameParse) -> None:  # noqa: ARG002
        """Show the next picture."""
        actions = [action for action in self.stream.actions if action.start_s <= parse.time_s <= action.end_s]
        facts = self.stream.source.facts
        latest = frame_json(parse, self.stream.parser.vocabulary) | {
            "name": facts.name,
            "frames_dropped": facts.frames_dropped,
            "actions": [{"label": action.label, "score": round(action.score, 4)} for action in actions],
        }
        self._loop.call_soon_threadsafe(self._show, picture, latest)

    def _show(self, picture: Array, latest: dict[str, Any]) -> None:
        self._latest, self._number = (picture, latest), self._number + 1
        changed, self._changed = self._changed, asyncio.Event()
        if changed is not None:
            changed.set()

    def _run(self, work: Any, timeout_s: float) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def _end(self) -> None:
        with ExitStack() as stack:
            stack.callback(self._end_loop)
            if self._runner is not None:
                self._run(self._runner.cleanup(), END_S)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _start(self) -> None:
        web = self.web
        self._changed = asyncio.Event()

        @web.middleware  # type: ignore[untyped-decorator]
        async def guarded(request: Any, handler: Any) -> Any:
            return await self._guarded(request, handler)

        app = web.Application(middlewares=[guarded])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/stream.mjpg", self._mjpeg),
                web.get("/frame.jpg", self._frame),
                web.get("/latest.json", self._json),
                web.get("/events", self._events),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._is_own = all(is_loopback(address[0]) for address in self._runner.addresses)

    async def _guarded(self, request: Any, handler: Any) -> Any:
        if self._is_own and not self._is_own_name(request):
            raise self.web.HTTPForbidden(text="this page is served to this machine alone")
        return await handler(request)

    def _is_own_name(self, request: Any) -> bool:
        try:
            name = (request.url.host or "").lower()
        except ValueError:  # no name at all
            return False
        return name in ("localhost", self.host.lower()) or is_loopback(name)

    async def _page(self, request: Any) -> Any:  # noqa: ARG002
        return self.web.Response(text=HTML, content_type="text/html", headers=HEADERS)

    async def _frame(self, request: Any) -> Any:  # noqa: ARG002
        await self._first()
        return self.web.Response(body=self._encoded(), content_type="image/jpeg", headers=HEADERS)

    async def _json(self, request: Any) -> Any:  # noqa: ARG002
        await self._first()
        return self.web.json_response(self._latest[1] if self._latest else None, headers=HEADERS)

    async def _mjpeg(self, request: Any) -> Any:
        return await self._sent(request, f"multipart/x-mixed-replace; boundary={BOUNDARY}", self._part)

    async def _events(self, request: Any) -> Any:
        return await self._sent(request, "text/event-stream", self._event)

    async def _sent(self, request: Any, content_type: str, piece: Any) -> Any:
        """Send the newest frame again and again, for as long as the viewer reads."""
        if self._num_viewers == MOST_VIEWERS:
            raise self.web.HTTPServiceUnavailable(text=f"{MOST_VIEWERS} viewers are here already")
        self._num_viewers += 1
        response = self.web.StreamResponse(headers=HEADERS | {"Content-Type": content_type})
        try:
            await response.prepare(request)
            sent = 0
            while True:
                while self._number == sent and self._changed is not None:
                    await self._changed.wait()
                sent = self._number
                await response.write(piece())
        except ConnectionError:  # the viewer has left
            return response
        finally:
            self._num_viewers -= 1

    async def _first(self) -> None:
        while self._latest is None and self._changed is not None:
            await self._changed.wait()

    def _part(self) -> bytes:
        data = self._encoded()
        return b"--%b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (BOUNDARY.encode(), len(data), data)

    def _event(self) -> bytes:
        return f"data: {json.dumps(self._latest[1] if self._latest else None)}\n\n".encode()

    def _encoded(self) -> bytes:
        """The newest picture as JPEG, encoded once for all viewers, and only where there is one."""
        if self._latest is not None and self._jpeg[0] != self._number:
            bgr = np.ascontiguousarray(self._latest[0][..., ::-1])
            _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            self._jpeg = self._number, data.tobytes()
        return self._jpeg[1]


def is_loopback(host: str) -> bool:
    """Whether an address, not a name, is one that only this machine reaches."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
