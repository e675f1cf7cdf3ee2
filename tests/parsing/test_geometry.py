import numpy as np
import pytest

from parsing.geometry import Crop, box_ious, clip_boxes


def test_ious_by_hand() -> None:
    first = np.array([[0, 0, 10, 10], [5, 5, 5, 5]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    assert box_ious(first, second) == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))
    assert box_ious(np.zeros((0, 4)), second).shape == (0, 3)


def test_clip_moves_boxes_inside() -> None:
    clipped = clip_boxes(np.array([[-5, -5, 50, 50], [60, 60, 70, 70]], np.float32), (20, 30))
    assert clipped.tolist() == [[0, 0, 30, 20], [30, 20, 30, 20]]


def test_boxes_go_to_the_crop_and_back() -> None:
    crop = Crop.around(np.array([100, 50, 140, 150]), 224, 1.2)
    boxes = np.array([[100, 50, 140, 150], [110, 60, 120, 90]], np.float32)
    assert crop.to_image(crop.to_crop(boxes)) == pytest.approx(boxes, abs=1e-3)
    assert crop.side_px == pytest.approx(120)


@pytest.mark.parametrize("size", [32, 100, 301])
def test_pixels_land_where_boxes_say(size: int) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:120, 100:180] = 255
    crop = Crop.around(np.array([80, 40, 200, 140]), size, 1.1)
    x0, y0, x1, y1 = crop.to_crop(np.array([[100, 60, 180, 120]], np.float32))[0]
    bright = crop.pixels(image)[..., 0].astype(float) / 255
    # The area of the white box survives to sub-pixel precision, and so does its middle.
    assert bright.sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.02)
    ys, xs = np.mgrid[:size, :size] + 0.5
    assert (bright * xs).sum() / bright.sum() == pytest.approx((x0 + x1) / 2, abs=0.15)
    assert (bright * ys).sum() / bright.sum() == pytest.approx((y0 + y1) / 2, abs=0.15)


def test_a_window_outside_of_the_image_is_grey() -> None:
    assert (Crop(500, 500, 50, 16).pixels(np.zeros((100, 100, 3), np.uint8)) == 114).all()
