"""Fit a detector's scores to the share of its boxes that are right: `python -m pipelines.calibrate STAGE --config FILE --out WEIGHTS`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from parsing.console import say
from pipelines.command import CommandParser, add_device_option, add_output_options, add_set_option, claim, run_command, torch_device
from pipelines.config_files import read_settings
from pipelines.trainings import training_config

if TYPE_CHECKING:
    from detectors.train import DetectorTraining


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("calibrate", description="Calibrate a detector's scores on validation data.")
    parser.add_argument("stage", choices=("person_detector", "part_detector"))
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the training config that names the data")
    parser.add_argument("--weights", metavar="FILE", help="default: the shipped weights of the stage")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the same weights with the calibration in their header")
    add_set_option(parser, "data.root=DATA")
    add_device_option(parser)
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    settings = read_settings(arguments.config, arguments.set)
    training = cast("DetectorTraining", training_config(arguments.stage, settings, str(arguments.config)))
    weights = arguments.weights or f"default/{arguments.stage}"
    claim(arguments, [arguments.out], training, weights)
    fitted = training.calibrate(weights, arguments.out, device=torch_device(arguments.device))
    if not arguments.quiet:
        say(*(f"{name}  {'  '.join(f'{value:.3f}' for value in values)}" for name, values in fitted.items()))
    return 0


if __name__ == "__main__":
    run_command(build_parser(), main)
