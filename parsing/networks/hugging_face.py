"""Model folders as transformers saves them. Nothing that comes with a folder is executed, and nothing is fetched unasked."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from parsing.batching import is_out_of_memory
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.json_files import read_json
from parsing.networks import zoo
from parsing.networks.download import offline
from parsing.networks.weights import sha256_of
from parsing.types import ModelFacts

MODEL_FILES = ("*.json", "*.safetensors")  # all that is read, and all that is ever fetched
ATTENTION = (None, "eager", "sdpa")  # other implementations are code from elsewhere
ModelClass = Literal["AutoModelForObjectDetection", "VitPoseForPoseEstimation", "AutoModelForVideoClassification", "CLIPModel"]
ProcessorClass = Literal["AutoImageProcessor", "AutoVideoProcessor", "AutoTokenizer"]


def model_folder(weights: str, allow_network: bool) -> Path:
    """The folder of a model: `weights` itself, an entry of the zoo, or the copy of a model id in Hugging Face's cache.

    Args:
        allow_network: a model id that the cache does not hold may be fetched, unless the user is offline (`PARTWISE_OFFLINE`).

    Raises:
        InputError: there is neither, or the folder holds no model.
    """
    import_extra("transformers", "transformers")  # what is missing is told before the folder is looked at
    folder = zoo.fetch(weights) if weights.startswith(zoo.PREFIX) else Path(weights)
    if weights.startswith(zoo.PREFIX) and not folder.is_dir():
        raise InputError(f"{weights}: weights of {zoo.find(weights).network}; expected a model folder of transformers")
    if not folder.is_dir():
        fetch = import_extra("huggingface_hub", "transformers").snapshot_download
        allowed = allow_network and not offline()
        try:
            folder = Path(fetch(weights, allow_patterns=MODEL_FILES, local_files_only=not allowed))
        except Exception as error:  # its errors share no class
            hint = _reason(error) if allowed else "a model id is fetched with allow_network: true alone, and never with PARTWISE_OFFLINE"
            raise InputError(f"{weights}: no model folder, and no model id that could be had ({hint})") from None
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: holds no config.json; expected a model folder as transformers saves it")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder}: holds no *.safetensors; weights of other kinds can execute code and are not loaded")
    return folder


def load_model(folder: Path, model: ModelClass, processor: ProcessorClass, device: str) -> tuple[nn.Module, Any]:
    """A network in float32, ready to run, and the processor or tokenizer that makes its inputs.

    Raises:
        InputError: the folder holds another kind of model, lacks tensors or files, or wants code of its own; one line.
    """
    transformers = import_extra("transformers", "transformers")
    _check_config(read_json(folder / "config.json"), folder)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _offline(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of its own deprecations
            preparing = getattr(transformers, processor).from_pretrained(str(folder), **local)
            network, loaded = getattr(transformers, model).from_pretrained(
                str(folder), use_safetensors=True, dtype=torch.float32, output_loading_info=True, **local
            )
    except Exception as error:  # its errors share no class
        if is_out_of_memory(error):
            raise
        raise InputError(f"{folder}: not a folder for transformers' {model} ({_reason(error)})") from None
    missing = sorted(loaded["missing_keys"])
    if missing:
        raise InputError(f"{folder}: lacks {len(missing)} tensors of the network, first {missing[0]!r:.80}")
    odd = next((name for name, value in network.named_parameters() if not torch.isfinite(value).all()), None)
    if odd is not None:
        raise InputError(f"{folder}: {odd!r:.80} holds numbers that are not finite")
    return network.eval().to(device), preparing


def folder_facts(stage: str, options: Any, folder: Path) -> ModelFacts:
    """What a parse says of a component whose weights are a folder; the hash is that of its file, or of its files' hashes."""
    hashes = [sha256_of(str(path)) for path in sorted(folder.glob("*.safetensors"))]
    whole = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return ModelFacts(stage, options.name, whole, json.dumps(asdict(options)))


def _check_config(value: Any, folder: Path) -> None:
    """Raises InputError where a config, or one inside it, asks for kernels that transformers would fetch and run."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, item in value.items() if isinstance(value, Mapping) else ():
        asks = key == "quantization_config" or (str(key).endswith("_implementation") and item not in ATTENTION)
        if asks and item is not None:
            raise InputError(f"{folder / 'config.json'}: {key} {item!r:.60} would run code from elsewhere, which is not done")
        _check_config(item, folder)


@contextmanager
def _offline() -> Iterator[None]:
    """No request leaves the machine: a config can name repositories of its own."""
    constants: Any = import_extra("huggingface_hub.constants", "transformers")
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
