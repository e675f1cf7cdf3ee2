"""Decoding ahead in a thread, so that it overlaps with the networks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_END = object()


def prefetched(items: Iterable[T], ahead: int = 1) -> Iterator[T]:
    """The same items in the same order, made in a thread that runs at most `ahead` items in front.

    An exception of the source is raised here; leaving the loop early stops the thread.
    """
    channel: queue.Queue[object] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: object) -> None:
        while not stopped.is_set():
            try:
                channel.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put(_END)
        except BaseException as error:  # handed over, whatever it is
            put((None, error))

    thread = threading.Thread(target=work, name="decode", daemon=True)
    thread.start()
    try:
        while (message := channel.get()) is not _END:
            item, error = message  # type: ignore[misc]
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()
