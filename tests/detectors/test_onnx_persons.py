"""The detector adapter on real graphs that are built here, and on YOLOX-nano itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import frame
from graphs import constant_graph, picture_graph

from detectors import PERSON_DETECTORS
from detectors.adapters.onnx_outputs import BoxOutputs, read_named, read_yolo
from parsing.configs import resolve
from parsing.errors import InputError

HERE = Path("a.onnx")


def stage(path: Path, **settings: Any) -> Any:
    return resolve(PERSON_DETECTORS, {"name": "onnx", "weights": str(path), **settings}, "person_detector").build("cpu")


def raw_yolox(boxes: Mapping[int, tuple[tuple[float, float, float, float], float]]) -> np.ndarray:
    """(1, 84, 7) predictions for an input of 64 px: 8 x 8, 4 x 4 and 2 x 2 cells; two classes, persons second."""
    raw = np.zeros((1, 84, 7), np.float32)
    for row, (numbers, score) in boxes.items():
        raw[0, row] = (*numbers, score, 0.1, 1.0)
    return raw


def test_raw_yolox_is_decoded_by_hand() -> None:
    # Row 8 * 2 + 3 is the cell in column 3 and row 2 of stride 8; row 64 + 4 * 1 + 2 that of column 2, row 1 of stride 16.
    raw = raw_yolox({19: ((0.5, 0.25, np.log(2), np.log(4)), 0.8), 70: ((0, 1, 0, np.log(3)), 0.5)})
    found = read_yolo([raw], (64, 64), HERE)
    assert not found.suppressed
    np.testing.assert_allclose(found.xyxy[19], [3.5 * 8 - 8, 2.25 * 8 - 16, 3.5 * 8 + 8, 2.25 * 8 + 16])
    np.testing.assert_allclose(found.xyxy[70], [32 - 8, 32 - 24, 32 + 8, 32 + 24])
    np.testing.assert_allclose(found.scores_of(1, HERE)[[19, 70, 0]], [0.8, 0.5, 0])
    np.testing.assert_allclose(found.scores_of(0, HERE)[19], 0.08, rtol=1e-6)


def test_oblong_inputs_have_oblong_grids() -> None:
    raw = np.zeros((1, 8 * 4 + 4 * 2 + 2 * 1, 7), np.float32)  # 64 wide, 32 tall
    centres = read_yolo([raw], (32, 64), HERE).xyxy[:, :2] + [4, 4]
    np.testing.assert_allclose(centres[:10, 0], [0, 8, 16, 24, 32, 40, 48, 56, 0, 8])
    np.testing.assert_allclose(centres[:10, 1], [0] * 8 + [8] * 2)


def test_doubles_are_suppressed_and_boxes_go_back_into_the_frame(tmp_path: Path) -> None:
    size = (np.log(2), np.log(4))
    raw = raw_yolox({19: ((0.5, 0.25, *size), 0.8), 20: ((-0.45, 0.25, *size), 0.7), 0: ((0, 0, 0, 0), 0.2)})
    path = constant_graph(tmp_path / "yolox.onnx", {"out": raw})
    (found,) = stage(path, layout="yolox", person_class=1)([frame(hw=(128, 256))])  # a quarter of the size, 32 px tall in the input
    np.testing.assert_allclose(found.xyxy, [[80, 8, 144, 128]])
    np.testing.assert_allclose(found.scores, [0.8])
    assert len(stage(path, layout="yolox", person_class=1, suppression={"iou": 1})([frame()])[0]) == 2
    assert len(stage(path, layout="yolox", person_class=1, score_threshold=0.9)([frame()])[0]) == 0
    with pytest.raises(InputError, match=r"yolox\.onnx: scores of 2 classes; expected more than person_class, which is 7"):
        stage(path, layout="yolox", person_class=7)([frame()])


@pytest.mark.parametrize("layout", ["yolox", "rtmdet"])
def test_graphs_that_suppress_give_boxes_and_labels(layout: str, tmp_path: Path) -> None:
    """mmdeploy's form; the boxes overlap, and are kept all the same."""
    dets = np.array([[[8, 8, 24, 40, 0.5], [8, 8, 24, 41, 0.9], [0, 0, 9, 9, 0.8], [0, 0, 0, 0, 0.0]]])
    path = constant_graph(tmp_path / "a.onnx", {"dets": dets, "labels": np.array([[0, 0, 2, 0]])})
    (found,) = stage(path, layout=layout)([frame(hw=(64, 64))])
    np.testing.assert_allclose(found.xyxy, [[8, 8, 24, 41], [8, 8, 24, 40]])
    np.testing.assert_allclose(found.scores, [0.9, 0.5])


