"""Live sources: cameras, streams and pipes, of which the newest frames are kept and nothing is held up."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import av

from parsing.errors import InputError
from parsing.media.addresses import Address
from parsing.media.connection import CHECK_S, Connection, ConnectionLost, connected
from parsing.media.pixels import Display, picture_display
from parsing.media.playlists import Playlist
from parsing.types import Completeness, Frame, VideoFacts

log = logging.getLogger(__name__)
HELD_S = 0.2  # frames wait for so long while the networks are busy; when one is older, the newest alone is kept
MOST_HELD = 16  # pictures, which bounds the memory
MOST_ON_THE_WAY = 1024  # frames that were taken and are not yet asked for their age
BACK_OFF_S = (0.5, 8.0)  # the first wait before a source is connected to again, which doubles up to the last
MOST_DRIFT_S = 5.0  # between the times that a stream tells and those at which its frames come
STEP_S = 0.001  # a frame whose time goes back follows the one before by so much


@dataclass(frozen=True, eq=False)
class _Held:
    """A picture that waits for the networks; `came_s` is of the monotonic clock."""

    index: int
    time_s: float
    picture: av.VideoFrame
    came_s: float


class LiveClock:
    """Seconds since the first frame came, by the stream's own times as long as these go on as frames come.

    Args:
        follows_arrival: where the stream's times leave those of the arrival, as after a jump, the latter count.
    """

    def __init__(self, follows_arrival: bool) -> None:
        self.follows_arrival = follows_arrival
        self.begin_s: float | None = None  # when the first frame came, on the monotonic clock
        self.last_s = -STEP_S
        self._offset: float | None = None

    def reconnect(self) -> None:
        """The next frame's own time is of another connection."""
        self._offset = None

    def read(self, media_s: float | None, now_s: float) -> float:
        """The time of the next frame, later than the one before; `media_s` is its own, `now_s` when it came."""
        self.begin_s = now_s if self.begin_s is None else self.begin_s
        since_s = now_s - self.begin_s
        time_s = since_s
        if media_s is not None:
            self._offset = since_s - media_s if self._offset is None else self._offset
            time_s = media_s + self._offset
            if self.follows_arrival and abs(time_s - since_s) > MOST_DRIFT_S:
                time_s, self._offset = since_s, since_s - media_s
        self.last_s = max(time_s, self.last_s + STEP_S)
        return self.last_s


class Pacer:
    """When pictures of a source are due that may be sent faster than they were filmed.

    The first second of a stream cannot have been filmed in less than a second after it was opened; so what is really live
    never waits, and a recording plays at its own speed.
    """

    def __init__(self, opened_s: float) -> None:
        self.opened_s = opened_s
        self.first_s: float | None = None

    def wait_s(self, media_s: float, now_s: float) -> float:
        """How long the picture of this time in the stream has to wait."""
        self.first_s = media_s if self.first_s is None else self.first_s
        wait_s = self.opened_s + media_s - self.first_s - now_s
        if abs(wait_s) > MOST_DRIFT_S:  # its times jump
            self.opened_s, self.first_s, wait_s = now_s, media_s, 0.0
        return max(0.0, wait_s)


