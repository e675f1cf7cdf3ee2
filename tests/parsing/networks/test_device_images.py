"""Crops and sizes that are made on a device, held against OpenCV's; the device is the CPU here."""

import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from parsing.geometry import BORDER, Crop
from parsing.networks import device_images
from parsing.networks.device_images import crop_images, cropped, resize_images, resized, uploaded, uploaded_once
from parsing.networks.placing import to_device
from parsing.types import Array


def smooth(height: int = 240, width: int = 320) -> Array:
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(columns / 37 + rows / 53), np.cos(columns / 41), np.sin(rows / 29)]
    return np.stack([127 + 120 * wave for wave in waves], 2).astype(np.uint8)


def noise(height: int = 240, width: int = 320) -> Array:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def crops_over(image: Array, side: float, size: int = 64) -> list[Crop]:
    """Crops of an image at places between pixels, some of which reach over its edges."""
    random, (height, width) = np.random.default_rng(1), image.shape[:2]
    corners = random.uniform(-0.3, 1.3, (6, 2)) * [width - side, height - side]
    return [Crop(float(left), float(top), side * random.uniform(0.9, 1.1), size) for left, top in corners]


def levels_off(image: Array, crops: list[Crop]) -> Array:
    """How far crops made in PyTorch are from OpenCV's, in grey levels."""
    expected = np.stack([crop.pixels(image) for crop in crops])
    found = torch.stack(cropped([torch.from_numpy(image)] * len(crops), crops)).numpy()
    return np.abs(expected.astype(int) - found)


# OpenCV takes points to a 32nd of a pixel, which in noise is up to eight levels.
@pytest.mark.parametrize("side", [20.0, 64.0, 100.0, 127.0, 130.0, 200.0, 700.0])  # from two thirds of 130 on, pixels are averaged
def test_crops_are_those_of_the_cpu(side: float) -> None:
    even, uneven = (levels_off(image, crops_over(image, side)) for image in (smooth(), noise()))
    assert even.mean() < 0.25
    assert even.max() <= 4
    assert uneven.mean() < 1
    assert uneven.max() <= 8


def test_a_crop_of_nothing_is_grey() -> None:
    away = [Crop(500, 0, 50, 16), Crop(0, -80, 50, 16)]
    assert (torch.stack(cropped([torch.zeros(100, 100, 3, dtype=torch.uint8)] * 2, away)) == BORDER).all()
    assert cropped([], []) == []


def test_images_of_a_batch_may_have_any_size_and_lots_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [smooth(240, 320), smooth(1, 1), smooth(90, 500)]
    crops = [Crop(100.3, 20.7, 150, 32), Crop(-3, -3, 9, 32), Crop(20, -100, 300, 32)]
    tensors = [torch.from_numpy(image) for image in images]
    found = torch.stack(cropped(tensors, crops))
    for image, crop, one in zip(images, crops, found, strict=True):
        assert np.abs(one.int().numpy() - crop.pixels(image)).max() <= 4
    sizes = [(24, 32), (24, 32), (20, 10), (24, 32)]
    scaled = resized([tensors[0], tensors[0], *tensors[1:]], sizes)
    assert [tuple(one.shape[:2]) for one in scaled] == sizes
    monkeypatch.setattr(device_images, "MOST_PIXELS", 1)
    assert torch.equal(torch.stack(cropped(tensors, crops)), found)
    assert all(map(torch.equal, resized([tensors[0], tensors[0], *tensors[1:]], sizes), scaled))
    assert all(torch.equal(resized([tensors[0]], [(24, 32)])[0], one) for one in scaled[:2])


def test_short_numbers_around_them_do_not_change_crops() -> None:
    image, crops = torch.from_numpy(noise()), crops_over(noise(), 150)
    plain = cropped([image] * 6, crops), resized([image], [(100, 200)])[0]
    with torch.autocast("cpu", torch.bfloat16):
        short = cropped([image] * 6, crops), resized([image], [(100, 200)])[0]
    assert torch.equal(torch.stack(plain[0]), torch.stack(short[0]))
    assert torch.equal(plain[1], short[1])


