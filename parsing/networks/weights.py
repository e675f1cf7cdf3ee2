"""Weights as safetensors files that say what they are.

A file carries, beside the tensors, a JSON header: the component, the vocabulary it was trained for, its metrics
and how it was trained. Nothing in such a file can execute.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.files import atomic, naming_full_disk
from parsing.types import ModelFacts

# Name in a config -> package that ships the file under its `weights` folder.
SHIPPED = {
    "default/person_detector": "detectors",
    "default/part_detector": "detectors",
    "default/part_states": "parsing.states",
    "default/state_filter": "parsing.states",
    "default/recognizer": "recognizers",
    "default/low_res_recognizer": "recognizers",
    "default/low_res_recognizer_frames": "recognizers",
    "default/super_resolution": "recognizers.superres",
}


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says of itself.

    Args:
        component: name in the stage's table.
        architecture: the component's architecture dataclass as JSON; whoever loads the file builds the network from it.
        labels: the vocabulary in the component's own form.
        calibration: of a detector's scores, see `detectors.calibration`; empty where they are the network's own.
    """

    component: str
    architecture: dict[str, Any]
    labels: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)


def weights_path(weights: str) -> Path:
    """The file that a config's `weights` names: a shipped set (`default/...`) or a path."""
    if weights in SHIPPED:
        return Path(str(resources.files(SHIPPED[weights]))) / "weights" / f"{weights.partition('/')[2]}.safetensors"
    return Path(weights)


def read_header(weights: str, component: str) -> WeightsHeader:
    """What the file says of itself.

    Raises:
        InputError: the file is missing, is no safetensors file of this project, or belongs to another component.
    """
    path = weights_path(weights)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        header = WeightsHeader(**json.loads(metadata["partwise"]))
    except FileNotFoundError:
        raise InputError(f"{path}: weights not found") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: safetensors file without this project's header; expected weights of {component!r}") from None
    if header.component != component:
        raise InputError(f"{path}: weights of {header.component!r}, expected {component!r}")
    return header


def load_weights(module: nn.Module, weights: str) -> None:
    """Fill a module from a file whose header was read; half-precision tensors become the module's own dtype.

    Raises:
        InputError: names or shapes of the tensors are not the module's.
    """
    path = weights_path(weights)
    with safe_open(path, framework="pt") as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = module.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        problem = "lacks" if name in expected else "has an unexpected"
        raise InputError(f"{path}: weights of another network: the file {problem} tensor {name!r}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            found, wanted = tuple(tensor.shape), tuple(expected[name].shape)
            raise InputError(f"{path}: weights of another network: {name!r} has shape {found}, expected {wanted}")
    module.load_state_dict(tensors)


def save_weights(module: nn.Module, path: Path, header: WeightsHeader, dtype: torch.dtype = torch.float16) -> None:
    """Write a module's tensors (floating ones as `dtype`) and its header, atomically."""
    tensors = {
        name: (value.detach().cpu().to(dtype) if value.is_floating_point() else value.detach().cpu()).contiguous()
        for name, value in module.state_dict().items()
    }
    fields = asdict(header)
    content = save(tensors, metadata={"partwise": json.dumps(fields, sort_keys=True)})
    with naming_full_disk(path, len(content)), atomic(path) as temporary:
        temporary.write_bytes(content)


def sha256_of(weights: str) -> str:
    return hashlib.sha256(weights_path(weights).read_bytes()).hexdigest()


def model_facts(stage: str, options: Any, weights: str | None = None) -> ModelFacts:
    """What a parse says of a component.

    Args:
        options: the component's config, which has a `name`.
        weights: the file that it was built from; None where it has none.
    """
    return ModelFacts(stage, options.name, None if weights is None else sha256_of(weights), json.dumps(asdict(options)))
