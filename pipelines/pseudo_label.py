"""Let a teacher fill in missing parts: `python -m pipelines.pseudo_label --config FILE --out annotations.json`."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from detectors import PART_DETECTORS
from parsing.configs import override, parse_config, resolve
from parsing.console import say
from parsing.datasets.records import ImageRecord
from parsing.datasets.writing import write_coco
from parsing.learning.runs import run_files
from parsing.progress import track
from parsing.stages import PartDetector
from pipelines.command import CommandParser, add_device_option, add_output_options, add_set_option, claim, run_command, torch_device
from pipelines.config_files import read_settings
from pipelines.trainings import training_config

if TYPE_CHECKING:
    from detectors.labelling.pseudo_labels import PseudoLabelConfig


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("pseudo-label", description="Complete the part boxes of a training set with those of a teacher.")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="teacher, data and thresholds, see configs/pseudo_labels/"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the COCO file to write")
    parser.add_argument("--student", type=Path, metavar="FILE", help="training config of a student, for --rounds above 1")
    parser.add_argument("--rounds", type=int, default=1, help="label, train the student on it, let it be the next teacher, … (default 1)")
    add_set_option(parser, "positive=0.5")
    add_device_option(parser)
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    from detectors.labelling.pseudo_labels import PseudoLabelConfig  # late, as PyTorch comes with it
    from parsing.learning.experiment import experiment

    settings = read_settings(arguments.config, arguments.set)
    if arguments.rounds > 1 and arguments.student is None:
        build_parser().error("--rounds above 1 trains a student: --student names its config")
    config = parse_config(PseudoLabelConfig, settings, str(arguments.config))
    student = read_settings(arguments.student) if arguments.student else {}
    runs = [student_run(arguments.out, number) for number in range(1, arguments.rounds)]
    claim(arguments, [arguments.out, *(file for run in runs for file in run_files(run))], config, student)
    device = torch_device(arguments.device)
    label(config, arguments.out, device, arguments.quiet)
    for run in runs:
        training = override(student, [f"data.train={arguments.out.resolve()}"])
        experiment(training_config("part_detector", training, str(arguments.student)), run, device=device, quiet=arguments.quiet)
        settings["teacher"] = {"name": student["name"], "weights": str(run / "best.safetensors")}
        label(parse_config(PseudoLabelConfig, settings, str(arguments.config)), arguments.out, device, arguments.quiet)
    return 0


def student_run(out: Path, number: int) -> Path:
    """The run folder of the student of a round."""
    return out.with_name(f"{out.stem}_student{number}")


def label(settings: PseudoLabelConfig, out: Path, device: str, quiet: bool) -> None:
    """One round: read, label, write, and say what was added."""
    from detectors.labelling.pseudo_labels import Additions, add_pseudo_labels

    named = asdict(cast(Any, settings.teacher))
    teacher = cast(PartDetector, resolve(PART_DETECTORS, named | {"score_threshold": settings.ignore}, "teacher").build(device))
    records = settings.data.read("train")
    additions = Additions()
    labelled: list[ImageRecord] = list(track(add_pseudo_labels(records, teacher, settings, additions), len(records), "labelling", quiet))
    info = {"made": time.strftime("%Y-%m-%d"), "teacher": named, "positive": settings.positive, "ignore": settings.ignore}
    write_coco(labelled, out, Path(settings.data.root) / settings.data.images, info)
    if not quiet:
        say(*additions.lines(), f"wrote {out}")


if __name__ == "__main__":
    run_command(build_parser(), main)
