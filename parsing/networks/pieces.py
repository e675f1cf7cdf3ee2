"""Networks whose dense parts run as graphs: exported once, checked against PyTorch, kept by what they depend on.

A network names methods of tensors to tensors as its `Piece`s, and `run_on` puts graphs in their place. What chooses boxes or
pools regions stays in PyTorch, between them.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from parsing.batching import is_out_of_memory
from parsing.errors import InputError
from parsing.files import atomic
from parsing.networks.runtimes import Engine, Precision, Run, Runtime, Shape, chosen_runtime, engine
from parsing.networks.zoo import home

log = logging.getLogger(__name__)
T = TypeVar("T")
Inputs = tuple[Tensor, ...]
# Most that an output may differ, as a share of its range: of logits this moves scores by less than 1e-3, of box deltas boxes by
# less than half a pixel. Short numbers move more; whether they serve is for the average precision to say.
MOST_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.1}
MOST_KEPT = 64  # files in the cache
ENVIRONMENT = "PARTWISE_RUNTIME"  # what `auto` means, where it is set


@dataclass(frozen=True)
class Piece:
    """A method of tensors to a tensor or several, of a network or of a module inside it, that may run as a graph.

    Args:
        method: its dotted name, such as `heads.0.forward`.
        examples: two lots of inputs; axes on which they differ may have any length.
    """

    method: str
    examples: tuple[Inputs, Inputs]

    @property
    def shapes(self) -> list[Shape]:
        """Of each input, -1 where any length fits."""
        pairs = zip(*self.examples, strict=True)
        return [tuple(a if a == b else -1 for a, b in zip(one.shape, other.shape, strict=True)) for one, other in pairs]


def noise(one: Shape, other: Shape) -> tuple[Inputs, Inputs]:
    """Examples of a method that takes one tensor, the same each time, in [0, 1)."""
    random = torch.Generator().manual_seed(0)
    return (torch.rand(one, generator=random),), (torch.rand(other, generator=random),)


class RefusedError(Exception):
    """Why a piece stays in PyTorch."""


def run_on(
    network: Any, pieces: Sequence[Piece], runtime: Runtime, device: str, precision: Precision = "float32", name: str = "network"
) -> Runtime:
    """Put graphs in the place of a network's pieces, as far as they compute what PyTorch computes.

    Args:
        network: a module that is ready to run; methods of it are replaced, so it can no longer be trained.
        name: what runs, for the log, which says what stays in PyTorch, and why.

    Returns:
        The runtime that runs it.

    Raises:
        InputError: the runtime is not installed, or does not run on this device.
    """
    chosen = chosen_runtime(_meant(runtime), device)
    if chosen == "torch":
        return chosen
    replaced = 0
    for piece in pieces:
        owner, method = owner_of(network, piece.method)
        original = getattr(owner, method)
        try:
            setattr(owner, method, _faster(original, owner, piece, chosen, precision, device, f"{name}.{piece.method}"))
            replaced += 1
        except RefusedError as reason:
            log.warning("%s: not on %s (%.200s); PyTorch runs %s", name, chosen, reason, piece.method)
    return chosen if replaced else "torch"


def _meant(runtime: Runtime) -> Runtime:
    """A config's runtime; in place of `auto` what the environment says."""
    given, known = os.environ.get(ENVIRONMENT, "auto"), get_args(Runtime)
    if given not in known:
        raise InputError(f"{ENVIRONMENT}: {given!r:.40}, expected {', '.join(known)}")
    return cast(Runtime, given) if runtime == "auto" else runtime


def owner_of(network: nn.Module, method: str) -> tuple[nn.Module, str]:
    """The module that a dotted name leads to, and the name of its method."""
    path, _, last = method.rpartition(".")
    return network.get_submodule(path), last


