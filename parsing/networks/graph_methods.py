"""Graphs in the place of methods of a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Lock, Thread
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parsing.networks.runtimes import Run
from parsing.types import Array

Inputs = tuple[Tensor, ...]
_WHEN_CALLED: ContextVar[bool] = ContextVar("_WHEN_CALLED", default=False)


@contextmanager
def loaded_when_called() -> Iterator[None]:
    """What is built in this block may never be called: its first call loads networks that `late` is asked for, and graphs."""
    token = _WHEN_CALLED.set(True)
    try:
        yield
    finally:
        _WHEN_CALLED.reset(token)


def late(build: Callable[[], nn.Module]) -> Callable[..., Any]:
    """A network, or, inside `loaded_when_called`, what its first call will build."""
    return LateNetwork(build) if _WHEN_CALLED.get() else build()


class LateNetwork:
    """A network that its first call builds, whatever block of PyTorch's that call stands in."""

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        self._build, self._turn = build, Lock()
        self._network: nn.Module | None = None

    def __call__(self, *inputs: Any) -> Any:
        with self._turn:
            if self._network is None:
                with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
                    self._network = self._build()
        return self._network(*inputs)


class LateGraph:
    """A graph of the cache: a thread loads it while the program goes on, or, inside `loaded_when_called`, its first call does.

    Args:
        otherwise: gives a graph where it cannot be loaded; the first call asks for it.
    """

    _turn = Lock()  # one is loaded at a time, beside what else the program does

    def __init__(self, load: Callable[[], Run], otherwise: Callable[[], Run]) -> None:
        self._load, self._otherwise = load, otherwise
        self._run: Run | None = None
        if not _WHEN_CALLED.get():
            self.begin()

    def begin(self) -> None:
        """Load it in a thread."""
        Thread(target=self._try_to_load).start()

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        if self._run is None:
            self._try_to_load()
            with self._turn:
                self._run = self._run or self._otherwise()
        return self._run(inputs)

    def _try_to_load(self) -> None:
        with self._turn, suppress(Exception):  # a file of nobody knows what
            self._run = self._run or self._load()


class GraphMethod:
    """A graph in the place of a method: tensors in, a tensor or a tuple of them out.

    Tensors of other types than the example's, and empty ones, which no runtime takes, go to the method itself.

    Args:
        one_by_one: the graph takes one item of a batch at a time.
        of_sizes: graphs that take one image of a height and width at a time.
    """

    def __init__(
        self,
        run: Run,
        original: Callable[..., Any],
        example: Inputs,
        one_by_one: bool = False,
        of_sizes: Mapping[tuple[int, int], LateGraph] = MappingProxyType({}),
    ) -> None:
        self.run, self.original, self.one_by_one, self.of_sizes = run, original, one_by_one, of_sizes
        self.types = [tensor.dtype for tensor in example]
        self.alone = not str(inspect.signature(original).return_annotation).startswith(("tuple", "list"))

    def expect(self, height: int, width: int) -> None:
        """Load the graph that images of a size will go to, in a thread."""
        graph = self.of_sizes.get((height, width), self.run)
        if isinstance(graph, LateGraph):
            graph.begin()

    def __call__(self, *tensors: Tensor) -> Any:
        if [tensor.dtype for tensor in tensors] != self.types or not all(tensor.numel() for tensor in tensors):
            return self.original(*tensors)
        arrays = [tensor.detach().numpy() for tensor in tensors]
        own: Run | None = self.of_sizes.get(arrays[0].shape[2:], self.run if self.one_by_one else None)
        found = [torch.from_numpy(array) for array in (self.run(arrays) if own is None else run_items(own, arrays))]
        return found[0] if self.alone else tuple(found)


def run_items(run: Run, arrays: Sequence[Array]) -> list[Array]:
    """What a graph computes of each item of a batch, as one batch."""
    items = [run([array[i : i + 1] for array in arrays]) for i in range(len(arrays[0]))]
    return items[0] if len(items) == 1 else [np.concatenate(column) for column in zip(*items, strict=True)]


class Function(nn.Module):
    """A method as a module of its own, which gives a tuple."""

    def __init__(self, owner: nn.Module, method: Callable[..., Any]) -> None:
        super().__init__()
        self.owner, self.method = owner, method
        self.training = owner.training  # which exporters to ONNX bring back when they end, in all modules inside

    def forward(self, *tensors: Tensor) -> Inputs:
        return as_tuple(self.method(*tensors))


def as_tuple(found: Tensor | Sequence[Tensor]) -> Inputs:
    return (found,) if isinstance(found, Tensor) else tuple(found)
