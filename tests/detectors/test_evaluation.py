import numpy as np

from detectors.evaluation import Item, figures_by_source
from parsing.measures.boxes import BoxTruth


def item(source: str, truths: int, *scores: float, crowd: bool = False) -> Item:
    boxes = np.tile(np.array([[0.0, 0.0, 10.0, 10.0]]), (truths, 1))
    found = np.tile(np.array([[20.0, 20.0, 30.0, 30.0]]), (len(scores), 1))
    truth = BoxTruth(boxes, np.zeros(truths, int), np.full(truths, crowd))
    return Item(source, truth, (found, np.array(scores), np.zeros(len(scores), int)))


def test_phantoms_are_counted_on_images_without_objects_alone() -> None:
    items = [item("scene", 0, 0.95, 0.35), item("scene", 0), item("street", 1, 0.9), item("street", 1, 0.9, crowd=True)]
    figures = figures_by_source(items, ["person"])
    assert figures["all"]["empty_images"] == figures["scene"]["empty_images"] == 2
    assert figures["all"]["phantoms_per_image"] == {"0.2": 1.0, "0.3": 1.0, "0.4": 0.5, "0.5": 0.5, "0.6": 0.5, "0.7": 0.5}
    assert "phantoms_per_image" not in figures["street"]
