"""Where the scores of TinyVIRAT's clips come from: files, or a recognizer that is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from parsing.configs import config, parse_config, parse_yaml, resolve
from parsing.datasets.tinyvirat import TinyClip, check_files, multi_hot
from parsing.errors import InputError
from pipelines.options import Option

if TYPE_CHECKING:
    from recognizers.groups import ExclusiveGroups
    from recognizers.scores import SavedScores


@config
class ScoreSource:
    """The options that evaluation and export share."""

    class_map: Annotated[Path, Option("class_map.json", "FILE")]
    scores: Annotated[tuple[Path, ...], Option("saved scores, of several members for an ensemble", "NPZ")] = ()
    component: Annotated[str, Option("config of a recognizer to run instead, as in a pipeline", "YAML")] = ""
    scaling: Annotated[str, Option("what becomes of small pictures before --component: that of its training", "YAML")] = ""
    videos: Annotated[Path | None, Option("of the split, for --component", "FOLDER")] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Option("of --component")] = "auto"
    groups: Annotated[Path | None, Option("exclusive classes, such as configs/tinyvirat/groups.yaml", "FILE")] = None
    at_least_one: Annotated[bool, Option("the best class where none passes its threshold")] = False

    def __post_init__(self) -> None:
        if self.scores and self.component:
            raise InputError("tinyvirat: give one of --scores and --component")

    def inputs(self) -> list[Path]:
        """Files that the component names."""
        from pipelines.command import files_named

        return files_named(parse_yaml(self.component, "--component")) if self.component else []

    def exclusive_groups(self, classes: Sequence[str]) -> ExclusiveGroups:
        from recognizers.groups import NO_GROUPS, ExclusiveGroups

        return ExclusiveGroups.load(self.groups, classes) if self.groups else NO_GROUPS

    def members(self, clips: Sequence[TinyClip], classes: Sequence[str]) -> list[SavedScores]:
        """Scores of the clips, in their order.

        Raises:
            InputError: files, recognizer or clips do not fit.
        """
        from recognizers.scores import SavedScores, check_same

        if not self.scores:
            return [of_clips(self._score(clips), clips, classes, Path("--component"))]
        members = [of_clips(SavedScores.load(path), clips, classes, path) for path in self.scores]
        check_same(members, self.scores)
        return members

    def _score(self, clips: Sequence[TinyClip]) -> SavedScores:
        from parsing.datasets.clips import ClipRecord
        from pipelines.command import torch_device
        from recognizers import RECOGNIZERS
        from recognizers.scoring import score_clips
        from recognizers.superres.scaling import ScaledRecognizer, ScalingConfig

        if not self.videos:
            raise InputError("--component: give the folder of the clips as --videos")
        check_files(clips, self.videos)
        component, device = parse_yaml(self.component, "--component"), torch_device(self.device)
        stage = resolve(RECOGNIZERS, component, "--component").build(device)
        name = str(component.get("weights", component["name"]))
        if not stage.multi_label:
            raise InputError(f"--component: {name} is single-label; expected a multi-label recognizer")
        if self.scaling:
            scaling = parse_config(ScalingConfig, parse_yaml(self.scaling, "--scaling"), "--scaling").build(device)
            stage = ScaledRecognizer(stage, scaling)
        return score_clips(stage, [ClipRecord(self.videos / clip.path, clip.labels, "val") for clip in clips], name)


def of_clips(scores: SavedScores, clips: Sequence[TinyClip], classes: Sequence[str], path: Path) -> SavedScores:
    """Scores in the order of the annotations, with their truth.

    Raises:
        InputError: the scores are single-label, or classes, clips or labels differ; names the first that does.
    """
    from recognizers.scores import check_equal, check_kind

    check_kind(path, scores.multi_label, "TinyVIRAT", True)
    check_equal(path, "the class map", "classes", scores.actions.tolist(), list(classes))
    ids = [PurePosixPath(video).stem for video in scores.videos.tolist()]
    check_equal(path, "the annotations", "clips", sorted(ids), sorted(clip.id for clip in clips))
    rows = {clip_id: row for row, clip_id in enumerate(ids)}
    order = [rows[clip.id] for clip in clips]
    truth, known = multi_hot(clips, classes), scores.truth[order]
    differs = ((known >= 0) & (truth >= 0) & (known != truth)).any(1)
    if differs.any():
        raise InputError(f"{path}: clip {clips[int(differs.argmax())].id} was scored under other labels than the annotations give")
    videos, logits, seconds = np.array([clip.path for clip in clips]), scores.logits[order], scores.seconds[order]
    return replace(scores, videos=videos, truth=truth, logits=logits, seconds=seconds, disjoint=scores.disjoint[order])
