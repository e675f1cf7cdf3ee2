"""Evaluate one stage on its validation data, saved scores or detections, or a submission to a benchmark.

python -m pipelines.evaluate STAGE --config FILE [--weights FILE] [--out report.json]
python -m pipelines.evaluate part_detector --config FILE --component '{name: cascade_rcnn, flip: true, score_threshold: 0.01}'
python -m pipelines.evaluate recognizer --config FILE --component '{name: tsm, views: [{clips: 4}]}' --save scores.npz --out FOLDER
python -m pipelines.evaluate part_actions --config FILE --weights FILE --save parts.npz
python -m pipelines.evaluate recognizer --scores frames.npz parts.npz [--only jhmdb.csv] [--shared] --out FOLDER
python -m pipelines.evaluate detections FOUND --truth ANNOTATIONS [--images DIR] --out FOLDER
python -m pipelines.evaluate tracks FOUND --truth PARSES_OR_MOT --out report.json
python -m pipelines.evaluate kinetics-tps --gt FOLDER --parts pred_part_result.json --actions pred_vid_result.json --out report.json
python -m pipelines.evaluate tinyvirat --truth tiny_val_v2.json --class-map class_map.json --scores a.npz b.npz --out FOLDER
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from parsing.configs import StageConfig, chosen_class, parse_yaml, resolve
from parsing.console import say
from parsing.errors import InputError
from pipelines.benchmarks import REPORTS, Report
from pipelines.command import CommandParser, add_device_option, add_output_options, add_set_option, claim, run_command, torch_device
from pipelines.config_files import read_settings
from pipelines.options import add_options, names_to_offer, read_options
from pipelines.stages import COMPONENTS, STAGES
from pipelines.trainings import training_config

if TYPE_CHECKING:
    from pipelines.trainings import Training
    from recognizers.scores import SavedScores
    from recognizers.train import RecognizerTraining

SCORED = ("recognizer", "part_actions")  # stages that score the actions of clips, which can be saved and mixed
REPORT_HELP = "folder for report.json and pictures, or a name that ends in .json, beside which the pictures stand"


def build_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The command line of everything, or of the benchmark that `argv` chooses."""
    parser = CommandParser("evaluate", description="Evaluate a stage, or a submission to a benchmark.")
    common = CommandParser("evaluate", add_help=False)
    add_output_options(common)
    kinds = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage in STAGES:
        other_names = ("recognition",) if stage == "recognizer" else ()
        one = kinds.add_parser(stage, aliases=other_names, parents=[common], help="on the validation data of its training config")
        one.set_defaults(stage=stage)
        add_stage(one)
        if stage in SCORED:
            add_recognizer(one)
    for name in names_to_offer(REPORTS, argv):
        report = chosen_class(REPORTS, name)
        one = kinds.add_parser(name, parents=[common], help=report.__doc__, description=report.__doc__)
        add_options(one, report)
        one.add_argument("--out", type=Path, required=True, metavar="PATH", help=REPORT_HELP)
    return parser


def add_stage(one: argparse.ArgumentParser) -> None:
    one.add_argument("--config", type=Path, metavar="FILE", help="the training config that names the data")
    one.add_argument("--weights", metavar="FILE", help="default: the shipped weights of the stage")
    one.add_argument("--component", metavar="YAML", help="config of a component to evaluate instead of weights, as in a pipeline")
    one.add_argument("--out", type=Path, metavar="PATH", help=REPORT_HELP)
    add_set_option(one, "data.root=DATA")
    add_device_option(one)


def add_recognizer(one: argparse.ArgumentParser) -> None:
    one.add_argument("--split", choices=("val", "train"), default="val", help="which of the clips (default: val)")
    one.add_argument("--scores", type=Path, nargs="+", metavar="NPZ", help="saved scores to ensemble instead of running networks")
    one.add_argument("--only", type=Path, metavar="CSV", help="list of clips (file, label, split) to which the saved scores are restricted")
    one.add_argument("--shared", action="store_true", help="mix saved scores over the clips and actions that all of them have")
    one.add_argument("--save", type=Path, metavar="NPZ", help="keep the scores for ensembles")
    text = "share of the clips of background classes that may get an answer, for the floor (default: 0.1)"
    one.add_argument("--most-answered", type=share, default=0.1, metavar="P", help=text)
    one.add_argument("--margin", type=float, default=0.5, metavar="P", help="lead from which an ensemble asks no further (default: 0.5)")


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}, expected a share from 0 to 1")
    return value


