"""Write a stage's network for other programs: python -m pipelines.export_model STAGE --format onnx|openvino|torch_export --out FOLDER.

The folder holds the dense parts of the network, each in a file that was run and compared with PyTorch, and `model.json`, which
says what comes before and after them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from parsing.console import say
from pipelines.command import CommandParser, add_output_options, claim, run_command

STAGES = ("person_detector", "part_detector", "part_states", "recognizer", "super_resolution")
FORMATS = ("onnx", "openvino", "torch_export")
DESCRIPTION = "model.json"


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("export-model", description="Write a stage's network for other programs.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--format", choices=FORMATS, required=True, help="ONNX, OpenVINO's IR, or PyTorch's exported programs")
    parser.add_argument("--weights", metavar="FILE", help="default: the shipped weights of the stage")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the files and model.json")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    # Late: help and usage errors need not wait for the networks' libraries.
    from parsing.files import atomic
    from parsing.networks.export import export, files_of
    from parsing.networks.weights import read_header, sha256_of, weights_path
    from pipelines.exported import load

    weights = arguments.weights or f"default/{arguments.stage}"
    header = read_header(weights)
    network = load(arguments.stage, header.component, weights)
    folder, kind = arguments.out, arguments.format
    # PyTorch's exporter takes minutes over free sizes of deep networks.
    fixed = kind == "torch_export" and network.side_px
    pieces = [piece.of_size(network.side_px, network.side_px) if fixed else piece for piece in network.pieces]
    files = files_of(pieces, kind, folder)
    claim(arguments, [*files, folder / DESCRIPTION], inputs=[weights_path(weights)])
    with atomic(folder / DESCRIPTION) as temporary:
        inside = temporary.with_name(f"{temporary.name}.files")
        inside.mkdir()
        try:
            found = [export(network.module, piece, kind, inside) for piece in pieces]
            for file in files:
                (inside / file.name).replace(file)
        finally:
            shutil.rmtree(inside)
        described = {
            "stage": arguments.stage,
            "network": header.component,
            "format": kind,
            "weights_sha256": sha256_of(weights),
            "architecture": header.architecture,
            "labels": header.labels,
            "calibration": header.calibration,
            "files": [asdict(one) for one in found],
            "before": network.before,
            "after": network.after,
        }
        temporary.write_text(json.dumps(described, indent=1), encoding="utf-8")
    if not arguments.quiet:
        say(*(f"wrote {folder / one.file}: {one.method}, differs from PyTorch by {one.difference:.1e} of its range" for one in found))
    return 0


if __name__ == "__main__":
    run_command(build_parser(), main)
