"""Evaluate one stage on its validation data, or saved detections against annotations.

python -m pipelines.evaluate STAGE --config FILE [--weights FILE] [--out report.json]
python -m pipelines.evaluate part_detector --config FILE --component '{name: cascade_rcnn, flip: true, score_threshold: 0.01}'
python -m pipelines.evaluate detections FOUND --truth ANNOTATIONS [--images DIR] --out FOLDER
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from parsing.configs import override, parse_yaml, read_yaml
from parsing.files import atomic
from parsing.formats import Format, Problems, read_records
from pipelines.command import run_command, torch_device
from pipelines.trainings import STAGES, training_config

if TYPE_CHECKING:
    from detectors.train import TrainConfig


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.evaluate", description="Evaluate a stage, or saved detections.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="print nothing")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    kinds = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage in STAGES:
        one = kinds.add_parser(stage, parents=[common], help="on the validation data of its training config")
        one.add_argument("--config", type=Path, required=True, metavar="FILE", help="the training config that names the data")
        one.add_argument("--weights", metavar="FILE", help="default: the shipped weights of the stage")
        if stage.endswith("_detector"):
            one.add_argument("--component", metavar="YAML", help="config of a component to evaluate instead of weights, as in a pipeline")
        one.add_argument("--out", type=Path, metavar="FILE", help="also write the figures as JSON")
        one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting, e.g. data.root=…")
        one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    saved = kinds.add_parser("detections", parents=[common], help="persons and parts of a parse.json, or a COCO results list")
    saved.add_argument("found", type=Path, help="parse.json, folder of parses, or COCO results (1 person, 2 to 11 parts)")
    saved.add_argument("--truth", type=Path, required=True, metavar="FILE", help="annotations")
    saved.add_argument("--format", choices=get_args(Format), default="coco", help="of the annotations (default: coco)")
    saved.add_argument("--images", type=Path, metavar="DIR", help="default: `images` beside the annotations")
    saved.add_argument("--on-error", choices=("fail", "skip"), default="fail", help="of bad annotations (default: fail)")
    saved.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="report.json, results.json, truth.json, PNG curves")
    return parser


def main(arguments: argparse.Namespace) -> int:
    metrics = evaluate_saved(arguments) if arguments.stage == "detections" else evaluate_stage(arguments)
    if not arguments.quiet:
        print("\n".join(table_lines(metrics)))
    return 0


def evaluate_stage(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = override(read_yaml(arguments.config), arguments.set)
    training = training_config(arguments.stage, settings, str(arguments.config))
    device = torch_device(arguments.device)
    if getattr(arguments, "component", None):
        metrics = cast("TrainConfig", training).evaluate_component(parse_yaml(arguments.component, "--component"), device=device)
    else:
        metrics = training.evaluate(arguments.weights or f"default/{arguments.stage}", device=device)
    if arguments.out:
        with atomic(arguments.out) as temporary:
            temporary.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return metrics


def evaluate_saved(arguments: argparse.Namespace) -> dict[str, Any]:
    from detectors.comparison import CLASS_NAMES, compare
    from detectors.inspection import default_images
    from detectors.report import write_report

    images = arguments.images or default_images(arguments.truth)
    records = read_records(arguments.format, arguments.truth, images, Problems(arguments.on_error))
    return write_report(compare(records, arguments.found), CLASS_NAMES, arguments.out)


def table_lines(metrics: dict[str, Any], depth: int = 0) -> list[str]:
    """Nested figures as indented lines, `name  value`."""
    lines = []
    for name, value in metrics.items():
        if isinstance(value, dict):
            lines += [f"{'  ' * depth}{name}", *table_lines(value, depth + 1)]
        elif isinstance(value, float):
            lines.append(f"{'  ' * depth}{name:<{32 - 2 * depth}} {value:.4f}")
        else:
            lines.append(f"{'  ' * depth}{name:<{32 - 2 * depth}} {value}")
    return lines


if __name__ == "__main__":
    run_command(build_parser(), main)
