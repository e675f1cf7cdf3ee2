"""Turn public checkpoints into weights: `python -m pipelines.convert mmdet CHECKPOINT --to cascade_rcnn_r50 --out FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import torch

from detectors.conversion import TARGETS, class_names_of, convert, num_classes_of
from detectors.networks import DetectionNetwork, header_of
from parsing.checkpoints import read_checkpoint
from parsing.weights import save_weights, sha256_of
from pipelines.command import run_command

DTYPES = {"float32": torch.float32, "float16": torch.float16}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.convert", description="Turn a public checkpoint into weights.")
    parser.add_argument("origin", choices=("mmdet",), help="the library that wrote the checkpoint")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a published .pth; pickled objects in it are refused")
    parser.add_argument("--to", required=True, choices=sorted(TARGETS), metavar="NETWORK", help=f"one of: {', '.join(sorted(TARGETS))}")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors to write")
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="class names, where the checkpoint does not say them")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="default: float32")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: argparse.Namespace) -> int:
    tensors, meta = read_checkpoint(arguments.checkpoint)
    names = class_names_of(meta, num_classes_of(tensors, arguments.checkpoint), arguments.classes)
    network_name, network = convert(tensors, arguments.to, names, arguments.checkpoint)
    training = {"converted_from": arguments.checkpoint.name, "sha256": sha256_of(str(arguments.checkpoint))}
    header = header_of(network_name, cast(DetectionNetwork, network), {}, training)
    save_weights(network, arguments.out, header, DTYPES[arguments.dtype])
    if not arguments.quiet:
        print(f"wrote {arguments.out}: {network_name}, {len(names)} classes")
    return 0


if __name__ == "__main__":
    run_command(build_parser(), main)