def _faster(original: Any, owner: nn.Module, piece: Piece, runtime: Any, precision: Precision, device: str, name: str) -> Any:
    if runtime == "compile":
        compiled = torch.compile(original, dynamic=True)
        _check(compiled, original, piece, precision, device)
        return compiled
    made = engine(runtime, precision)
    place = home() / "graphs" / f"{_key(owner, piece, made)}{made.suffix}"
    kept = _read(place)
    if isinstance(kept, str):
        raise RefusedError(kept)
    if kept is not None:
        with suppress(Exception):  # a file of nobody knows what: it is made anew
            return GraphMethod(made.load(kept), original)
    log.info("%s: exporting %s to %s, once for these weights", name, piece.method, runtime)
    try:
        content = _attempt(lambda: made.build(Function(owner, original), piece.examples[0], piece.shapes))
        graph = GraphMethod(_attempt(lambda: made.load(content)), original)
        _check(graph, original, piece, precision, device)
    except RefusedError as reason:
        _keep(place, f"{_REFUSED}{reason}".encode())
        raise
    _keep(place, content)
    return graph


class GraphMethod:
    """A graph in the place of a method: tensors in, a tensor or a tuple of them out."""

    def __init__(self, run: Run, original: Callable[..., Any]) -> None:
        self.run, self.original = run, original
        self.alone = not str(inspect.signature(original).return_annotation).startswith(("tuple", "list"))

    def __call__(self, *tensors: Tensor) -> Any:
        if not all(tensor.numel() for tensor in tensors):  # no runtime takes what is empty
            return self.original(*tensors)
        found = [torch.from_numpy(array) for array in self.run([tensor.detach().contiguous().numpy() for tensor in tensors])]
        return found[0] if self.alone else tuple(found)


class Function(nn.Module):
    """A method as a module of its own, which gives a tuple."""

    def __init__(self, owner: nn.Module, method: Callable[..., Any]) -> None:
        super().__init__()
        self.owner, self.method = owner, method

    def forward(self, *tensors: Tensor) -> Inputs:
        return as_tuple(self.method(*tensors))


def as_tuple(found: Tensor | Sequence[Tensor]) -> Inputs:
    return (found,) if isinstance(found, Tensor) else tuple(found)


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
            off = difference(one, other)
            if not off <= MOST_DIFFERENCE[precision]:
                raise RefusedError(f"an output is off by {off:.2g} of its range, at most {MOST_DIFFERENCE[precision]:g} is taken")


def difference(expected: Tensor, found: Tensor) -> float:
    """How far two tensors are apart, over the largest value or 1; infinite where only one of them is finite."""
    known = expected.isfinite()
    if not torch.equal(known, found.isfinite()):
        return float("inf")
    one, other = expected[known].double(), found[known].double()
    return float((one - other).abs().amax() / one.abs().amax().clamp(min=1)) if known.any() else 0.0


def _key(owner: nn.Module, piece: Piece, made: Engine) -> str:
    """Digest of all that a graph depends on: numbers, code, shapes, runtime."""
    found = hashlib.sha256(f"{piece.method} {piece.shapes} {made.identity} {owner}".encode())
    for name, tensor in sorted([*owner.named_parameters(), *owner.named_buffers()], key=lambda item: item[0]):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for file in sorted({inspect.getsourcefile(type(module)) or "" for module in owner.modules()} - {""}):
        found.update(Path(file).read_bytes())
    return found.hexdigest()


_REFUSED = "refused: "


def _read(place: Path) -> bytes | str | None:
    """A kept file, or why there is none and will be none, or nothing."""
    try:
        content = place.read_bytes()
    except OSError:
        return None
    with suppress(OSError):
        place.touch()  # it is in use
    return content.decode().removeprefix(_REFUSED) if content.startswith(_REFUSED.encode()) else content


def _keep(place: Path, content: bytes) -> None:
    """Put a file into the cache, and take out those that nobody has used for longest; a cache that cannot be written is left."""
    try:
        with atomic(place) as temporary:
            temporary.write_bytes(content)
        files = sorted((file for file in place.parent.iterdir() if not file.name.startswith(".")), key=lambda file: file.stat().st_mtime)
        for file in files[:-MOST_KEPT]:
            file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: the graph cannot be kept (%s), so it will be made again", place.parent, error.strerror)
