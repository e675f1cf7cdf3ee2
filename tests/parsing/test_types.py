import numpy as np
import pytest

from parsing.types import Detections, Frame, FrameParse, Parts, PartStates


def test_nobody_is_a_valid_frame() -> None:
    parse = FrameParse(0, 0.0, Detections.empty(), Parts.empty(0, 10), PartStates.empty(0, 10, 11))
    assert len(parse.persons) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2), "shape"),
        (np.zeros((2, 4)), np.zeros(3), "shape"),
        (np.full((1, 4), np.nan), np.zeros(1), "not finite"),
        (np.zeros((1, 4)), np.array([1.5]), "expected"),
    ],
)
def test_detections_that_do_not_fit_are_refused(boxes: np.ndarray, scores: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(boxes, scores, np.zeros(len(boxes)))


def test_select_takes_rows_of_every_column() -> None:
    found = Detections(np.arange(12).reshape(3, 4), [0.1, 0.2, 0.3], [0, 0, 0], np.array([7, 8, 9]))
    picked = found.select(np.array([2, 0]))
    assert picked.track_ids is not None
    assert picked.track_ids.tolist() == [9, 7]
    assert picked.xyxy[0].tolist() == [8, 9, 10, 11]


def test_columns_of_a_frame_must_describe_the_same_persons() -> None:
    with pytest.raises(ValueError, match="disagrees"):
        FrameParse(3, 0.0, Detections.empty(), Parts.empty(1, 10), PartStates.empty(0, 10, 11))


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_frames_hold_rgb_bytes(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        Frame("a", 0, 0.0, image)
