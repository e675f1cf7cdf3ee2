"""A submission to the TinyAction Challenge: `answer.txt`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from parsing.configs import config, nearest
from parsing.datasets.tinyvirat import TinyClip, read_class_map, read_tinyvirat
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.types import Array
from pipelines.benchmarks.tinyvirat.sources import ScoreSource
from pipelines.benchmarks.tinyvirat.submission import write_answer
from pipelines.options import Option

log = logging.getLogger(__name__)


@config
class TinyViratExporter(ScoreSource):
    """A submission to TinyAction: the labels of every test clip, from parses of the low-resolution branch or from scores."""

    every: ClassVar[int | None] = None
    folder: ClassVar[bool] = False

    test: Annotated[Path, Option("tiny_test_v2_public.json", "FILE")] = field(kw_only=True)
    thresholds: Annotated[Path | None, Option("of the scores, written by evaluate tinyvirat --fit-thresholds", "FILE")] = None

    @property
    def reads_parses(self) -> bool:
        return not self.scores and not self.component

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        classes = read_class_map(self.class_map)
        clips = read_tinyvirat(self.test, classes, "test")
        ids = [clip.id for clip in clips]
        predicted = self._of_parses(parses, ids, classes) if self.reads_parses else self._of_scores(clips, classes)
        write_answer(out, ids, predicted)
        empty = int((~predicted.any(1)).sum())
        log.info("%s: %d clips, %.2f labels each, %d without one", out, len(ids), predicted.sum(1).mean(), empty)

    def _of_scores(self, clips: Sequence[TinyClip], classes: Sequence[str]) -> Array:
        from recognizers.groups import decode
        from recognizers.scores import mixed
        from recognizers.thresholds import read_thresholds

        if self.thresholds is None:
            raise InputError("tinyvirat: give --thresholds with --scores or --component")
        fitted = read_thresholds(self.thresholds, classes, [clip.id for clip in clips])
        members = self.members(clips, classes)
        probabilities = mixed(members, fitted.weights([member.name for member in members], self.thresholds), fitted.mix)
        return decode(probabilities, fitted.values(classes), self.exclusive_groups(classes), self.at_least_one)

    def _of_parses(self, parses: Iterable[AnyParse], ids: Sequence[str], classes: Sequence[str]) -> Array:
        """(N, C) bool: the actions that the low-resolution branch gave each clip."""
        if self.thresholds or self.groups or self.at_least_one:
            raise InputError("tinyvirat: --thresholds, --groups and --at-least-one are for scores; parses have their labels")
        found: dict[str, set[str]] = {}
        for parse in parses:
            name = Path(parse.facts.name).stem
            if name not in ids:
                raise InputError(f"{parse.facts.name}: no clip of {self.test}; {nearest(name, ids[:5])}, …")
            if name in found:
                raise InputError(f"{parse.facts.name}: two parses of clip {name}")
            if parse.branch is None or parse.branch.name != "low_res":
                raise InputError(f"{parse.facts.name}: parsed without the low-resolution branch; expected `low_res` in its pipeline")
            odd = sorted({action.label for action in parse.actions} - set(classes))
            if odd:
                raise InputError(f"{parse.facts.name}: unknown class {odd[0]!r:.60}; {nearest(odd[0], classes)}")
            found[name] = {action.label for action in parse.actions}
        lost = [clip for clip in ids if clip not in found]
        if lost:
            raise InputError(f"{self.test}: no parse of {len(lost)} of {len(ids)} clips, the first {lost[0]}")
        return np.array([[name in found[clip] for name in classes] for clip in ids], bool)
