"""Evaluate one stage on its validation data, or saved detections against annotations.

python -m pipelines.evaluate STAGE --config FILE [--weights FILE] [--out report.json]
python -m pipelines.evaluate part_detector --config FILE --component '{name: cascade_rcnn, flip: true, score_threshold: 0.01}'
python -m pipelines.evaluate detections FOUND --truth ANNOTATIONS [--images DIR] --out FOLDER
python -m pipelines.evaluate recognition --config FILE --component '{name: tsm, views: [{clips: 4}]}' --save scores.npz --out FOLDER
python -m pipelines.evaluate recognition --scores a.npz b.npz --out FOLDER
python -m pipelines.evaluate kinetics-tps --gt FOLDER --parts pred_part_result.json --actions pred_vid_result.json --out report.json
python -m pipelines.evaluate tinyvirat --truth tiny_val_v2.json --class-map class_map.json --scores a.npz b.npz --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from parsing.configs import override, parse_yaml, read_yaml, resolve
from parsing.console import complain, say
from parsing.datasets import Format, Problems, default_images, read_records
from parsing.errors import InputError
from parsing.files import atomic
from pipelines.command import add_output_options, claim, run_command, torch_device
from pipelines.multilabel_options import add_evaluation
from pipelines.trainings import STAGES, training_config

if TYPE_CHECKING:
    from detectors.train import TrainConfig


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.evaluate", description="Evaluate a stage, saved detections, or a submission."
    )
    common = argparse.ArgumentParser(add_help=False)
    add_output_options(common)
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
    add_recognition(kinds.add_parser("recognition", parents=[common], help="recognizers on labelled clips, or ensembles of saved scores"))
    add_kinetics_tps(kinds.add_parser("kinetics-tps", parents=[common], help="a submission to Kinetics-TPS, to the letter of its score"))
    add_evaluation(kinds.add_parser("tinyvirat", parents=[common], help="labels or scores of clips with several labels"))
    return parser


def add_recognition(one: argparse.ArgumentParser) -> None:
    one.add_argument("--config", type=Path, metavar="FILE", help="training config that names the clips")
    one.add_argument("--split", choices=("val", "train"), default="val", help="which of its clips (default: val)")
    one.add_argument("--component", metavar="YAML", help="config of the recognizer, as in a pipeline (default: the shipped one)")
    one.add_argument("--scores", type=Path, nargs="+", metavar="NPZ", help="saved scores to ensemble instead of running networks")
    one.add_argument("--save", type=Path, metavar="NPZ", help="keep the scores for ensembles")
    one.add_argument("--margin", type=float, default=0.5, metavar="P", help="lead from which an ensemble asks no further (default: 0.5)")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting, e.g. data.root=…")
    one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="report.json, confusion.png")


def add_kinetics_tps(one: argparse.ArgumentParser) -> None:
    one.add_argument("--gt", type=Path, required=True, metavar="FOLDER", help="gt_part_result.json and gt_vid_result.json, or annotations")
    one.add_argument("--parts", type=Path, required=True, metavar="FILE", help="pred_part_result.json, in the form of 2021 or 2022")
    one.add_argument("--actions", type=Path, required=True, metavar="FILE", help="pred_vid_result.json")
    one.add_argument("--classes", type=Path, metavar="FILE", help="list of actions that predictions are checked against")
    one.add_argument("--states", type=Path, metavar="FILE", help="list of part states that all verbs are checked against")
    one.add_argument("--missing", choices=("error", "zero"), default="error", help="of videos in one file only (default: error)")
    one.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: one a core)")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help="report as JSON; curve and confusion stand beside it as PNG")


def main(arguments: argparse.Namespace) -> int:
    special = {
        "detections": evaluate_saved,
        "kinetics-tps": evaluate_kinetics_tps,
        "recognition": evaluate_recognition,
        "tinyvirat": evaluate_tinyvirat,
    }
    metrics = special.get(arguments.stage, evaluate_stage)(arguments)
    if not arguments.quiet:
        say(*table_lines(metrics))
    return 0


def evaluate_stage(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = override(read_yaml(arguments.config), arguments.set)
    training = training_config(arguments.stage, settings, str(arguments.config))
    component = parse_yaml(arguments.component, "--component") if getattr(arguments, "component", None) else {}
    weights = arguments.weights or f"default/{arguments.stage}"
    if arguments.out:
        claim(arguments, [arguments.out], training, component, weights)
    device = torch_device(arguments.device)
    if component:
        metrics = cast("TrainConfig", training).evaluate_component(component, device=device)
    else:
        metrics = training.evaluate(weights, device=device)
    if arguments.out:
        with atomic(arguments.out) as temporary:
            temporary.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return metrics


def evaluate_saved(arguments: argparse.Namespace) -> dict[str, Any]:
    from detectors.labelling.comparison import CLASS_NAMES, compare
    from detectors.report import report_files, write_report

    images = arguments.images or default_images(arguments.truth)
    records = read_records(arguments.format, arguments.truth, images, Problems(arguments.on_error))
    claim(arguments, report_files(arguments.out), inputs=(record.path for record in records))
    return write_report(compare(records, arguments.found), CLASS_NAMES, arguments.out)


def evaluate_recognition(arguments: argparse.Namespace) -> dict[str, Any]:
    from recognizers.evaluation import report, report_files, score_clips, write_report
    from recognizers.scores import SavedScores, check_same

    if bool(arguments.scores) == bool(arguments.config):
        raise InputError("recognition: give --config with the clips, or --scores to ensemble")
    component = parse_yaml(arguments.component or "{name: tsm}", "--component")
    if arguments.scores:
        claim(arguments, report_files(arguments.out))
        members = [SavedScores.load(path) for path in arguments.scores]
        check_same(members, arguments.scores)
    else:
        from recognizers import RECOGNIZERS
        from recognizers.train import TrainConfig
        from recognizers.video import VideoRecognizer

        training = cast(
            TrainConfig, training_config("recognizer", override(read_yaml(arguments.config), arguments.set), str(arguments.config))
        )
        made = [*report_files(arguments.out), *([arguments.save] if arguments.save else [])]
        claim(arguments, made, training, component)
        stage = resolve(RECOGNIZERS, component, "--component").build(torch_device(arguments.device))
        if not isinstance(stage, VideoRecognizer):
            raise InputError(f"--component: {component['name']!r} runs no network; expected a video network")
        if stage.labels.multi_label:
            raise InputError(
                f"--component: {component['name']!r} is multi-label; expected a single-label recognizer, or `pipelines.evaluate tinyvirat`"
            )
        name = arguments.save.stem if arguments.save else str(component["name"])
        records = training.split_records(arguments.split, stage.labels)
        members = [score_clips(stage, records, name, training.data.build_scaling(stage.device))]
        if arguments.save:
            members[0].save(arguments.save)
    found = report(members, arguments.margin)
    write_report(found, arguments.out)
    return {key: value for key, value in found.items() if key != "confusion"}


def evaluate_kinetics_tps(arguments: argparse.Namespace) -> dict[str, Any]:
    from parsing.datasets.kinetics_tps.results import read_results, read_truth
    from parsing.vocabulary import read_list
    from pipelines.benchmarks.kinetics_tps.report import report_files, write_report
    from pipelines.benchmarks.kinetics_tps.score import evaluate

    claim(arguments, report_files(arguments.out))
    report = evaluate(
        read_truth(arguments.gt),
        read_results(arguments.parts, arguments.actions),
        missing=arguments.missing,
        workers=arguments.workers,
        actions=read_list(arguments.classes) if arguments.classes else (),
        states=read_list(arguments.states) if arguments.states else (),
    )
    for note in report["notes"]:
        complain(note)
    write_report(report, arguments.out)
    return {name: value for name, value in report.items() if name not in ("notes", "videos", "curve", "confusion", "psc_per_action")}


def evaluate_tinyvirat(arguments: argparse.Namespace) -> dict[str, Any]:
    from pipelines.multilabel import evaluate_clips

    return evaluate_clips(arguments)


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
