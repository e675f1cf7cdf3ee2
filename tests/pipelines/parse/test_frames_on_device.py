"""The path of a GPU, whose crops are made of whole frames, on the CPU: the same parse, and each key frame is uploaded once."""

from typing import Any

import numpy as np
import pytest
import torch

from parsing.networks import device_images
from parsing.types import Array
from pipelines import VideoParser

HW = (96, 128)


def moving_blobs(count: int = 6) -> list[Array]:
    rows, columns = np.mgrid[: HW[0], : HW[1]]
    waves = [np.sin(columns / 11 + rows / 17 + i / 2) for i in range(count)]
    return [np.stack([127 + 90 * wave, 127 - 90 * wave, 60 + 60 * wave**2], 2).astype(np.uint8) for wave in waves]


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """Every frame that is uploaded; crops are made there."""
    found: list[Array] = []

    def counted(pixels: Array, _: str) -> Any:
        if pixels.shape == (*HW, 3):
            found.append(pixels)
        return torch.from_numpy(pixels)

    monkeypatch.setattr(device_images, "made_on", lambda _: True)
    monkeypatch.setattr(device_images, "to_device", counted)
    return found


@pytest.mark.parametrize(
    "more", [[], ["part_detector.flip=true", "part_detector.scales=[0.8,1.2]", "part_states.flip=true", "part_states.batch_size=2"]]
)
def test_key_frames_are_uploaded_once_and_the_parse_is_that_of_the_cpu(
    tiny_pipeline: Any, uploads: list[Array], monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    parser = VideoParser.from_config(str(tiny_pipeline), [*more, "recognizers=[]"], "cpu")
    images = moving_blobs()
    there = list(parser.stream(frames=images, fps=10))
    assert len(uploads) == 3  # key frames
    assert device_images._UPLOADED.get() is None
    monkeypatch.setattr(device_images, "made_on", lambda device: device != "cpu")
    host = list(parser.stream(frames=images, fps=10))
    assert len(uploads) == 3
    assert sum(len(parse.persons) for parse in host) > 0
    for one, other in zip(host, there, strict=True):
        assert one.persons.xyxy == pytest.approx(other.persons.xyxy, abs=0.5)
        assert one.persons.scores == pytest.approx(other.persons.scores, abs=0.01)
        assert one.parts.scores == pytest.approx(other.parts.scores, abs=0.01)
        assert np.abs(one.states.scores - other.states.scores).mean() < 0.002
