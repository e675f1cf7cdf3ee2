"""Checkpoints of other libraries: read without executing anything, and fitted into networks of this project."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks.tensors import fill_network

Rule = tuple[str, str | Callable[[re.Match[str]], str]]  # a pattern, and what stands in its place

# Where the tensors lie in files of OpenMMLab, PyTorchVideo, and basicsr (with and without a moving average).
STATE_KEYS = ("state_dict", "model_state", "params_ema", "params")


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """Tensors and `meta` of a checkpoint of OpenMMLab, PyTorchVideo, basicsr or of plain tensors; nothing in the file is executed.

    Raises:
        InputError: it is missing, no checkpoint, or holds pickled objects.
    """
    try:
        check_unpacked(path)
        value = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: checkpoint not found") from None
    except InputError:
        raise
    except Exception as error:  # torch.load fails in many ways on files that are not its own
        if type(error).__name__ != "UnpicklingError":
            raise InputError(f"{path}: not a PyTorch checkpoint ({' '.join(str(error).split())[:120]})") from None
        found = re.search(r"(?:GLOBAL|Unsupported global:?(?: GLOBAL)?) `?([\w.]+)", str(error))
        name = f" ({found.group(1)})" if found else ""
        raise InputError(f"{path}: holds pickled objects{name}, which are not loaded; expected a published checkpoint of tensors") from None
    tensors = next((value[key] for key in STATE_KEYS if key in value), value) if isinstance(value, dict) else None
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(item, Tensor) for item in tensors.values()):
        raise InputError(f"{path}: expected a checkpoint with a state_dict of tensors")
    odd = next((name for name, item in tensors.items() if not isinstance(name, str) or not _is_whole(item)), None)
    if odd is not None:
        raise InputError(f"{path}: {odd!r:.80} is no tensor whose numbers all stand in the file")
    meta = value.get("meta")
    return tensors, meta if isinstance(meta, dict) else {}


def check_unpacked(path: Path) -> None:
    """Raises InputError where an archive claims more than the file holds: PyTorch does not pack, so a packed one may be a bomb."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed, size = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        if claimed > size:
            raise InputError(f"{path}: packed, {size:,} bytes that claim to be {claimed:,}; expected a checkpoint as PyTorch writes it")


def _is_whole(tensor: Tensor) -> bool:
    """Whether each number has a place of its own; a file of a few bytes can repeat one number a billion times."""
    strided = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return strided and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def fill(network: nn.Module, tensors: Mapping[str, Tensor], target: str, path: Path) -> None:
    """Load tensors under the network's own names.

    Args:
        target: what the checkpoint should be, and `path`, for messages.

    Raises:
        InputError: tensors are missing, left over, of another shape or kind, or hold NaN or infinity; names the first.
    """
    fill_network(network, tensors, path, f"not a checkpoint of {target}")


def rewrite(name: str, rules: Sequence[Rule]) -> str:
    """A tensor's name on this side: every rule in order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
