"""A live source on its way through the parser: how it is opened, how it ends, and how late its frames are."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from parsing.media.addresses import Address
from parsing.media.live import LiveSource

BIN_S, MOST_S = 0.01, 60.0  # of the delays that are told apart
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class LiveOptions:
    """How live sources are read, see `LiveSource`."""

    drops: bool = True
    reconnect_s: float = 60.0
    most_s: float | None = None

    def open(self, address: Address) -> LiveSource:
        return LiveSource(address, drops=self.drops, reconnect_s=self.reconnect_s, most_s=self.most_s)


@contextmanager
def ended_by_signals(source: LiveSource) -> Iterator[Callable[[], None]]:
    """Within the block, Ctrl-C or SIGTERM ends the source, so that its document is finished; a second one ends the program."""

    def end(number: int, frame: object) -> None:  # noqa: ARG001
        if source.is_stopped:
            raise KeyboardInterrupt
        source.stop()

    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield source.stop
        return
    before = {number: signal.signal(number, end) for number in ENDS}
    try:
        yield source.stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Delays:
    """How long after its arrival each frame was done, as a histogram, which does not grow."""

    def __init__(self) -> None:
        self._counts = np.zeros(round(MOST_S / BIN_S) + 1, np.int64)
        self._most_s = 0.0

    def add(self, delay_s: float) -> None:
        self._counts[min(int(delay_s / BIN_S), len(self._counts) - 1)] += 1
        self._most_s = max(self._most_s, delay_s)

    def share_s(self, share: float) -> float:
        """The delay that this share of the frames do not exceed, to 0.01 s."""
        return float(np.searchsorted(np.cumsum(self._counts), share * self._counts.sum()) + 1) * BIN_S

    def __str__(self) -> str:
        if not self._counts.any():
            return "no frame was done"
        return f"done {self.share_s(0.5):.2f} s after they came, {self.share_s(0.95):.2f} s for 95 %, {self._most_s:.2f} s at most"
