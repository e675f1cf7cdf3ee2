"""How far something long has come: a bar with rate and ETA on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from parsing.console import printable

log = logging.getLogger(__name__)
LINE_EVERY_S = 10.0
SETTLED_S = 1.0  # what comes in a shorter time may be one burst, and says nothing
T = TypeVar("T")


class Pace:
    """How fast items come, without the warm-up before the first.

    Items may come in bursts, many at once after each batch. Right after a burst the rate would be too high; where an item
    was slow to come, all before it took the whole time since the first, so the rate is taken there alone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.done, self.rate = clock, 0, 0.0  # items; items a second, 0 until it is known
        self._first = self._last = 0.0

    def advance(self) -> None:
        """One more item has come."""
        now = self.clock()
        if self.done == 0:
            self._first = now
        elif now - self._first >= SETTLED_S and now - self._last >= (self._last - self._first) / max(1, self.done - 1):
            self.rate = self.done / (now - self._first)
        self._last, self.done = now, self.done + 1

    def left_s(self, num_left: int) -> float | None:
        """Seconds until so many more items have come; None while nobody knows."""
        return num_left / self.rate if self.rate and num_left >= 0 else None


def pace_text(pace: Pace, num_left: int, unit: str, scale: float = 1.0) -> str:
    """Rate and ETA; empty while they are not known.

    Args:
        num_left: items that are to come; negative where nobody knows.
        scale: units in an item.
    """
    if not pace.rate:
        return ""
    left = pace.left_s(num_left)
    eta = "" if left is None else f", ETA {_clock(left)}"
    return f"{pace.rate * scale:.1f} {unit}/s{eta}"


def _clock(seconds: float) -> str:
    """`0:09`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Counter:
    """Counts the frames of a video, or what else `unit` says; `total` of 0 means unknown."""

    def __init__(self, name: str, total: int, quiet: bool, unit: str = "frames") -> None:
        self.name, self.total, self.unit, self.pace = printable(name), total, unit, Pace()
        self.last_line = time.monotonic()
        console = Console(stderr=True)
        self.live = console.is_terminal and not quiet
        self.quiet = quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
        self.bar = Progress(*columns, console=console, disable=not self.live)

    def __enter__(self) -> Counter:
        self.bar.start()
        self.task = self.bar.add_task(escape(self.name), total=self.total or None, pace="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def advance(self) -> None:
        """One more is done."""
        self.pace.advance()
        text = pace_text(self.pace, self.total - self.pace.done, self.unit)
        self.bar.update(self.task, advance=1, pace=text)
        now = time.monotonic()
        if not self.live and not self.quiet and now - self.last_line >= LINE_EVERY_S:
            self.last_line = now
            log.info("%s: %d of %s %s%s", self.name, self.pace.done, self.total or "?", self.unit, f", {text}" if text else "")


def track(items: Iterable[T], total: int, name: str, quiet: bool, unit: str = "images") -> Iterator[T]:
    """The items, counted as they pass."""
    with Counter(name, total, quiet, unit) as counter:
        for item in items:
            yield item
            counter.advance()
