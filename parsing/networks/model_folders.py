"""Model folders of Hugging Face by address: config, processor and weights, file by file through the one download path.

What a folder has is found by asking: weights are one safetensors file, an index with shards, or a PyTorch file, which is read
without executing anything and rewritten as safetensors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from parsing.errors import InputError
from parsing.files import atomic
from parsing.json_files import read_json
from parsing.networks.checkpoints import INDEX, read_state, shards_of
from parsing.networks.download import ForbiddenError, NotThereError, check_hash, download
from parsing.networks.tensors import open_safetensors

CONFIG = "config.json"
PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
WHOLE, PICKLED = "model.safetensors", "pytorch_model.bin"


def fetch_folder(url: str, folder: Path, sha256: str) -> None:
    """Bring what is missing of a model folder; files that are there already stay as they are.

    Args:
        url: of its `config.json`; the other files lie beside it.
        sha256: of its weights in one file as they are downloaded, or the first digits; empty checks only what the server says.

    Raises:
        InputError: a file cannot be had, or is none of such a folder; names the file.
    """
    place = url.rpartition("/")[0]
    _bring(place, folder, CONFIG)
    if not isinstance(read_json(folder / CONFIG), dict):
        raise InputError(f"{folder / CONFIG}: expected the JSON object that describes a model")
    # A processor is described in one file or in two, by the year of its model.
    if not _has(folder, *PROCESSORS) and not [name for name in PROCESSORS if _is_brought(place, folder, name)]:
        raise InputError(f"none of {', '.join(PROCESSORS)} is there; a model without its processor cannot be run")
    if not _has(folder, WHOLE, INDEX, PICKLED) and not any(_is_brought(place, folder, name) for name in (WHOLE, INDEX)):
        _bring(place, folder, PICKLED)
    for name in shards_of(folder / INDEX) if _has(folder, INDEX) else ():
        _bring(place, folder, name)
    if given := next((name for name in (PICKLED, WHOLE) if _has(folder, name)), None):
        check_hash(folder / given, sha256)
    if given == PICKLED:
        _rewrite(folder)
    for path in folder.glob("*.safetensors"):
        with open_safetensors(path):  # which holds its header against its size
            pass


def _has(folder: Path, *names: str) -> bool:
    return any((folder / name).is_file() for name in names)


def _is_brought(place: str, folder: Path, name: str) -> bool:
    """False where the server has no such file."""
    try:
        _bring(place, folder, name)
    except NotThereError:
        return False
    return True


def _bring(place: str, folder: Path, name: str) -> None:
    if _has(folder, name):
        return
    try:
        download(f"{place}/{name}", folder / name, "")
    except ForbiddenError as error:
        raise InputError(f"{name}: {error}; its page says who may have it") from None
    except InputError as error:
        raise type(error)(f"{name}: {error}") from None


def _rewrite(folder: Path) -> None:
    """PyTorch's file as safetensors; each tensor is copied, as several may lie in one place."""
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in read_state(folder / PICKLED).items()}
    with atomic(folder / WHOLE) as temporary:
        save_file(tensors, temporary, {"format": "pt"})
    (folder / PICKLED).unlink()
