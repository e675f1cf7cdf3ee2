"""Tensors of a file into a network: names, shapes and kinds are checked, and that every number is finite."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from parsing.errors import InputError


@contextmanager
def open_safetensors(path: Path) -> Iterator[Any]:
    """A safetensors file; its library holds the header against the size of the file, and refuses one of more than 100 MB.

    Raises:
        InputError: the file is missing, or is no safetensors file.
    """
    if path.is_dir():
        raise InputError(f"{path}: a model folder, which `name: transformers` runs; expected a safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: weights not found") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({_reason(path, error)})") from None


def _reason(path: Path, error: Exception) -> str:
    if not path.stat().st_size:
        return "it is empty"
    if zipfile.is_zipfile(path):
        return "a checkpoint of PyTorch, perhaps, which `pipelines.convert` turns into one"
    return f"{' '.join(str(error).split()):.200}"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        InputError: the file is missing, or is no safetensors file.
    """
    with open_safetensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def fill_network(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, problem: str) -> None:
    """Load tensors under the network's own names; floating ones become the network's own dtype.

    Args:
        path: of the file, for messages.
        problem: what a message calls a file of other tensors.

    Raises:
        InputError: tensors are missing, left over, of another shape or kind, or hold NaN or infinity; names the first.
            After the last of these the network is filled all the same, and of no use.
    """
    expected = network.state_dict()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        parts = [f"{len(names)} {what} (first {names[0]!r:.200})" for names, what in ((missing, "missing"), (extra, "unexpected")) if names]
        raise InputError(f"{path}: {problem}: {', '.join(parts)}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise InputError(f"{path}: {problem}: {name!r} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}")
    check_kinds(tensors, expected, path)
    network.load_state_dict(dict(tensors))
    check_finite(network.state_dict(), path)


def check_kinds(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError where whole numbers stand in place of floating ones, or the other way round, which PyTorch would convert."""
    for name in tensors.keys() & expected.keys():
        found, wanted = tensors[name].dtype, expected[name].dtype
        if found != wanted and not (found.is_floating_point and wanted.is_floating_point):
            raise InputError(f"{path}: {name!r} holds {found}, expected {wanted}".replace("torch.", ""))


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError where a tensor holds NaN or infinity."""
    for name, tensor in tensors.items():
        # The sum is not finite where a number is not, and takes a seventh of the time; large numbers are looked at one by one.
        if tensor.is_floating_point() and not tensor.sum().isfinite() and not tensor.isfinite().all():
            raise InputError(f"{path}: {name!r} holds a number that is not finite")
