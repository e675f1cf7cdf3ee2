"""Labelled clips that recognizers are trained and measured on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from parsing.configs import Count, config
from parsing.datasets.clips import ClipFormat, ClipRecord, action_names, check_actions, read_clip_records
from parsing.errors import InputError
from recognizers.labels import ActionLabels, check_background
from recognizers.losses import ActionLossConfig
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
        most_mb: memory for decoded clips; clips that do not fit are decoded again where they are drawn. The processes of
            `fit.num_workers` share what is decoded before they start.
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

    def split_records(self, split: str, labels: ActionLabels, records: Sequence[ClipRecord] | None = None) -> list[ClipRecord]:
        """The clips of a split, `train` or `val`, that have one of these actions; of sets of many labels all.

        Raises:
            InputError: there is none.
        """
        given = [r for r in (self.records() if records is None else records) if r.split == split]
        chosen = [record for record in given if split != "train" or record.trainable]
        holds = [not set(labels.names).isdisjoint(record.labels) for record in chosen]
        if not any(holds):
            raise InputError(f"{Path(self.root) / self.labels}: no clip of split {split!r} with an action that is learned")
        if len(chosen) < len(given):
            log.info(
                "%d of %d clips of split %r are not for weights that are shipped; left out", len(given) - len(chosen), len(given), split
            )
        if not all(holds):
            counts = "they count as clips of no action" if labels.multi_label else "left out"
            log.info("%d of %d clips of split %r have no action that is learned; %s", holds.count(False), len(chosen), split, counts)
        return [record for record, held in zip(chosen, holds, strict=True) if held or labels.multi_label]

    def learned(self, records: Sequence[ClipRecord], loss: ActionLossConfig) -> ActionLabels:
        """The actions that are learned.

        Raises:
            InputError: a record, or a setting, does not fit them or the loss.
        """
        names = self.actions or action_names(self.format, Path(self.root), self.classes, records)
        check_actions(records, names, self.root)
        several = next((r for r in records if len(r.labels) != 1), None)
        if several is not None and not loss.multi_label:
            raise InputError(f"{several.path}: {len(several.labels)} labels; loss.kind {loss.kind!r} wants one, expected bce or asymmetric")
        try:
            check_background(self.background, tuple(names), loss.multi_label)
        except ValueError as error:
            raise InputError(f"data.{error}") from None
        return ActionLabels(tuple(names), loss.multi_label, self.mirrors, self.background)
