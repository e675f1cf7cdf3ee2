"""Train variants of one stage with several seeds and tabulate them: `python -m pipelines.ablate FILE --out FOLDER`.

The file names a stage, its training config, settings of each row, and which figures to show:

    stage: part_states
    config: configs/part_states/clip_set.yaml
    seeds: 3
    metrics: {top-1: all.top1}
    rows:
      - {name: RoI pooling, set: {architecture.depth: 0}}

`--resume` goes on with an ablation that was stopped: runs that are finished are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
from pydantic import Field

from parsing.configs import config, parse_config, read_yaml
from parsing.console import say
from parsing.errors import InputError
from parsing.files import atomic
from parsing.json_files import read_json_lines
from parsing.learning.runs import figure_at, run_files
from pipelines.command import CommandParser, add_device_option, add_output_options, add_set_option, claim, run_command, torch_device
from pipelines.config_files import config_path, read_settings
from pipelines.stages import STAGES
from pipelines.trainings import forget_runs, is_finished, train_once, training_config

if TYPE_CHECKING:
    from pipelines.trainings import Training
    from recognizers.train import RecognizerTraining

log = logging.getLogger(__name__)


@config
class AblationRow:
    """One variant.

    Args:
        name: in the table.
        set: its settings.
        teacher: of recognizers, the row before it whose network of the same seed teaches this one (SIAT 2022).
    """

    name: str
    set: dict[str, Any] = field(default_factory=dict)
    teacher: str = ""


@config
class Ablation:
    """Variants of one training.

    Args:
        metrics: name in the table to the path of a figure in `metrics.jsonl`; the last epoch counts.
    """

    stage: str
    config: str
    metrics: dict[str, str]
    rows: Annotated[tuple[AblationRow, ...], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=1, le=1000)] = 3


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("ablate", description="Train variants of a stage and tabulate them.")
    parser.add_argument("ablation", type=Path, metavar="FILE", help="an ablation, see configs/ablations/")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a run folder a variant and seed, table.md, report.json")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="train only these rows (default: all)")
    add_set_option(parser, "data.root=DATA")
    add_device_option(parser)
    parser.add_argument("--resume", action="store_true", help="go on where an earlier call stopped, or add rows to it")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    ablation = parse_config(Ablation, read_yaml(config_path(arguments.ablation)), str(arguments.ablation))
    if ablation.stage not in STAGES:
        raise InputError(f"{arguments.ablation}: stage {ablation.stage!r}, expected one of {', '.join(STAGES)}")
    names = [row.name for row in ablation.rows]
    unknown = [name for name in arguments.rows or () if name not in names]
    if unknown:
        raise InputError(f"--rows: {unknown[0]!r} is no row of {arguments.ablation}; it has {', '.join(names)}")
    chosen = [row for row in ablation.rows if not arguments.rows or row.name in arguments.rows]
    claim_runs(ablation, chosen, arguments)
    for seed in range(ablation.seeds):  # one seed of every row first: a table of all rows exists early
        for row in chosen:
            run = run_folder(arguments.out, row, seed)
            if not is_finished(run):
                train(ablation, row, seed, run, arguments)
            write_table(ablation, arguments.out)
    if not arguments.quiet:
        say(*(arguments.out / "table.md").read_text(encoding="utf-8").splitlines())
    return 0


def claim_runs(ablation: Ablation, rows: Sequence[AblationRow], arguments: argparse.Namespace) -> None:
    """Make sure that the ablation may write, and that the runs of rows begin anew unless it goes on."""
    settings = read_settings(ablation.config, arguments.set)
    runs = [run_folder(arguments.out, row, seed) for seed in range(ablation.seeds) for row in rows]
    made = [arguments.out / "table.md", arguments.out / "report.json", *(file for run in runs for file in run_files(run))]
    claim(arguments, made, ablation, settings, going_on=arguments.resume)
    if not arguments.resume:
        forget_runs(runs)


def train(ablation: Ablation, row: AblationRow, seed: int, run: Path, arguments: argparse.Namespace) -> None:
    assignments = [*arguments.set, *_knowledge(ablation, row, seed, run, arguments)]
    if not arguments.quiet:
        log.info("row %r, seed %d", row.name, seed)
    train_once(_training(ablation, row, seed, assignments), run, torch_device(arguments.device), arguments.quiet)


def _training(ablation: Ablation, row: AblationRow, seed: int, assignments: Sequence[str]) -> Training:
    settings = [f"{key}={json.dumps(value)}" for key, value in row.set.items()]
    merged = read_settings(ablation.config, [*settings, *assignments, f"fit.seed={seed}"])
    return training_config(ablation.stage, merged, f"{ablation.config}, row {row.name!r}")


def _knowledge(ablation: Ablation, row: AblationRow, seed: int, run: Path, arguments: argparse.Namespace) -> list[str]:
    """What names the scores of a row's teacher, which are made here."""
    if not row.teacher:
        return []
    teacher = next((other for other in ablation.rows if other.name == row.teacher), None)
    folder = run_folder(arguments.out, teacher or row, seed)
    if teacher is None or not is_finished(folder):
        raise InputError(f"{arguments.ablation}: row {row.name!r}: teacher {row.teacher!r} is no row that was trained before it")
    training = cast("RecognizerTraining", _training(ablation, teacher, seed, arguments.set))
    training.save_knowledge(str(folder / "weights.safetensors"), run / "knowledge.npz", device=torch_device(arguments.device))
    return [f"distillation.scores={run / 'knowledge.npz'}"]


def run_folder(out: Path, row: AblationRow, seed: int) -> Path:
    """Where a row trains with a seed."""
    return out / slug(row.name) / f"seed{seed}"


def write_table(ablation: Ablation, out: Path) -> None:
    """`table.md` and `report.json` of what is finished: mean and sample deviation over seeds."""
    report = {row.name: figures(ablation, out / slug(row.name)) for row in ablation.rows}
    lines = [f"| row | {' | '.join(ablation.metrics)} | seeds |", f"|---|{'---|' * len(ablation.metrics)}---|"]
    for name, values in report.items():
        cells = [_cell(values[metric]) for metric in ablation.metrics]
        lines.append(f"| {name} | {' | '.join(cells)} | {max(map(len, values.values()))} |")
    for name, text in (("table.md", "\n".join(lines) + "\n"), ("report.json", json.dumps(report, indent=1) + "\n")):
        with atomic(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def figures(ablation: Ablation, folder: Path) -> dict[str, list[float]]:
    """Each metric of every finished seed of a row."""
    last = [rows[-1] for run in sorted(folder.glob("seed*")) if is_finished(run) and (rows := read_json_lines(run / "metrics.jsonl"))]
    return {name: [value for metrics in last if (value := figure_at(metrics, path)) is not None] for name, path in ablation.metrics.items()}


def slug(name: str) -> str:
    """A folder's name for a row."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    run_command(build_parser(), main)
