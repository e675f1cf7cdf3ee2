"""Turn public checkpoints into weights.

python -m pipelines.convert mmdet CHECKPOINT --to cascade_rcnn_r50 --out FILE
python -m pipelines.convert mmaction2|torchvision|pytorchvideo CHECKPOINT --to slowfast_r50_4x16 --classes FILE --out FILE
python -m pipelines.convert mmagic|basicsr CHECKPOINT --to basicvsr_x4 --out FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from detectors.networks import DetectionNetwork, header_of
from detectors.networks import conversion as detection
from parsing.configs import nearest
from parsing.console import say
from parsing.errors import InputError
from parsing.networks.checkpoints import read_checkpoint
from parsing.networks.weights import WeightsHeader, save_weights, sha256_of
from parsing.vocabulary import read_list
from pipelines.command import add_output_options, claim, run_command
from recognizers.networks import conversion as recognition
from recognizers.superres import conversion as superres

DTYPES = {"float32": torch.float32, "float16": torch.float16}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.convert", description="Turn a public checkpoint into weights.")
    parser.add_argument("origin", choices=("mmdet", *recognition.RULES, *superres.RULES), help="the library that wrote the checkpoint")
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a .pth, .safetensors or folder of these; nothing in it is executed"
    )
    kinds = {"detectors": sorted(detection.TARGETS), "recognizers": sorted(recognition.TARGETS), "videos": sorted(superres.TARGETS)}
    targets = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items())
    parser.add_argument("--to", required=True, metavar="NETWORK", help=targets)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors to write")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="NAME|FILE",
        help="class names, or a file of them, where the checkpoint says none",
    )
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="default: float32")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    targets, read = _reader(arguments.origin)
    if arguments.to not in targets:
        raise InputError(f"--to {arguments.to}: {arguments.origin} has no such network; {nearest(arguments.to, targets)}")
    claim(arguments, [arguments.out], arguments.classes)
    tensors, meta = read_checkpoint(arguments.checkpoint)
    training = {"converted_from": arguments.checkpoint.name, "sha256": sha256_of(str(arguments.checkpoint))}
    names = class_names(arguments.classes)
    network, header = read(arguments, tensors, meta, names, training)
    save_weights(network, arguments.out, header, DTYPES[arguments.dtype])
    if not arguments.quiet:
        say(f"wrote {arguments.out}: {header.component}" + "".join(f", {len(found)} classes" for found in header.labels.values()))
    return 0


Reader = Callable[[argparse.Namespace, dict[str, Any], Any, list[str], dict[str, Any]], tuple[nn.Module, WeightsHeader]]


def _reader(origin: str) -> tuple[Mapping[str, Any], Reader]:
    """What a library's checkpoints can become, and what makes it of them."""
    if origin == "mmdet":
        return detection.TARGETS, _detector
    if origin in superres.RULES:
        return superres.TARGETS, _super_resolver
    return recognition.TARGETS, _recognizer


def class_names(given: list[str]) -> list[str]:
    """Names as they are, or from a list file."""
    return list(read_list(Path(given[0]))) if len(given) == 1 and Path(given[0]).is_file() else given


def _detector(
    arguments: argparse.Namespace, tensors: dict[str, Any], meta: Any, names: list[str], training: dict[str, Any]
) -> tuple[nn.Module, WeightsHeader]:
    known = detection.class_names_of(meta, detection.num_classes_of(tensors, arguments.checkpoint), names)
    network_name, network = detection.convert(tensors, arguments.to, known, arguments.checkpoint)
    return network, header_of(network_name, cast(DetectionNetwork, network), {}, training)


def _recognizer(
    arguments: argparse.Namespace,
    tensors: dict[str, Any],
    meta: Any,  # noqa: ARG001  # recognizers' checkpoints say no class names
    names: list[str],
    training: dict[str, Any],
) -> tuple[nn.Module, WeightsHeader]:
    count = recognition.num_actions_of(tensors, arguments.checkpoint)
    if len(names) != count:
        raise InputError(f"--classes: {len(names)} names for {count} classes of the checkpoint")
    network = recognition.convert(tensors, arguments.origin, arguments.to, names, arguments.checkpoint)
    architecture = asdict(cast(Any, network).architecture)
    return network, WeightsHeader(recognition.TARGETS[arguments.to][0], architecture, {"actions": names}, {}, training)


def _super_resolver(
    arguments: argparse.Namespace,
    tensors: dict[str, Any],
    meta: Any,  # noqa: ARG001  # of no use here
    names: list[str],
    training: dict[str, Any],
) -> tuple[nn.Module, WeightsHeader]:
    if names:
        raise InputError(f"--classes: {len(names)} names, but networks of super-resolution have no classes")
    network = superres.convert(tensors, arguments.origin, arguments.to, arguments.checkpoint)
    architecture = asdict(cast(Any, network).architecture)
    return network, WeightsHeader(superres.TARGETS[arguments.to][0], architecture, {}, {}, training)


if __name__ == "__main__":
    run_command(build_parser(), main)
