"""Decoding ahead in a thread, so that it overlaps with the networks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar, cast

T = TypeVar("T")


def prefetched(items: Iterable[T], ahead: int = 1) -> Generator[T]:
    """The same items in the same order, made in a thread that runs at most `ahead` items in front.

    An exception of the source is raised here; closing the generator stops the thread and waits for its end.
    """
    channel: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                channel.put((item, error), timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:  # handed over, whatever it is
            put(None, error)

    thread = threading.Thread(target=work, name="decode", daemon=True)
    thread.start()
    try:
        while True:
            item, error = channel.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield cast(T, item)
    finally:
        stopped.set()
        thread.join()