def test_boxes_beside_class_scores_are_suppressed_here(tmp_path: Path) -> None:
    boxes, scores = np.array([[[8, 8, 24, 40], [8, 8, 24, 41.0]]]), np.array([[[0.5, 0.1], [0.9, 0.1]]])
    path = constant_graph(tmp_path / "a.onnx", {"boxes": boxes, "scores": scores})
    (found,) = stage(path, layout="rtmdet")([frame(hw=(64, 64))])
    np.testing.assert_allclose(found.xyxy, [[8, 8, 24, 41]])


def test_detr_gives_centres_in_shares_and_logits_with_nothing_last(tmp_path: Path) -> None:
    boxes = np.array([[[0.5, 0.5, 0.25, 0.5], [0.1, 0.1, 0.1, 0.1]]])
    logits = np.log(np.array([[[0.1, 0.8, 0.1], [0.05, 0.05, 0.9]]]))
    path = constant_graph(tmp_path / "a.onnx", {"pred_boxes": boxes, "logits": logits})
    outputs = {"boxes": "pred_boxes", "scores": "logits", "corners": "cxcywh", "units": "shares", "activation": "softmax"}
    (found,) = stage(path, layout="boxes", outputs=outputs, person_class=1)([frame(hw=(100, 200))])  # stretched to a square
    np.testing.assert_allclose(found.xyxy, [[75, 25, 125, 75]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.8], rtol=1e-5)


def test_rt_detr_is_told_the_size_of_its_picture(tmp_path: Path) -> None:
    values = {"boxes": np.array([[[16, 16, 32, 48.0]]]), "scores": np.array([[0.7]]), "labels": np.array([[0]])}
    path = constant_graph(tmp_path / "a.onnx", values, (1, 3, "height", "width"), sizes=True)
    outputs = {"boxes": "boxes", "scores": "scores", "labels": "labels"}
    detector = stage(path, layout="boxes", outputs=outputs, input_px=64)
    (found,) = detector([frame(hw=(128, 64))])
    np.testing.assert_allclose(found.xyxy, [[16, 32, 32, 96]])
    graph, seen = detector.graph, []
    detector.graph = type("Spy", (), {"inputs": graph.inputs, "output_names": graph.output_names, "path": graph.path})()
    type(detector.graph).__call__ = lambda _, *tensors: (seen.extend(tensors), graph(*tensors))[1]
    detector([frame()])
    assert seen[0].shape == (1, 3, 64, 64)
    assert seen[1].tolist() == [[64, 64]]


