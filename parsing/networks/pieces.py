"""Networks whose dense parts run as graphs: exported once, checked against PyTorch, kept by what they depend on.

A network names methods of tensors to tensors as its `Piece`s, and `run_on` puts graphs in their place. What chooses boxes or
pools regions stays in PyTorch, between them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from parsing.batching import is_out_of_memory
from parsing.networks.graph_cache import keep, keep_refusal, place_of, refusal_in
from parsing.networks.graph_methods import Function, GraphMethod, Inputs, LateGraph, as_tuple, loaded_when_called
from parsing.networks.runtimes import Engine, Precision, Run, Runtime, Shape, chosen_runtime, engine
from parsing.threads import in_threads
from parsing.types import Array

log = logging.getLogger(__name__)
T = TypeVar("T")
# Most that an output may differ, as a share of its range: of logits this moves scores by less than 1e-3, of box deltas boxes by
# less than half a pixel.
MOST_DIFFERENCE = 1e-3
# Of bfloat16 single values say little. The norm of the difference over that of the output is 0.01 to 0.03 in networks that serve
# and near 1 in those that collapse; what the rest costs is for figures on validation data to say, see `placing.py`.
MOST_RELATIVE = 0.1
IMAGES = 4  # axes


@dataclass(frozen=True)
class Piece:
    """A method of tensors to a tensor or several, of a network or of a module inside it, that may run as a graph.

    Args:
        method: its dotted name, such as `heads.0.forward`.
        examples: two lots of inputs; axes on which they differ may have any length.
        one_by_one: the inputs' first axis counts items that do not depend on each other, each of them large, and the first lot
            has one. The graph then takes one at a time and no length is free, which makes it a quarter faster.
        sizes: heights and widths of images that come so often that they have a graph of their own, one by one.
    """

    method: str
    examples: tuple[Inputs, Inputs]
    one_by_one: bool = False
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def shapes(self) -> list[Shape]:
        """Of each input, -1 where any length fits."""
        pairs = zip(*self.examples, strict=True)
        return [tuple(a if a == b else -1 for a, b in zip(one.shape, other.shape, strict=True)) for one, other in pairs]

    @property
    def graph_shapes(self) -> list[Shape]:
        """As `shapes`, of what goes through a graph at a time."""
        return [(1, *shape[1:]) for shape in self.shapes] if self.one_by_one else self.shapes

    @property
    def takes_any_image(self) -> bool:
        """Whether the one input is images of any number and size."""
        return len(self.shapes) == 1 and len(self.shapes[0]) == IMAGES and self.shapes[0][2:] == (-1, -1)

    def of_size(self, height: int, width: int) -> Piece:
        """The piece for images of one size, where it takes images of any."""
        if not self.takes_any_image:
            return self
        shape = self.shapes[0][1], height, width
        return Piece(self.method, pixels((1, *shape), (2, *shape)), one_by_one=True)

    def with_sizes(self, sizes: Sequence[tuple[int, int]]) -> Piece:
        """The piece with graphs of their own for images of some sizes, where it takes images of any."""
        return replace(self, sizes=tuple(sizes)) if self.takes_any_image else self


@in_threads(1)
def noise(one: Shape, other: Shape) -> tuple[Inputs, Inputs]:
    """Examples of a method that takes one tensor of features, the same each time, in [0, 1)."""
    random = torch.Generator().manual_seed(0)
    return (torch.rand(one, generator=random),), (torch.rand(other, generator=random),)


@in_threads(1)
def pixels(one: Shape, other: Shape) -> tuple[Inputs, Inputs]:
    """Examples of a method that takes images as they are decoded, uint8, the same each time."""
    return tuple((tensor.mul(256).byte(),) for (tensor,) in noise(one, other))  # type: ignore[return-value]


class RefusedError(Exception):
    """Why a piece stays in PyTorch."""


def run_on(
    network: Any,
    pieces: Sequence[Piece],
    runtime: Runtime,
    device: str,
    precision: Precision = "float32",
    name: str = "network",
    short_after: int = 0,
) -> Runtime:
    """Put graphs in the place of a network's pieces, as far as they compute what PyTorch computes.

    Args:
        network: a module that is ready to run; methods of it are replaced, so it can no longer be trained.
        name: what runs, for the log, which says what stays in PyTorch, and why.
        short_after: of bfloat16 on OpenVINO, how many convolutions at the beginning of a piece compute in float32 all the same.

    Returns:
        The runtime that runs it.

    Raises:
        InputError: the runtime is not installed, or does not run on this device.
    """
    chosen = chosen_runtime(runtime, device)
    if chosen == "torch":
        return chosen
    made = None if chosen == "compile" else engine(chosen, precision, short_after)
    replaced = 0
    for piece in pieces:
        owner, method = owner_of(network, piece.method)
        original = getattr(owner, method)
        try:
            setattr(owner, method, _faster(original, owner, piece, made, precision, device, f"{name}.{piece.method}"))
            replaced += 1
        except RefusedError as reason:
            log.warning("%s: not on %s (%.200s); PyTorch runs %s", name, chosen, reason, piece.method)
    return chosen if replaced else "torch"


def owner_of(network: nn.Module, method: str) -> tuple[nn.Module, str]:
    """The module that a dotted name leads to, and the name of its method."""
    path, _, last = method.rpartition(".")
    return network.get_submodule(path), last


def _faster(original: Any, owner: nn.Module, piece: Piece, made: Engine | None, precision: Precision, device: str, name: str) -> Any:
    if made is None:
        compiled = torch.compile(original, dynamic=True)
        _check(compiled, original, piece, precision, device)
        return compiled
    maker = _Maker(original, owner, made, precision, device, name)
    with loaded_when_called() if piece.sizes else nullcontext():
        run = maker.graph(piece)
    of_sizes = {size: maker.own(piece, size, run) for size in piece.sizes}
    return GraphMethod(run, original, piece.examples[0], piece.one_by_one, of_sizes)


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes the graphs of a method, and keeps them in the cache."""

    original: Callable[..., Any]
    owner: nn.Module
    made: Engine
    precision: Precision
    device: str
    name: str

    def graph(self, piece: Piece) -> Run:
        """The graph of a piece: made now, or of the cache.

        Raises:
            RefusedError: it does not compute what PyTorch does.
        """
        place = self._place(piece)
        refusal = refusal_in(place)
        if refusal:
            raise RefusedError(refusal)
        if refusal is None:
            return self._export(piece)
        return LateGraph(lambda: self._load(place), lambda: self._export_or(piece, self._in_pytorch, "PyTorch"))

    def own(self, piece: Piece, size: tuple[int, int], otherwise: Run) -> LateGraph:
        """The graph of a height and width, which its first call makes or loads; another one where it is refused."""

        def load() -> Run:
            place = self._place(piece.of_size(*size))  # now: examples of all sizes would take a tenth of a second
            return otherwise if refusal_in(place) else self._load(place)

        with loaded_when_called():
            return LateGraph(load, lambda: self._export_or(piece.of_size(*size), otherwise, "the graph of all sizes"))

    def _place(self, piece: Piece) -> Path:
        return place_of(f"{piece.method} {piece.graph_shapes} {self.made.identity}", self.owner, self.made.suffix)

    def _load(self, place: Path) -> Run:
        return self.made.load(place.read_bytes())

    def _export(self, piece: Piece) -> Run:
        log.info("%s: exporting %s to %s, once for these weights", self.name, piece.method, self.made.name)
        place = self._place(piece)
        with torch.autocast("cpu", enabled=False):  # what calls a graph for the first time may compute in other precisions
            return self._checked(piece, place)

    def _checked(self, piece: Piece, place: Path) -> Run:
        try:
            content = _attempt(lambda: self.made.build(Function(self.owner, self.original), piece.examples[0], piece.graph_shapes))
            run = _attempt(lambda: self.made.load(content))
            _check(GraphMethod(run, self.original, piece.examples[0], piece.one_by_one), self.original, piece, self.precision, self.device)
        except RefusedError as reason:
            keep_refusal(place, str(reason))
            raise
        keep(place, content)
        return run

    def _export_or(self, piece: Piece, otherwise: Run, what: str) -> Run:
        try:
            return self._export(piece)
        except RefusedError as reason:
            log.warning("%s: not on %s (%.200s); %s runs it", self.name, self.made.name, reason, what)
            return otherwise

    def _in_pytorch(self, arrays: Sequence[Array]) -> list[Array]:
        return [tensor.detach().numpy() for tensor in as_tuple(self.original(*map(torch.from_numpy, arrays)))]


