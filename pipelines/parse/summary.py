"""What became of the sources of a run, as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parsing.console import printable, say
from pipelines.parse.sources import Job


@dataclass(frozen=True)
class Outcome:
    """What became of one source; `error` is None where it went well, `skipped` where its outputs were there before."""

    job: Job
    num_frames: int = 0
    num_tracks: int = 0
    action: str = ""
    seconds: float = 0.0
    error: str | None = None
    skipped: bool = False

    @property
    def result(self) -> str:
        return "failed" if self.error else f"{self.job.json_path or 'shown'}{' (was there)' if self.skipped else ''}"


def print_summary(outcomes: Sequence[Outcome]) -> None:
    """A table of all sources on stdout."""
    table = Table(box=None, pad_edge=False)
    for column in ("source", "frames", "tracks", "action", "frames/s", "result"):
        table.add_column(column, justify="right" if column in ("frames", "tracks", "frames/s") else "left")
    for o in outcomes:
        rate = f"{o.num_frames / o.seconds:.1f}" if o.seconds else ""
        row = (o.job.source.name, o.num_frames, o.num_tracks, o.action, rate, o.result)
        table.add_row(*(Text(printable(value)) for value in row))  # as text, brackets are no markup
    # Away from a terminal, lines need not fit a screen.
    console = Console(width=None if sys.stdout.isatty() else 200, color_system=None)
    with console.capture() as captured:
        console.print(table)
    say(*captured.get().splitlines())
