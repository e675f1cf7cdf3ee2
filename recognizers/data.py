"""Labelled clips that recognizers are trained and measured on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field

from parsing.configs import Count, config
from parsing.datasets.clips import ClipFormat, ClipRecord, read_clip_records
from recognizers.superres.scaling import Scaling, ScalingConfig

log = logging.getLogger(__name__)


@config
class ClipDataConfig:
    """Labelled clips under `root`.

    Args:
        format, labels, classes: as in `parsing.datasets.clips.read_clip_records`.
        actions: names to learn; empty takes all that have clips in both splits, or all of the data set's own list.
        mirrors: pairs of actions that a flip turns into each other, beside those whose names say `left` and `right`.
        background: names among them that are learned and never reported as an action.
        most_frames: that are kept of each training clip, at `short_side_px`.
        most_mb: memory for decoded clips; clips that do not fit are decoded again where they are drawn.
        scaling: what becomes of small pictures first; the same is needed where the weights serve. The processes of
            `fit.num_workers` cannot share a GPU: they super-resolve on the CPU.
    """

    root: str
    format: ClipFormat = "csv"
    labels: str = "labels.csv"
    classes: str = "classes.txt"
    actions: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, str], ...] = ()
    background: tuple[str, ...] = ()
    most_frames: Count = 96
    short_side_px: Annotated[int, Field(ge=32, le=4096)] = 192
    most_mb: Annotated[int, Field(ge=1, le=10**7)] = 4096
    scaling: ScalingConfig | None = None

    def records(self) -> list[ClipRecord]:
        records = read_clip_records(self.format, Path(self.root), self.labels, self.classes)
        others = [record.split for record in records if record.split not in ("train", "val")]
        if others:
            log.info("%s: %d clips of other splits are not used: %s", self.root, len(others), ", ".join(sorted(set(others))))
        return records

    def build_scaling(self, device: str) -> Scaling | None:
        return self.scaling.build(device) if self.scaling else None
