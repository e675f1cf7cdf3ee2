"""Checkpoints of other libraries: read without executing anything, and fitted into networks of this project."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.networks.inert import Inert, read_pytorch
from parsing.networks.tensors import fill_network, read_tensors

log = logging.getLogger(__name__)
Rule = tuple[str, str | Callable[[re.Match[str]], str]]  # a pattern, and what stands in its place

# Where the tensors lie, moving averages first: timm, torchvision, basicsr; OpenMMLab and Lightning; SlowFast; torchvision; basicsr.
STATE_KEYS = ("state_dict_ema", "model_ema", "params_ema", "state_dict", "model_state", "model", "params")
# What stands before every name: of parallel, compiled and Lightning's modules.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.", "net.")
INDEX = "model.safetensors.index.json"
_ARCHIVE = b"PK\x03\x04"  # what the files of PyTorch since 1.6 begin with


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """Tensors of a checkpoint without the names of wrappers around the network, and what it says of itself (`meta`).

    It may be of OpenMMLab, Lightning, timm, torchvision, SlowFast, PyTorchVideo, basicsr or of plain tensors, as a PyTorch file
    or safetensors, or a model folder of Hugging Face (safetensors, whole or in shards). Nothing in the file is executed:
    objects of other libraries are passed over (`parsing.networks.inert`).

    Raises:
        InputError: it is missing, no checkpoint, damaged, or claims more than its bytes hold.
    """
    tensors, meta = _read(path)
    return _without_wrappers(tensors), meta


def read_state(path: Path) -> dict[str, Tensor]:
    """As `read_checkpoint`, but the tensors alone, under all of their names."""
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    tensors, meta = _read_folder(path) if path.is_dir() else _read_file(path)
    if not tensors or not all(isinstance(item, Tensor) for item in tensors.values()):
        raise InputError(f"{path}: expected a checkpoint with a state_dict of tensors")
    odd = next((name for name, item in tensors.items() if not isinstance(name, str) or not _is_whole(item)), None)
    if odd is not None:
        raise InputError(f"{path}: {odd!r:.80} is no tensor whose numbers all stand in the file")
    return tensors, meta


def _read_file(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    if path.suffix == ".safetensors":
        return read_tensors(path), {}
    value = _load(path)
    found = value if isinstance(value, dict) else {"state_dict": value}
    tensors = next((found[key] for key in STATE_KEYS if isinstance(found.get(key), (dict, Inert))), found)
    if isinstance(tensors, Inert):
        raise InputError(f"{path}: holds a pickled {tensors.name:.80}, which is not built; expected a state_dict of tensors")
    meta = found.get("meta")
    return tensors, meta if isinstance(meta, dict) else {}


def _read_folder(folder: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """A model folder of Hugging Face; `meta` is its config, with the labels as `CLASSES`."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: a model folder without config.json")
    config = read_json(folder / "config.json")
    names = shards_of(folder / INDEX) if (folder / INDEX).is_file() else ["model.safetensors"]
    tensors = {name: tensor for file in names for name, tensor in read_tensors(folder / file).items()}
    labels = config.get("id2label") if isinstance(config, dict) else None
    classes = [labels[key] for key in sorted(labels, key=int)] if isinstance(labels, dict) and all(map(str.isdigit, labels)) else []
    return tensors, {**config, "CLASSES": classes} if isinstance(config, dict) else {}


def shards_of(index: Path) -> list[str]:
    """Names of the safetensors files that an index of Hugging Face says hold the tensors.

    Raises:
        InputError: it names none, or others than files beside it.
    """
    value = read_json(index)
    found = value.get("weight_map") if isinstance(value, dict) else None
    names = list(found.values()) if isinstance(found, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name and name.endswith(".safetensors") for name in names):
        raise InputError(f"{index}: weight_map: expected the names of safetensors files in this folder")
    return sorted(set(names))


def _load(path: Path) -> Any:
    """What a PyTorch file holds, with stand-ins for objects of other libraries."""
    try:
        check_unpacked(path)
        value, passed_over = read_pytorch(path)
    except FileNotFoundError:
        raise InputError(f"{path}: checkpoint not found") from None
    except InputError:
        raise
    except Exception as error:  # files that are no checkpoints fail in many ways
        raise InputError(f"{path}: not a PyTorch checkpoint, or a damaged one ({_reason(path, error):.120})") from None
    if passed_over:
        log.info("%s: passed over objects of %s", path, ", ".join(sorted(passed_over))[:200])
    return value


def _reason(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        begins = file.read(len(_ARCHIVE))
    if not begins:
        return "it is empty"
    if begins == _ARCHIVE and not zipfile.is_zipfile(path):
        return "its end is missing"
    return " ".join(str(error).split()) or type(error).__name__


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the network itself has them; the count of a moving average goes."""
    tensors = {name: tensor for name, tensor in tensors.items() if name != "n_averaged"}
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            return _without_wrappers({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return tensors


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
    """Load tensors under the network's own names; batch norms may lack their counts of batches, which older files do not have.

    Args:
        target: what the checkpoint should be, and `path`, for messages.

    Raises:
        InputError: tensors are missing, left over, of another shape or kind, or hold NaN or infinity; names the first.
    """
    counts = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    fill_network(network, counts | dict(tensors), path, f"not a checkpoint of {target}")


def rewrite(name: str, rules: Sequence[Rule]) -> str:
    """A tensor's name on this side: every rule in order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
