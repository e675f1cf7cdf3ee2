"""Clips with several labels from the command line: `pipelines.evaluate tinyvirat` and `pipelines.export tinyvirat`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsing.configs import parse_config, parse_yaml, resolve
from parsing.datasets.tinyvirat import TinyClip, check_files, multi_hot, read_class_map, read_tinyvirat
from parsing.errors import InputError
from pipelines.benchmarks.tinyvirat.submission import read_answer, write_answer
from pipelines.command import claim, torch_device
from recognizers.multilabel.groups import NO_GROUPS, ExclusiveGroups, decode
from recognizers.multilabel.report import Decoding, report_answer, report_files, report_scores, write_report
from recognizers.multilabel.scores import MultiLabelScores, check_same, cross_fitted, fit_weights, mixed
from recognizers.multilabel.thresholds import fit_thresholds, read_thresholds

log = logging.getLogger(__name__)


def evaluate_clips(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the report; the figures to print."""
    a = arguments
    if sum(map(bool, (a.answer, a.scores, a.component))) != 1:
        raise InputError("tinyvirat: give one of --answer, --scores and --component")
    if a.thresholds and a.fit_thresholds:
        raise InputError("tinyvirat: give --thresholds to use them, or --fit-thresholds to fit them")
    if a.shrinkage < 0:
        raise InputError(f"--shrinkage {a.shrinkage}: expected clips, 0 or more")
    if a.answer and (a.thresholds or a.fit_thresholds or a.groups or a.at_least_one):
        raise InputError(f"--answer {a.answer}: holds labels, not scores; thresholds and groups need --scores")
    made = [*report_files(a.out), *(path for path in (a.save, a.fit_thresholds) if path)]
    claim(a, made, parse_yaml(a.component, "--component") if a.component else {})
    classes = read_class_map(a.class_map)
    clips = read_tinyvirat(a.truth, classes, "val")
    if a.answer:
        predicted = read_answer(a.answer, [clip.id for clip in clips], len(classes))
        found = report_answer(predicted, multi_hot(clips, classes), classes)
        write_report(found, a.out)
        return _without_classes(found)
    members = _members(a, clips, classes)
    if a.save:
        members[0].save(a.save)
    decoding = _decoding(a, clips, classes, [member.name for member in members])
    found, figure = report_scores(members, decoding)
    if a.fit_thresholds:
        _fit_thresholds(a, members)
    write_report(found, a.out, figure)
    return _without_classes(found)


def export_answer(arguments: argparse.Namespace) -> None:
    """Write `answer.txt` for the clips of the test split."""
    a = arguments
    if bool(a.scores) == bool(a.component):
        raise InputError("tinyvirat: give one of --scores and --component")
    claim(a, [a.out], parse_yaml(a.component, "--component") if a.component else {})
    classes = read_class_map(a.class_map)
    clips = read_tinyvirat(a.test, classes, "test")
    ids = [clip.id for clip in clips]
    fitted = read_thresholds(a.thresholds, classes, ids)
    members = _members(a, clips, classes)
    probabilities = mixed(members, fitted.weights([member.name for member in members], a.thresholds), fitted.mix)
    predicted = decode(probabilities, fitted.values(classes), _groups(a, classes), a.at_least_one)
    write_answer(a.out, ids, predicted)
    log.info("%s: %d clips, %.2f labels each, %d without one", a.out, len(ids), predicted.sum(1).mean(), int((~predicted.any(1)).sum()))


def _members(a: argparse.Namespace, clips: Sequence[TinyClip], classes: Sequence[str]) -> list[MultiLabelScores]:
    if a.scores:
        members = [MultiLabelScores.load(path).of_clips(clips, classes, path) for path in a.scores]
        check_same(members, a.scores)
        return members
    from parsing.datasets.clips import ClipRecord
    from recognizers import RECOGNIZERS
    from recognizers.multilabel.scoring import score_clips
    from recognizers.superres.scaling import ScalingConfig
    from recognizers.video import VideoRecognizer

    if not a.videos:
        raise InputError("--component: give the folder of the clips as --videos")
    check_files(clips, a.videos)
    component = parse_yaml(a.component, "--component")
    stage = resolve(RECOGNIZERS, component, "--component").build(torch_device(a.device))
    if not isinstance(stage, VideoRecognizer):
        raise InputError(f"--component: {component['name']!r} runs no network; expected a video network")
    if not stage.labels.multi_label:
        raise InputError(f"--component: {component.get('weights', component['name'])} is single-label; expected a multi-label recognizer")
    scaling = parse_config(ScalingConfig, parse_yaml(a.scaling, "--scaling"), "--scaling").build(stage.device) if a.scaling else None
    records = [ClipRecord(a.videos / clip.path, clip.labels, "val") for clip in clips]
    scores = score_clips(stage, records, str(component.get("weights", component["name"])), scaling)
    return [scores.of_clips(clips, classes, Path("--component"))]


def _decoding(a: argparse.Namespace, clips: Sequence[TinyClip], classes: Sequence[str], names: Sequence[str]) -> Decoding:
    groups = _groups(a, classes)
    if not a.thresholds:
        return Decoding(None, None, groups, a.at_least_one, a.shrinkage, a.mix)
    fitted = read_thresholds(a.thresholds, classes, [clip.id for clip in clips])
    return Decoding(fitted.values(classes), fitted.weights(names, a.thresholds), groups, a.at_least_one, a.shrinkage, fitted.mix)


def _fit_thresholds(a: argparse.Namespace, members: Sequence[MultiLabelScores]) -> None:
    """Thresholds on the ensemble's scores across folds: its own weights would flatter the clips that they were fitted on."""
    first = members[0]
    weights = {member.name: float(weight) for member, weight in zip(members, fit_weights(members, a.mix), strict=True)}
    fitted = fit_thresholds(cross_fitted(members, a.mix), first.truth, a.shrinkage)
    fitted.save(a.fit_thresholds, first.classes.tolist(), first.ids, weights, a.mix)


def _groups(a: argparse.Namespace, classes: Sequence[str]) -> ExclusiveGroups:
    return ExclusiveGroups.load(a.groups, classes) if a.groups else NO_GROUPS


def _without_classes(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "per_class"}
