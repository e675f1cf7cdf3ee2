"""Frames on their way through the networks: decoded ahead, several key frames at a time, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from parsing.stages import Item
from parsing.threads import in_threads
from parsing.types import Array, Frame, FrameParse
from pipelines.parse.keys import KeyFrames

T = TypeVar("T")
Parsing = Callable[[list[Frame], Array | None], list[FrameParse]]
AHEAD = 1  # groups that go through the networks while the one before them is tracked and written


class Lanes:
    """Calls of the networks that run at the same time, each in a thread of its own with its share of the cores.

    Args:
        calls: at a time. One takes a whole group of key frames together; of several, each takes one key frame.
    """

    def __init__(self, calls: int) -> None:
        self.calls, self.threads = calls, max(1, torch.get_num_threads() // calls)

    @contextmanager
    def open(self) -> Iterator[ThreadPoolExecutor]:
        """The threads, which end with the block; what has not begun by then never does."""
        pool = ThreadPoolExecutor(self.calls, "networks", torch.set_num_threads, (self.threads,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)

    def beside(self, items: Iterable[T]) -> Generator[T]:
        """The same items, made in the thread that asks for them with no more of PyTorch's threads than a call has.

        The small networks that follow the large ones would else wait for threads whose cores are taken, longer than they compute.
        """
        iterator = iter(items)
        while True:
            try:
                with in_threads(self.threads):
                    item = next(iterator)
            except StopIteration:
                return
            yield item

    def shares(self, frames: list[Frame]) -> list[list[Frame]]:
        """What each call gets of a group."""
        return [[frame] for frame in frames] if self.calls > 1 else [frames] if frames else []


@dataclass(frozen=True)
class Group:
    """Frames that share a distribution of actions, and whether each is a key frame."""

    frames: Sequence[tuple[Frame, bool]]
    actions: Array | None

    @property
    def key_frames(self) -> list[Frame]:
        return [frame for frame, is_key in self.frames if is_key]


def parsed(groups: Iterable[Group], parse: Parsing, lanes: Lanes, keys: KeyFrames, ahead: int = AHEAD) -> Generator[Item]:
    """Every frame in order, with a parse where it is a key frame.

    The networks work on the next group while this one is used.

    Args:
        ahead: groups that are asked for before the first one is given; 0 for live sources, whose next frame is still to come.
    """
    waiting: deque[tuple[Group, list[Future[list[FrameParse]]]]] = deque()
    with lanes.open() as pool:
        for group in groups:
            waiting.append((group, [pool.submit(parse, share, group.actions) for share in lanes.shares(group.key_frames)]))
            if len(waiting) > ahead:
                yield from _finished(*waiting.popleft(), keys)
        while waiting:
            yield from _finished(*waiting.popleft(), keys)


def _finished(group: Group, futures: list[Future[list[FrameParse]]], keys: KeyFrames) -> Iterator[Item]:
    """The frames of a group, each as soon as its networks have come to it."""
    parses = (found for future in futures for found in future.result())
    for frame, is_key in group.frames:
        found = next(parses) if is_key else None
        if found is not None:
            keys.saw(found.persons)
        yield frame, found


def grouped(
    frames: Iterable[Frame], actions_at: Callable[[float], Array | None], keys: KeyFrames, most: int, keep_images: bool
) -> Iterator[Group]:
    """Frames in runs that share a distribution of actions.

    Args:
        most: frames of a run, whose key frames `keys` bounds too.
        keep_images: False lets images of other frames than key frames go; they then hold one black pixel.
    """
    group: list[tuple[Frame, bool]] = []
    actions: Array | None = None
    for frame in frames:
        before, actions = actions, actions_at(frame.time_s)
        if group and actions is not before:
            yield Group(group, before)
            group = []
        is_key = keys(frame)
        kept = frame if keep_images or is_key else Frame(frame.video, frame.index, frame.time_s, np.zeros((1, 1, 3), np.uint8))
        group.append((kept, is_key))
        if len(group) >= most or sum(key for _, key in group) == keys.most_keys:  # now, as the next frame may be long in coming
            yield Group(group, actions)
            group = []
    if group:
        yield Group(group, actions)