def test_pictures_are_fitted_and_coloured_as_each_network_saw_them(tmp_path: Path) -> None:
    image = np.zeros((32, 64, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    path = picture_graph(tmp_path / "a.onnx")
    for layout, colour, below in (
        ("yolox", [50, 100, 200], 114),
        ("rtmdet", [(50 - 103.53) / 57.375, (100 - 116.28) / 57.12, (200 - 123.675) / 58.395], (114 - 103.53) / 57.375),
    ):
        tensor, scale = stage(path, layout=layout)._tensor(image)
        np.testing.assert_allclose(tensor[0, :, 31, 5], colour, rtol=1e-5)
        assert tensor[0, 0, 32, 5] == pytest.approx(below)
        assert scale.tolist() == [1, 1]
    outputs = {"boxes": "seen", "scores": "seen"}
    tensor, scale = stage(path, layout="boxes", outputs=outputs)._tensor(image)
    np.testing.assert_allclose(tensor[0, :, 63, 5], [200 / 255, 100 / 255, 50 / 255], rtol=1e-6)
    assert scale.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layout": "boxes"}, "layout boxes needs outputs"),
        ({"layout": "yolox", "outputs": {"boxes": "a", "scores": "b"}}, "layout yolox knows its outputs"),
        ({"layout": "yolo"}, "layout"),
        ({}, "layout"),
        ({"layout": "boxes", "outputs": {"boxes": "a", "scores": "b", "label": "c"}}, "unknown key 'outputs.label'; did you mean 'labels'"),
        ({"layout": "boxes", "outputs": {"boxes": "sen", "scores": "seen"}}, r"a\.onnx: no output 'sen'; did you mean 'seen'"),
        ({"layout": "yolox", "input": {"std": [1, 0, 1]}}, r"input\.std\.1"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = picture_graph(tmp_path / "a.onnx")
    with pytest.raises(InputError, match=message):
        stage(path, **settings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.zeros((1, 84, 5))], "expected one"),
        ([np.zeros((1, 83, 7))], "83 predictions for an input of 64 x 64"),
        ([np.zeros((2, 84, 7))], "expected one"),
        ([np.zeros((1, 4, 4)), np.zeros((1, 5, 80))], "expected one"),
        ([np.zeros((1, 4, 4))] * 3, "expected one"),
    ],
)
def test_outputs_of_other_networks_are_named(values: list[np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=rf"a\.onnx: .*{message}"):
        read_yolo(values, (64, 64), HERE)


def test_named_outputs_must_fit_each_other() -> None:
    values = {"b": np.zeros((1, 3, 4)), "s": np.zeros((1, 2, 80)), "l": np.zeros((1, 3))}
    for outputs in (BoxOutputs("b", "s"), BoxOutputs("b", "s", "l"), BoxOutputs("s", "b")):
        with pytest.raises(InputError, match=r"a\.onnx: outputs .*; expected boxes \(1, N, 4\)"):
            read_named(values, outputs, (64, 64), HERE)
    assert read_named(values, BoxOutputs("b", "l"), (64, 64), HERE).scores.shape == (3, 1)  # persons alone


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    decoded = constant_graph(tmp_path / "decoded.onnx", {"out": raw_yolox({0: ((10, 10, 200, 300), 0.9)})})
    with pytest.raises(InputError, match=r"decoded\.onnx: gives boxes that are not finite; YOLOX is read as exported without"):
        stage(decoded, layout="yolox", person_class=1)([frame()])
    broken = constant_graph(tmp_path / "broken.onnx", {"out": raw_yolox({0: ((0, 0, 0, 0), np.nan)})})
    with pytest.raises(InputError, match=r"broken\.onnx: gives scores that are not finite"):
        stage(broken, layout="yolox", person_class=1)([frame()])
    with pytest.raises(InputError, match="expected one picture"):
        stage(constant_graph(tmp_path / "flat.onnx", {"out": np.zeros((1, 1))}, (1, 64)), layout="yolox")


def test_graphs_of_the_zoo_go_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path))
    (tmp_path / "zoo").mkdir()
    name = "yolox_tiny_8xb8-300e_humanart"
    constant_graph(tmp_path / "zoo" / f"{name}.onnx", {"dets": np.array([[[8, 8, 24, 40, 0.5]]]), "labels": np.array([[0]])})
    detector = resolve(PERSON_DETECTORS, {"name": "onnx", "weights": f"zoo/{name}", "layout": "yolox"}, "person_detector").build("cpu")
    assert len(detector([frame()])[0]) == 1
    assert len(detector.facts.weights_sha256) == 64


def test_yolox_nano_finds_pedestrians(development_data: Path) -> None:
    """Boxes that humans drew in PennFudan; most are found with an IoU of 0.5, and little else is."""
    from detectors.evaluation import frame_of
    from parsing.datasets import read_records
    from parsing.geometry import box_ious

    detector = stage(development_data / "teachers" / "yolox_nano.onnx", layout="yolox", score_threshold=0.4)
    records = read_records("coco", development_data / "people" / "annotations_val.json", development_data / "people" / "images")
    found = truth = right = 0
    for record in [r for r in records if r.source == "pennfudan"][:12]:
        boxes = np.array([person.xyxy for person in record.persons if not person.crowd])
        (persons,) = detector([frame_of(record)])
        found, truth = found + len(persons), truth + len(boxes)
        right += int((box_ious(boxes, persons.xyxy).max(1, initial=0) >= 0.5).sum())
    assert right / truth > 0.8
    assert right / found > 0.8
