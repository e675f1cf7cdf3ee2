"""How far a video has come: a bar with rate and ETA on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

log = logging.getLogger(__name__)
LINE_EVERY_S = 10.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "")


class FrameProgress:
    """Counts the frames of one video; `total` of 0 means unknown."""

    def __init__(self, name: str, total: int, quiet: bool) -> None:
        self.name, self.total, self.done = name, total, 0
        self.started = self.last_line = time.monotonic()
        console = Console(stderr=True)
        self.live = console.is_terminal and not quiet
        self.quiet = quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not self.live)

    def __enter__(self) -> FrameProgress:
        self.bar.start()
        self.task = self.bar.add_task(self.name, total=self.total or None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def advance(self) -> None:
        """One more frame is done."""
        self.done += 1
        self.bar.advance(self.task)
        now = time.monotonic()
        if not self.live and not self.quiet and now - self.last_line >= LINE_EVERY_S:
            self.last_line = now
            rate = self.done / (now - self.started)
            left = f", ETA {(self.total - self.done) / rate:.0f} s" if self.total > self.done else ""
            log.info("%s: %d of %s frames, %.1f frames/s%s", self.name, self.done, self.total or "?", rate, left)