@pytest.mark.parametrize("size_hw", [(90, 120), (239, 319), (120, 160), (33, 320), (240, 320), (500, 667), (1, 1)])
def test_sizes_are_those_of_the_cpu(size_hw: tuple[int, int]) -> None:
    for image in (smooth(), noise()):
        expected = resize_images([image], [size_hw], "cpu")[0]
        found = resized([torch.from_numpy(image)], [size_hw])[0]
        assert found.shape == (*size_hw, 3)
        assert (found.int() - expected.int()).abs().max() <= 1
    assert (resized([torch.full((1, 1, 3), 7, dtype=torch.uint8)], [(4, 6)])[0] == 7).all()


def test_only_a_cpu_leaves_crops_to_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [device_images.made_on(device) for device in ("cpu", "cuda", "cuda:1")] == [False, True, True]
    image, crops = noise(), crops_over(noise(), 150)
    for one, crop in zip(crop_images([image] * 6, crops, "cpu"), crops, strict=True):
        assert np.array_equal(one.numpy(), crop.pixels(image))
    assert crop_images([], [], "cpu") == []
    monkeypatch.setattr(device_images, "made_on", lambda _: True)
    found = crop_images([image] * 6, crops, "cpu")
    assert torch.equal(torch.stack(found), torch.stack(cropped([torch.from_numpy(image)] * 6, crops)))
    assert torch.equal(resize_images([image], [(90, 120)], "cpu")[0], resized([torch.from_numpy(image)], [(90, 120)])[0])
    assert crop_images([], [], "cpu") == []


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list["weakref.ref[Tensor]"]:
    """Every image that goes to the device, which copies it as a GPU does."""
    found: list[weakref.ref[Tensor]] = []

    def copied(pixels: Array, _: str) -> Tensor:
        tensor = torch.from_numpy(pixels).clone()
        if pixels.dtype == np.uint8:
            found.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(device_images, "to_device", copied)
    monkeypatch.setattr(device_images, "made_on", lambda _: True)
    return found


def test_an_image_is_uploaded_once_and_goes_with_the_block(uploads: list["weakref.ref[Tensor]"]) -> None:
    first, second = noise(), smooth()
    with uploaded_once():
        for _ in range(2):
            resize_images([first, second], [(9, 9)] * 2, "cpu")
            crop_images([first, first, second], [Crop(0, 0, 20, 8)] * 3, "cpu")
        with uploaded_once():
            uploaded(first, "cpu")
        assert len(uploads) == 2
    assert all(one() is None for one in uploads)
    crop_images([first] * 3, [Crop(0, 0, 20, 8)] * 3, "cpu")  # a call of its own
    assert len(uploads) == 3
    assert uploads[2]() is None


def test_an_image_that_takes_the_place_of_another_is_another(uploads: list["weakref.ref[Tensor]"]) -> None:
    with uploaded_once():
        for grey in range(5):  # arrays that come and go may get the same id
            assert (uploaded(np.full((4, 4, 3), grey, np.uint8), "cpu") == grey).all()
    assert len(uploads) == 5


def test_images_that_pytorch_would_not_take_are_copied() -> None:
    image = noise()
    turned = image[:, ::-1]
    assert np.array_equal(uploaded(turned, "cpu").numpy(), turned)
    image.setflags(write=False)
    assert np.array_equal(uploaded(image, "cpu").numpy(), image)  # without a warning


def test_what_goes_to_a_gpu_is_pinned_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: asked.append("pinned") or self)
    monkeypatch.setattr(Tensor, "to", lambda self, device, non_blocking: asked.append((device, non_blocking)) or self)
    assert to_device(np.zeros(2), "cuda:1").shape == (2,)
    assert asked == ["pinned", ("cuda:1", True)]
    assert to_device(np.zeros(2), "cpu").shape == (2,)
    assert len(asked) == 2
