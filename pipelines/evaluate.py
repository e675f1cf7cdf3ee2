"""Evaluate one stage: `python -m pipelines.evaluate STAGE --config FILE [--weights FILE] [--out report.json]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from parsing.configs import override, read_yaml
from parsing.files import atomic
from pipelines.command import run_command, torch_device
from pipelines.trainings import STAGES, training_config


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.evaluate", description="Evaluate one stage on the validation data of its training config."
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the training config that names the data")
    parser.add_argument("--weights", metavar="FILE", help="default: the shipped weights of the stage")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting, e.g. data.root=…")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: argparse.Namespace) -> int:
    settings = override(read_yaml(arguments.config), arguments.set)
    training = training_config(arguments.stage, settings, str(arguments.config))
    metrics = training.evaluate(arguments.weights or f"default/{arguments.stage}", device=torch_device(arguments.device))
    if arguments.out:
        with atomic(arguments.out) as temporary:
            temporary.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    if not arguments.quiet:
        print("\n".join(table_lines(metrics)))
    return 0


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
