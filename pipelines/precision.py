"""Measure what bfloat16 costs, and let weights say so: `python -m pipelines.precision STAGE --config FILE --out WEIGHTS`.

`precision: auto`, the default of every stage, computes in bfloat16 only networks whose weights say that they lose next to nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsing.configs import parse_config
from parsing.console import say
from parsing.errors import InputError
from pipelines.command import CommandParser, add_output_options, add_set_option, claim, run_command
from pipelines.config_files import read_settings
from pipelines.trainings import training_config

if TYPE_CHECKING:
    from pipelines.trainings import Training

# The figures that decide, of a report's `all`; a recognizer has the one or the other.
FIGURES = {"person_detector": ("AP",), "part_detector": ("AP",), "part_states": ("mean_ap",), "recognizer": ("top1", "mean_ap")}


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("precision", description="Measure what bfloat16 costs on validation data, and write it into weights.")
    parser.add_argument("stage", choices=tuple(FIGURES))
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the training config that names the data")
    parser.add_argument("--weights", metavar="FILE", help="default: the shipped weights of the stage")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the same weights with what they lose in their header")
    text = "convolutions at the beginning of a network that compute in float32 all the same (default: as many as the weights say)"
    parser.add_argument("--after", type=int, metavar="N", help=text)
    add_set_option(parser, "data.root=DATA")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    # Late: help and usage errors need not wait for the networks' libraries.
    from parsing.networks.openvino_graphs import has_bfloat16
    from parsing.networks.weights import WeightsHeader, read_header, with_header

    training = training_config(arguments.stage, read_settings(arguments.config, arguments.set), str(arguments.config))
    weights = arguments.weights or f"default/{arguments.stage}"
    header = read_header(weights)
    if arguments.after is not None:
        header = parse_config(WeightsHeader, asdict(header) | {"bfloat16_after": arguments.after}, "--after")
    claim(arguments, [arguments.out], training, weights)
    if not has_bfloat16():
        raise InputError("precision: OpenVINO has no bfloat16 on this processor; expected one with AVX-512 BF16 or AMX")
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / "weights.safetensors"
        with_header(weights, tried, header)
        name, *found = figures(training, arguments.stage, str(tried))
        with_header(str(tried), arguments.out, replace(header, bfloat16_loss=round(found[0] - found[1], 5)))
    if not arguments.quiet:
        say(f"{name}  float32 {found[0]:.4f}  bfloat16 {found[1]:.4f}  loss {found[0] - found[1]:+.4f}")
    return 0


def figures(training: Training, stage: str, weights: str) -> tuple[str, float, float]:
    """The figure that decides and its values in float32 and in bfloat16, both on OpenVINO."""
    component: Any = training.component(weights)
    reports = []
    for precision in ("float32", "bfloat16"):
        built = replace(component, runtime="openvino", precision=precision).build("cpu")
        reports.append(training.evaluate(built, device="cpu")["all"])
    name = next(name for name in FIGURES[stage] if name in reports[0])
    if None in (reports[0][name], reports[1][name]):
        raise InputError(f"{stage}: the validation data gives no {name}; expected some that does")
    return name, float(reports[0][name]), float(reports[1][name])


if __name__ == "__main__":
    run_command(build_parser(), main)
