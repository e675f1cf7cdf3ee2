"""Parses of labelled clips, which actions from parts are trained and measured on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parsing.configs import config
from parsing.datasets.clips import ClipRecord, check_actions, read_csv, trainable_actions
from parsing.document import read_parse
from parsing.errors import InputError
from parsing.tracks import Tracklet, tracklets
from parsing.types import Array
from parsing.vocabulary import Vocabulary
from recognizers.labels import ActionLabels, check_background
from recognizers.parts.stage import check_same_parts

log = logging.getLogger(__name__)


@config
class PartClipConfig:
    """The parses of labelled clips in a folder, as `pipelines.run CLIPS --out FOLDER` writes them.

    Args:
        root: the folder; the parse of `run/a.mp4` is `a.mp4.json` in it, or `run/a.mp4.json` where names are equal.
        labels: the clips' CSV, `file,label,split`: below `root`, or an absolute path such as that of the clips' own.
        actions: names to learn; empty takes all that have clips in both splits.
        mirrors, background: as in the training of a recognizer.
    """

    root: str
    labels: str = "labels.csv"
    actions: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, str], ...] = ()
    background: tuple[str, ...] = ()

    @property
    def labels_path(self) -> Path:
        return Path(self.root) / self.labels

    def records(self) -> list[ClipRecord]:
        return read_csv(self.labels_path)

    def learned(self, records: Sequence[ClipRecord]) -> ActionLabels:
        """The actions that are learned.

        Raises:
            InputError: a setting does not fit the clips.
        """
        names = tuple(self.actions or trainable_actions(records))
        if not names:
            raise InputError(f"{self.labels_path}: no action has a clip to train on and one to validate on")
        check_actions(records, names, str(self.labels_path))
        try:
            check_background(self.background, names, False)
        except ValueError as error:
            raise InputError(f"data.{error}") from None
        return ActionLabels(names, False, self.mirrors, self.background)

    def clips(self, split: str, labels: ActionLabels, records: Sequence[ClipRecord]) -> PartClips:
        """The clips of a split, `train` or `val`, that have one of these actions and a parse.

        Raises:
            InputError: there is none, or a parse cannot be read, or has other parts or states than the first.
        """
        known = [r for r in records if r.split == split and (split != "train" or r.trainable) and set(labels.names) & set(r.labels)]
        if not known:
            raise InputError(f"{self.labels_path}: no clip of split {split!r} with an action that is learned")
        places = [self._parse_of(record) for record in known]
        lost = [record for record, place in zip(known, places, strict=True) if place is None]
        if len(lost) == len(known):
            raise InputError(
                f"{self.root}: no parse of any clip of split {split!r}, such as {lost[0].path.name}.json; expected those of pipelines.run"
            )
        if lost:
            log.warning(
                "%s: %d of %d clips of split %r have no parse, the first %s; left out",
                self.root,
                len(lost),
                len(known),
                split,
                lost[0].name,
            )
        return read_clips([(record, place) for record, place in zip(known, places, strict=True) if place is not None])

    def _parse_of(self, record: ClipRecord) -> Path | None:
        """Where the parse of a clip lies."""
        folder, root = self.labels_path.parent, Path(self.root)
        below = record.path.relative_to(folder) if record.path.is_relative_to(folder) else Path(record.path.name)
        return next((place for name in (below, Path(below.name)) if (place := root / f"{name}.json").is_file()), None)


@dataclass(frozen=True, eq=False)
class PartClips:
    """Clips with the tracks of their persons, the most prominent first; all parses have the parts and states of `vocabulary`."""

    records: tuple[ClipRecord, ...]
    windows: tuple[tuple[Tracklet, ...], ...]
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return len(self.records)

    def targets(self, labels: ActionLabels) -> Array:
        """(N,) id of each clip's action."""
        return np.array([next(labels.names.index(name) for name in record.labels if name in labels.names) for record in self.records])


def read_clips(places: Sequence[tuple[ClipRecord, Path]]) -> PartClips:
    """Read parses, of which key frames alone are kept.

    Raises:
        InputError: a parse cannot be read, or has other parts or states than the first; names it.
    """
    windows: list[tuple[Tracklet, ...]] = []
    vocabulary: Vocabulary | None = None
    for _, path in places:
        parse = read_parse(path)
        vocabulary = vocabulary or parse.vocabulary
        check_same_parts(parse.vocabulary, vocabulary, str(path), str(places[0][1]))
        windows.append(tuple(tracklets(parse.frames, (parse.facts.height, parse.facts.width))))
    if vocabulary is None:
        raise InputError("no parse to read")
    empty = sum(not window for window in windows)
    if empty:
        log.info("no person in %d of %d clips", empty, len(windows))
    return PartClips(tuple(record for record, _ in places), tuple(windows), vocabulary)
