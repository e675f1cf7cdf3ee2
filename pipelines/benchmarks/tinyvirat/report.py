"""`pipelines.evaluate tinyvirat`: the report of an answer, or of scores and their ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from parsing.configs import config
from parsing.datasets.tinyvirat import TinyClip, multi_hot, read_class_map, read_tinyvirat
from parsing.errors import InputError
from parsing.measures.report import report_files, write_report
from pipelines.benchmarks.tinyvirat.sources import ScoreSource
from pipelines.benchmarks.tinyvirat.submission import read_answer
from pipelines.options import Option

if TYPE_CHECKING:
    from pipelines.benchmarks.tinyvirat.score import Decoding
    from recognizers.scores import SavedScores


@config
class TinyViratReport(ScoreSource):
    """Labels or scores of clips with several labels: report.json, pr_curves.png."""

    truth: Annotated[Path, Option("tiny_val_v2.json", "FILE")] = field(kw_only=True)
    answer: Annotated[Path | None, Option("labels to score: answer.txt for the clips of --truth", "FILE")] = None
    save: Annotated[Path | None, Option("keep the scores of --component for ensembles and for export", "NPZ")] = None
    mix: Annotated[Literal["logits", "probabilities"], Option("what an ensemble averages")] = "logits"
    thresholds: Annotated[Path | None, Option("fitted on other clips; without, fitted across folds of these", "FILE")] = None
    fit_thresholds: Annotated[Path | None, Option("write thresholds fitted on all these clips, for other clips", "FILE")] = None
    shrinkage: Annotated[float, Field(ge=0, le=1e6), Option("clips from which a class's own threshold counts half", "K")] = 20.0

    def __post_init__(self) -> None:
        if sum(map(bool, (self.answer, self.scores, self.component))) != 1:
            raise InputError("tinyvirat: give one of --answer, --scores and --component")
        if self.thresholds and self.fit_thresholds:
            raise InputError("tinyvirat: give --thresholds to use them, or --fit-thresholds to fit them")
        if self.answer and (self.thresholds or self.fit_thresholds or self.groups or self.at_least_one):
            raise InputError(f"--answer {self.answer}: holds labels, not scores; thresholds and groups need --scores")

    def outputs(self, out: Path) -> list[Path]:
        made = report_files(out, () if self.answer else ("pr_curves",))
        return [*made, *(path for path in (self.save, self.fit_thresholds) if path)]

    def write(self, out: Path) -> dict[str, Any]:
        from parsing.measures.f1 import f1_figures
        from pipelines.benchmarks.tinyvirat.score import score_members

        classes = read_class_map(self.class_map)
        clips = read_tinyvirat(self.truth, classes, "val")
        if self.answer:
            found = f1_figures(read_answer(self.answer, [clip.id for clip in clips], len(classes)), multi_hot(clips, classes), classes)
            write_report(found, out)
        else:
            members = self.members(clips, classes)
            if self.save:
                members[0].save(self.save)
            found, curves = score_members(members, self._decoding(clips, classes, [member.name for member in members]))
            if self.fit_thresholds:
                _fit_thresholds(members, self, self.fit_thresholds)
            write_report(found, out, {"pr_curves": curves})
        return {key: value for key, value in found.items() if key != "per_class"}

    def _decoding(self, clips: Sequence[TinyClip], classes: Sequence[str], names: Sequence[str]) -> Decoding:
        from pipelines.benchmarks.tinyvirat.score import Decoding
        from recognizers.thresholds import read_thresholds

        groups = self.exclusive_groups(classes)
        if not self.thresholds:
            return Decoding(None, None, groups, self.at_least_one, self.shrinkage, self.mix)
        fitted = read_thresholds(self.thresholds, classes, [clip.id for clip in clips])
        weights = fitted.weights(names, self.thresholds)
        return Decoding(fitted.values(classes), weights, groups, self.at_least_one, self.shrinkage, fitted.mix)


def _fit_thresholds(members: Sequence[SavedScores], options: TinyViratReport, path: Path) -> None:
    """Thresholds on the ensemble's scores across folds: its own weights would flatter the clips that they were fitted on."""
    from recognizers.scores import cross_fitted, fit_weights
    from recognizers.thresholds import fit_thresholds

    first, mix = members[0], options.mix
    weights = {member.name: float(weight) for member, weight in zip(members, fit_weights(members, mix), strict=True)}
    fitted = fit_thresholds(cross_fitted(members, mix), first.truth, options.shrinkage)
    fitted.save(path, first.actions.tolist(), [PurePosixPath(video).stem for video in first.videos.tolist()], weights, mix)
