"""`pipelines.evaluate detections`: figures, COCO documents, precision-recall curves and confusions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from matplotlib.figure import Figure

from parsing.configs import config
from parsing.datasets import Format, Problems, default_images, read_records
from parsing.json_files import write_json
from parsing.measures.boxes import Evaluation, coco_dataset, coco_results, evaluate_boxes
from parsing.measures.pictures import Curve, confusion_figure, precision_recall_figure
from parsing.measures.report import is_file_name, report_files, write_report
from pipelines.options import Option

if TYPE_CHECKING:
    from detectors.evaluation import Item


@config
class DetectionsReport:
    """Persons and parts of a parse.json, or of a COCO results list: report.json, results.json, truth.json, pictures."""

    found: Annotated[Path, Option("parse.json, folder of parses, or COCO results (1 person, parts from 2 on)", positional=True)]
    truth: Annotated[Path, Option("annotations", "FILE")]
    format: Annotated[Format, Option("of the annotations")] = "coco"
    images: Annotated[Path | None, Option("without, `images` beside the annotations", "DIR")] = None
    parts: Annotated[tuple[str, ...], Option("of COCO results, in their order (default: the ten of the default vocabulary)", "NAME")] = ()
    on_error: Annotated[Literal["fail", "skip"], Option("of bad annotations")] = "fail"

    def outputs(self, out: Path) -> list[Path]:
        return [*report_files(out, ("pr_curves", "confusion")), *_documents(out)]

    def inputs(self) -> list[Path]:
        return [path for path in self._images().rglob("*") if path.is_file()]

    def write(self, out: Path) -> dict[str, Any]:
        from pipelines.benchmarks.detections.score import compare

        records = read_records(self.format, self.truth, self._images(), Problems(self.on_error))
        return write_detections(*compare(records, self.found, self.parts), out)

    def _images(self) -> Path:
        return self.images or default_images(self.truth)


def write_detections(items: Sequence[Item], class_names: Sequence[str], out: Path) -> dict[str, Any]:
    """Write report.json, results.json and truth.json (which pycocotools reads), pr_curves.png and confusion.png.

    Returns:
        The figures of report.json: over all items, and by source.
    """
    from detectors.evaluation import figures_by_source
    from pipelines.benchmarks.detections.score import CONFUSION_IOU, CONFUSION_SCORE, confusion_matrix

    figures = figures_by_source(items, class_names)
    truths, found = [item.truth for item in items], [item.found for item in items]
    curves = curves_of_boxes(evaluate_boxes(truths, found, class_names))
    title = f"IoU {CONFUSION_IOU}, score {CONFUSION_SCORE}"
    names = [*class_names, "nothing"]
    confusion = confusion_figure(confusion_matrix(items, class_names), names, names, title)
    write_report(figures, out, {"pr_curves": curves, "confusion": confusion})
    for path, document in zip(_documents(out), (coco_dataset(truths, class_names), coco_results(found)), strict=True):
        write_json(path, document)
    return figures


def _documents(out: Path) -> list[Path]:
    folder = out.parent if is_file_name(out) else out
    return [folder / "truth.json", folder / "results.json"]


def curves_of_boxes(evaluation: Evaluation) -> Figure:
    """Precision over recall of each class that occurs, at IoU 0.5."""
    recall = np.linspace(0, 1, evaluation.precision.shape[1])
    columns = {name: evaluation.precision[0, :, i, 0, -1] for i, name in enumerate(evaluation.class_names)}
    curves = [Curve(f"{name}\nAP50 {p.mean():.3f}", p, recall) for name, p in columns.items() if (p > -1).any()]
    return precision_recall_figure(curves, "IoU 0.50")