def main(arguments: argparse.Namespace) -> int:
    if arguments.stage in REPORTS:
        metrics = evaluate_benchmark(arguments)
    else:
        metrics = (evaluate_recognizer if arguments.stage in SCORED else evaluate_stage)(arguments)
    if not arguments.quiet:
        say(*table_lines(metrics))
    return 0


def evaluate_benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    report: Report = read_options(chosen_class(REPORTS, arguments.stage), arguments, arguments.stage)
    claim(arguments, report.outputs(arguments.out), inputs=report.inputs())
    return report.write(arguments.out)


def evaluate_stage(arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of a component on the validation data of a training config."""
    from parsing.measures.report import report_files, write_report

    training, component = training_and_component(arguments)
    claim(arguments, report_files(arguments.out) if arguments.out else (), training, component)
    device = torch_device(arguments.device)
    metrics = training.evaluate(component.build(device), device=device)
    if arguments.out:
        write_report(metrics, arguments.out)
    return metrics


def training_and_component(arguments: argparse.Namespace) -> tuple[Training, StageConfig]:
    """The config that names the data, and the component to evaluate: the one that is given, or that of given or shipped weights."""
    stage = arguments.stage
    if arguments.config is None:
        raise InputError(f"{stage}: give the training config that names the data as --config")
    if arguments.weights and arguments.component:
        raise InputError(f"{stage}: give one of --weights and --component")
    training = training_config(stage, read_settings(arguments.config, arguments.set), str(arguments.config))
    if arguments.component:
        return training, resolve(COMPONENTS[stage], parse_yaml(arguments.component, "--component"), "--component")
    return training, training.component(arguments.weights or f"default/{stage}")


def evaluate_recognizer(arguments: argparse.Namespace) -> dict[str, Any]:
    """The report of one recognizer, or of an ensemble of saved scores."""
    from parsing.datasets.clips import read_csv
    from parsing.measures.report import report_files, write_report
    from recognizers.evaluation import PICTURES, report
    from recognizers.scores import SavedScores, check_same, shared

    if bool(arguments.scores) == bool(arguments.config):
        raise InputError(f"{arguments.stage}: give --config with the clips, or --scores to ensemble")
    if (arguments.only or arguments.shared) and not arguments.scores:
        raise InputError(f"{arguments.stage}: --only and --shared restrict --scores; the clips of --config are those of its data.labels")
    made = [*(report_files(arguments.out, PICTURES) if arguments.out else ()), *([arguments.save] if arguments.save else [])]
    if arguments.scores:
        claim(arguments, made)
        members = [SavedScores.load(path) for path in arguments.scores]
        members = shared(members, arguments.scores) if arguments.shared else members
        check_same(members, arguments.scores)
        if arguments.only:
            names = [record.name for record in read_csv(arguments.only)]
            members = [member.only(names, arguments.only) for member in members]
    else:
        members = [score_recognizer(arguments, made)]
        if arguments.save:
            members[0].save(arguments.save)
    found, pictures = report(members, arguments.margin, arguments.most_answered)
    if arguments.out:
        write_report(found, arguments.out, pictures)
    return {key: value for key, value in found.items() if key != "confusion"}


def score_recognizer(arguments: argparse.Namespace, made: Sequence[Path]) -> SavedScores:
    """Scores of one recognizer on the clips of a training config, after a claim of all outputs `made`."""
    training, component = training_and_component(arguments)
    claim(arguments, made, training, component)
    device = torch_device(arguments.device)
    name = arguments.save.stem if arguments.save else component.name
    return cast("RecognizerTraining", training).score(component.build(device), arguments.split, name, device)


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
    run_command(build_parser(sys.argv[1:]), main)