class LiveSource:
    """A camera, a stream or a pipe; a `parsing.media.sources.Source` whose frames come once.

    A thread reads and decodes. Where `drops`, frames that nobody takes within 0.2 s are dropped, all but the newest one,
    and counted; memory and delay stay bounded. Otherwise the source waits for whoever takes its frames. A source that is lost is
    connected to again, for `reconnect_s` since its last frame; `failure` then says why it ended, in a line without a password.

    Args:
        most_s: the source ends so long after its first frame, also while it is lost or silent; None for as long as it lasts.

    Raises:
        InputError: there is no such source, it refuses, or gives no picture.
    """

    num_frames = None

    def __init__(self, address: Address, *, drops: bool = True, reconnect_s: float = 60.0, most_s: float | None = None) -> None:
        self.address, self.is_live, self.reconnect_s, self.most_s = address, drops, reconnect_s, most_s
        self.complete: Completeness = "unknown"
        self.failure: str | None = None
        self.num_dropped = self.num_reconnects = 0
        self._num_decoded = self._errors = 0
        self._display: Display | None = None
        self._fps, self._started_at = 0.0, ""
        self._clock = LiveClock(drops)
        self._held: deque[_Held] = deque()
        self._came: deque[tuple[int, float]] = deque(maxlen=MOST_ON_THE_WAY)
        self._end_s = math.inf  # when `most_s` is over, on the monotonic clock, unless another frame comes
        self._goes_on = False  # there may be more behind its end
        self._changed = threading.Condition()
        self._stopped, self._ended = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._playlist = Playlist(address, self._stopped) if address.is_playlist else None
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()
        self._await_first()

    @property
    def _left_s(self) -> float:
        """How long the next frame may still be in coming."""
        return self._end_s - time.monotonic()

    def _await_first(self) -> None:
        with self._changed:
            while not self._held and not self._ended.is_set():
                self._changed.wait(CHECK_S)
        if self._error is not None:
            raise self._error
        if self._display is None:
            raise InputError(f"{self.address}: ended before its first picture")

    @property
    def facts(self) -> VideoFacts:
        """What is known so far."""
        display = self._display
        assert display is not None  # known before the constructor returns
        return VideoFacts(
            self.address.name,
            display.width,
            display.height,
            display.orientation.rotation,
            self._fps or (self._num_decoded - 1) / max(self._clock.last_s, STEP_S),
            max(0.0, self._clock.last_s),
            None,
            self._num_decoded,
            self._errors,
            display.orientation.mirrored,
            display.pixel_aspect,
            display.hdr,
            self.num_dropped,
            self.num_reconnects,
            self._started_at,
        )

    def frames(self) -> Iterator[Frame]:
        """Frames as they come; their indices count the dropped ones too."""
        while (held := self._take()) is not None:
            self._came.append((held.index, held.came_s))
            assert self._display is not None
            yield Frame(self.address.name, held.index, held.time_s, self._display.image(held.picture))
        if self._error is not None:
            raise self._error

    def at(self, indices: Iterable[int]) -> dict[int, Frame]:  # noqa: ARG002
        """Raises InputError: frames come once."""
        raise InputError(f"{self.address}: its frames come only once")

    def age_s(self, index: int) -> float:
        """How long ago a frame came that is done now; to be asked once of each, in their order."""
        came_s = time.monotonic()
        while self._came and self._came[0][0] <= index:
            came_s = self._came.popleft()[1]
        return time.monotonic() - came_s

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked the source to end."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End the source; `frames` then ends. A signal handler may call it."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and wait for the thread: not for long, as a source that gives nothing may hold it for some seconds."""
        self.stop()
        self._thread.join(timeout=1.0)

    def _take(self) -> _Held | None:
        with self._changed:
            while not self._held and not self._ended.is_set() and not self._stopped.is_set() and self._left_s > 0:
                self._changed.wait(CHECK_S)
            if self._stopped.is_set():
                self.num_dropped += len(self._held)
                self._held.clear()
            if not self._held:
                return None
            held = self._held.popleft()
            self._changed.notify_all()
            return held

    def _run(self) -> None:
        try:
            self._read()
        except Exception as error:  # handed over to whoever takes the frames
            self._error = error
        finally:
            self._ended.set()
            with self._changed:
                self._changed.notify_all()

    def _read(self) -> None:
        wait_s, lost_s = BACK_OFF_S[0], time.monotonic()
        while not self._stopped.is_set() and self._left_s > 0:
            num_before = self._num_decoded
            why = self._read_once()
            if why is None or self._stopped.is_set() or self._left_s <= 0:
                return
            if self._num_decoded > num_before:
                wait_s, lost_s = BACK_OFF_S[0], time.monotonic()
            pause_s = min(wait_s, self._left_s)
            if not self._goes_on or time.monotonic() + pause_s > lost_s + self.reconnect_s:
                self.complete = False
                self.failure = f"{self.address}: {why}; {self._num_decoded} frames had come"
                return
            if self._num_decoded > num_before:
                log.info("%s: %s after %d frames; connecting again", self.address, why, self._num_decoded)
            self._stopped.wait(pause_s)
            wait_s = min(2 * wait_s, BACK_OFF_S[1])

    def _read_once(self) -> str | None:
        """Read until the source is lost, and say why; None where it came to its own end."""
        try:
            with connected(self.address, self._stopped, self._playlist) as connection:
                self._goes_on = bool(self.address.url) and not connection.is_recorded
                self._receive(connection)
                self._goes_on = self._goes_on and not connection.is_recorded  # a playlist may have got its end
                return "the stream ended" if self._goes_on else None
        except ConnectionLost as error:
            if self._display is None:
                raise InputError(f"{self.address}: {error}") from None
            return str(error)
        except InputError as error:
            if self._display is None:
                raise
            return str(error).removeprefix(f"{self.address}: ")

    def _receive(self, connection: Connection) -> None:
        errors, pacer = self._errors, Pacer(connection.opened_s)
        self._clock.reconnect()
        for number, picture in enumerate(connection.pictures()):
            media_s = None if picture.time is None or not connection.is_timed else float(picture.time)
            if self.is_live and self.address.paced and media_s is not None:
                self._stopped.wait(pacer.wait_s(media_s, time.monotonic()))
            if self._display is None:
                self._display, self._fps = picture_display(picture, connection.pixel_aspect), connection.fps
                self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
            elif number == 0:
                self.num_reconnects += 1
                log.info("%s: connected again", self.address)
            now_s = time.monotonic()
            time_s = self._clock.read(media_s, now_s)
            if self.most_s is not None and time_s >= self.most_s:
                self._goes_on = False
                return
            self._end_s = math.inf  # it is here, however long it waits for the networks
            self._put(_Held(self._num_decoded, time_s, picture, now_s))
            if self.most_s is not None:
                self._end_s = time.monotonic() + self.most_s - time_s
            self._errors = errors + connection.errors

    def _put(self, held: _Held) -> None:
        with self._changed:
            if self.is_live:
                if self._held and (len(self._held) == MOST_HELD or held.came_s - self._held[0].came_s > HELD_S):
                    self.num_dropped += len(self._held)
                    self._held.clear()
            else:
                while len(self._held) == MOST_HELD and not self._stopped.is_set():
                    self._changed.wait(CHECK_S)
            self._num_decoded += 1
            self._held.append(held)
            self._changed.notify_all()
