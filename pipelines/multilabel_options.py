"""Options of `pipelines.evaluate tinyvirat` and `pipelines.export tinyvirat`; apart from the work, so that help need not wait."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from recognizers.multilabel.thresholds import SHRINKAGE, Mix


def add_evaluation(one: argparse.ArgumentParser) -> None:
    one.add_argument("--truth", type=Path, required=True, metavar="FILE", help="tiny_val_v2.json")
    _add_scores(one)
    one.add_argument("--answer", type=Path, metavar="FILE", help="labels to score: answer.txt for the clips of --truth")
    one.add_argument("--save", type=Path, metavar="NPZ", help="keep the scores of --component for ensembles and for export")
    one.add_argument("--mix", choices=get_args(Mix), default="logits", help="what an ensemble averages (default: logits)")
    one.add_argument("--thresholds", type=Path, metavar="FILE", help="fitted on other clips; default: fitted across folds of these")
    one.add_argument("--fit-thresholds", type=Path, metavar="FILE", help="write thresholds fitted on all these clips, for other clips")
    help_shrinkage = f"clips from which a class's own threshold counts half (default: {SHRINKAGE:g})"
    one.add_argument("--shrinkage", type=float, default=SHRINKAGE, metavar="K", help=help_shrinkage)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="report.json, pr_curves.png")


def add_export(one: argparse.ArgumentParser) -> None:
    one.add_argument("--test", type=Path, required=True, metavar="FILE", help="tiny_test_v2_public.json")
    _add_scores(one)
    one.add_argument("--thresholds", type=Path, required=True, metavar="FILE", help="written by evaluate tinyvirat --fit-thresholds")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help="answer.txt")


def _add_scores(one: argparse.ArgumentParser) -> None:
    one.add_argument("--class-map", type=Path, required=True, metavar="FILE", help="class_map.json")
    one.add_argument("--scores", type=Path, nargs="+", metavar="NPZ", help="saved scores, of several members for an ensemble")
    one.add_argument("--component", metavar="YAML", help="config of a recognizer to run instead, as in a pipeline")
    one.add_argument("--scaling", metavar="YAML", help="what becomes of small pictures before --component: that of its training")
    one.add_argument("--videos", type=Path, metavar="FOLDER", help="of the split, for --component")
    one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    one.add_argument("--groups", type=Path, metavar="FILE", help="exclusive classes, such as configs/tinyvirat/groups.yaml")
    one.add_argument("--at-least-one", action="store_true", help="the best class where none passes its threshold")
