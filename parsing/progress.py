"""How far something long has come: a bar with rate and ETA on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

log = logging.getLogger(__name__)
LINE_EVERY_S = 10.0
T = TypeVar("T")


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {self.unit}/s" if task.speed else "")


class Counter:
    """Counts the frames of a video, or what else `unit` says; `total` of 0 means unknown."""

    def __init__(self, name: str, total: int, quiet: bool, unit: str = "frames") -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self.started = self.last_line = time.monotonic()
        console = Console(stderr=True)
        self.live = console.is_terminal and not quiet
        self.quiet = quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not self.live)

    def __enter__(self) -> Counter:
        self.bar.start()
        self.task = self.bar.add_task(self.name, total=self.total or None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        self.bar.advance(self.task)
        now = time.monotonic()
        if not self.live and not self.quiet and now - self.last_line >= LINE_EVERY_S:
            self.last_line = now
            rate = self.done / (now - self.started)
            left = f", ETA {(self.total - self.done) / rate:.0f} s" if self.total > self.done else ""
            log.info("%s: %d of %s %s, %.1f %s/s%s", self.name, self.done, self.total or "?", self.unit, rate, self.unit, left)


def track(items: Iterable[T], total: int, name: str, quiet: bool, unit: str = "images") -> Iterator[T]:
    """The items, counted as they pass."""
    with Counter(name, total, quiet, unit) as counter:
        for item in items:
            yield item
            counter.advance()
