"""Weights as safetensors files that say what they are.

A file carries, beside the tensors, a JSON header: the component, the vocabulary it was trained for, its metrics
and how it was trained. Nothing in such a file can execute.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from safetensors.torch import save
from torch import nn
from torch.overrides import TorchFunctionMode

from parsing.configs import config, parse_config
from parsing.errors import InputError
from parsing.files import atomic, naming_full_disk
from parsing.json_files import parse_json
from parsing.networks import zoo
from parsing.networks.download import digest
from parsing.networks.shipped import SHIPPED, shipped_path
from parsing.networks.tensors import fill_network, open_safetensors, read_tensors
from parsing.threads import in_threads
from parsing.types import ModelFacts

DTYPES = {"float32": torch.float32, "float16": torch.float16}
Network = TypeVar("Network", bound=nn.Module)
_DRAWS = frozenset({nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_})


@config
class WeightsHeader:
    """What a weights file says of itself.

    Args:
        component: name in the stage's table.
        architecture: the component's architecture dataclass as JSON; whoever loads the file builds the network from it.
        labels: the vocabulary in the component's own form.
        calibration: of a detector's scores, see `detectors.networks.calibration`; empty where they are the network's own.
        bfloat16_loss: how much the stage's first figure falls on its validation data where bfloat16 computes the network;
            None where nobody has measured it.
        bfloat16_after: so many convolutions at the beginning of a piece compute in float32 all the same.
    """

    component: str
    architecture: dict[str, Any]
    labels: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    bfloat16_loss: float | None = None
    bfloat16_after: Annotated[int, Field(ge=0, le=1000)] = 0


def weights_path(weights: str) -> Path:
    """The file that a config's `weights` names: a shipped set (`default/...`), its place in the cache (`zoo/...`), or a path.

    Raises:
        InputError: the zoo has no such entry.
    """
    if weights.startswith(zoo.PREFIX):
        return zoo.find(weights).weights
    if weights in SHIPPED:
        return shipped_path(weights)
    return Path(weights)


def weights_file(weights: str) -> Path:
    """As `weights_path`; what the zoo names is downloaded and converted where it is not in the cache yet.

    Raises:
        InputError: the zoo has no such entry, or it cannot be had.
    """
    return zoo.fetch(weights) if weights.startswith(zoo.PREFIX) else weights_path(weights)


def read_header(weights: str, component: str | None = None) -> WeightsHeader:
    """What the file says of itself.

    Args:
        component: what it must be of; None takes any.

    Raises:
        InputError: the file is missing, is no safetensors file of this project, or belongs to another component.
    """
    path = weights_file(weights)
    with open_safetensors(path) as file:
        metadata = (file.metadata() or {}).get("partwise")
    if metadata is None:
        wanted = f"weights of {component!r}" if component else "weights of this project"
        raise InputError(f"{path}: safetensors file without this project's header; expected {wanted}")
    header = parse_config(WeightsHeader, parse_json(metadata, f"{path}: header"), f"{path}: header")
    if component is not None and header.component != component:
        raise InputError(f"{path}: weights of {header.component!r:.80}, expected {component!r}")
    return header


class _WithoutDraws(TorchFunctionMode):
    """Layers that are made in this block keep whatever stands in their memory where PyTorch would draw numbers."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if function in _DRAWS:
            return args[0] if args else named["tensor"]
        return function(*args, **named)


@in_threads(1)
def restore(build: Callable[[], Network], weights: str) -> Network:
    """The network that `build` makes of a file's header, filled from that file and never at random.

    Raises:
        InputError: no network can be built as the header says, or the tensors are not its own; names the file.
    """
    path = weights_path(weights)
    try:
        with _WithoutDraws():
            network = build()
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: no network can be built as its header says ({reason:.200})") from None
    load_weights(network, weights)
    return network


def load_weights(module: nn.Module, weights: str) -> None:
    """Fill a module from a file whose header was read; half-precision tensors become the module's own dtype.

    Raises:
        InputError: names, shapes or kinds of the tensors are not the module's, or a number is not finite.
    """
    path = weights_file(weights)
    fill_network(module, read_tensors(path), path, "weights of another network")


def save_weights(module: nn.Module, path: Path, header: WeightsHeader, dtype: torch.dtype = torch.float16) -> None:
    """Write a module's tensors (floating ones as `dtype`) and its header, atomically."""
    tensors = {
        name: (value.detach().cpu().to(dtype) if value.is_floating_point() else value.detach().cpu()).contiguous()
        for name, value in module.state_dict().items()
    }
    _write(tensors, path, header)


def with_header(weights: str, path: Path, header: WeightsHeader) -> None:
    """Write the tensors of a file under another header, atomically."""
    _write(read_tensors(weights_file(weights)), path, header)


def _write(tensors: dict[str, torch.Tensor], path: Path, header: WeightsHeader) -> None:
    content = save(tensors, metadata={"partwise": json.dumps(asdict(header), sort_keys=True)})
    with naming_full_disk(path, len(content)), atomic(path) as temporary:
        temporary.write_bytes(content)


def sha256_of(weights: str) -> str:
    """Raises InputError: the file cannot be read."""
    path = weights_file(weights)
    try:
        return digest(path)
    except OSError as error:
        raise InputError(f"{path}: weights cannot be read ({error.strerror})") from None


def model_facts(stage: str, options: Any, weights: str | None = None) -> ModelFacts:
    """What a parse says of a component.

    Args:
        options: the component's config, which has a `name`.
        weights: the file that it was built from; None where it has none.
    """
    return ModelFacts(stage, options.name, None if weights is None else sha256_of(weights), json.dumps(asdict(options)))