def _attempt(run: Callable[[], T]) -> T:
    """The result of what a runtime does, whose errors share no class.

    Raises:
        RefusedError: it cannot be done.
    """
    try:
        return run()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RefusedError(lines[-1] if lines else type(error).__name__) from None


@torch.inference_mode()
def _check(faster: Callable[..., Any], original: Callable[..., Any], piece: Piece, precision: Precision, device: str) -> None:
    """Compare both on both examples.

    Raises:
        RefusedError: it does not run, or an output has another shape or differs too much.
    """
    for inputs in piece.examples:
        placed = tuple(tensor.to(device) for tensor in inputs)
        expected, found = as_tuple(original(*placed)), _attempt(lambda placed=placed: as_tuple(faster(*placed)))  # type: ignore[misc]
        for one, other in zip(expected, found, strict=True):
            if one.shape != other.shape:
                raise RefusedError(f"an output of shape {tuple(other.shape)}, expected {tuple(one.shape)}")
            if precision == "float32":
                off, most, of_what = difference(one, other), MOST_DIFFERENCE, "range"
            else:
                off, most, of_what = relative_difference(one, other), MOST_RELATIVE, "norm"
            if not off <= most:
                raise RefusedError(f"an output is off by {off:.2g} of its {of_what}, at most {most:g} is taken")


def difference(expected: Tensor, found: Tensor) -> float:
    """How far two tensors are apart, over the largest value or 1; infinite where only one of them is finite."""
    pair = _finite(expected, found)
    if pair is None:
        return float("inf")
    one, other = pair
    return float((one - other).abs().amax() / one.abs().amax().clamp(min=1)) if len(one) else 0.0


def relative_difference(expected: Tensor, found: Tensor) -> float:
    """The norm of the difference over that of the expected tensor; infinite where only one of them is finite."""
    pair = _finite(expected, found)
    if pair is None:
        return float("inf")
    one, other = pair
    return float((one - other).norm() / one.norm().clamp(min=1e-6))


def _finite(expected: Tensor, found: Tensor) -> tuple[Tensor, Tensor] | None:
    """The finite values of both, or nothing where they are not finite in the same places."""
    known = expected.isfinite()
    return (expected[known].double(), found[known].double()) if torch.equal(known, found.isfinite()) else None
