import numpy as np

from parsing.measures.confusion import confusion_counts
from parsing.measures.pictures import confusion_figure, curves_of_labels, precision_recall_figure


def test_the_figure_has_a_panel_for_each_class() -> None:
    truth = np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0]])
    curves = curves_of_labels(np.array([[0.2, 0.9, 0.1], [0.3, 0.4, 0.1], [0.8, 0.5, 0.1]]), truth, ["a", "b", "none"], truth > 0)
    figure = precision_recall_figure(curves)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["b (2)\nAP 0.833", "a (1)\nAP 1.000", "none (0)\nAP -"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 0]
    assert "dot: the labels" in figure.get_supxlabel()
    assert precision_recall_figure([]).axes == []


def test_the_counts_of_few_classes_stand_in_their_cells() -> None:
    counts = np.array([[3, 1], [0, 0]])
    figure = confusion_figure(counts, ["a", "b"], ["a", "b"], "IoU 0.5")
    axes = figure.axes[0]
    assert axes.get_title() == "IoU 0.5"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a (4)", "b (0)"]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "3"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    names = [str(i) for i in range(50)]
    many = confusion_figure(np.eye(50), names, names).axes[0]
    assert len(many.texts) == 0
    assert len(many.get_yticklabels()) < 50  # names of so many classes cannot be read


def test_confusions_are_counted() -> None:
    assert confusion_counts(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 2, 3).tolist() == [[1, 0, 1], [0, 2, 0]]
