import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from parsing.errors import InputError
from parsing.networks.backbones import Backbone

# MobileNetV2 at width 1.5, block by block: output channels and stride.
BLOCKS = [(24, 1), *[(40, 2), (40, 1)], *[(48, 2), (48, 1), (48, 1)], *[(96, 2), *[(96, 1)] * 3], *[(144, 1)] * 3]
BLOCKS += [(240, 2), (240, 1), (240, 1), (480, 1)]
LEVEL_BLOCKS = (0, 2, 5, 12, 16)  # the last blocks of strides 2, 4, 8, 16, 32


def folded_weights(generator: torch.Generator) -> dict[str, Tensor]:
    """Convolutions of a trunk as MoveNet stores them, with random values that keep activations near 1."""
    tensors = {}

    def conv(name: str, outside: int, inside: int, kernel: int) -> None:
        fan = inside * kernel * kernel
        tensors[f"{name}.weight"] = torch.randn(outside, inside, kernel, kernel, generator=generator) / fan**0.5
        tensors[f"{name}.bias"] = torch.randn(outside, generator=generator) * 0.1

    conv("stem", 48, 3, 3)
    inside = 48
    for i, (outside, _) in enumerate(BLOCKS):
        wide = inside * 6 if i else inside
        if i:
            conv(f"blocks.{i}.expand", wide, inside, 1)
        conv(f"blocks.{i}.depthwise", wide, 1, 3)
        conv(f"blocks.{i}.project", outside, wide, 1)
        inside = outside
    conv("last", 1280, inside, 1)  # follows the blocks and is not used
    return tensors


def reference(tensors: dict[str, Tensor], images: Tensor) -> list[Tensor]:
    """What MoveNet's graph computes, written out: strided convolutions pad at the right and below alone (even sides)."""

    def conv(x: Tensor, name: str, stride: int = 1, depthwise: bool = False) -> Tensor:
        weight = tensors[f"{name}.weight"]
        if weight.shape[2] == 3:
            x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        return F.conv2d(x, weight, tensors[f"{name}.bias"], stride, groups=x.shape[1] if depthwise else 1)

    x = F.relu6(conv(images * 2 - 1, "stem", 2))
    found = []
    for i, (_, stride) in enumerate(BLOCKS):
        y = F.relu6(conv(x, f"blocks.{i}.expand")) if i else x
        y = conv(F.relu6(conv(y, f"blocks.{i}.depthwise", stride, depthwise=True)), f"blocks.{i}.project")
        x = x + y if y.shape == x.shape else y
        found.append(x)
    return [found[i] for i in LEVEL_BLOCKS]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Path]:
    tensors = folded_weights(torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("movenet") / "trunk.safetensors"
    save_file(tensors, path)
    return tensors, path


def normalised(levels: Sequence[Tensor]) -> list[Tensor]:
    """Zero mean and unit deviation over the channels of every position."""
    return [(x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt() for x in levels]


@torch.no_grad()
def test_features_are_those_of_movenets_graph(weights: tuple[dict[str, Tensor], Path]) -> None:
    tensors, path = weights
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    backbone = Backbone("movenet_multipose", (0, 1, 2, 3, 4), str(path)).eval()
    expected = reference(tensors, images)
    for level, wanted in zip(backbone.net(images * 2 - 1), expected, strict=True):
        torch.testing.assert_close(level, wanted, rtol=1e-4, atol=1e-4)
    for level, wanted in zip(backbone(images), normalised(expected), strict=True):
        torch.testing.assert_close(level, wanted, rtol=1e-3, atol=1e-3)


def test_thunder_is_wider_and_has_the_same_strides() -> None:
    backbone = Backbone("movenet_thunder", (1, 2, 3, 4))
    assert (backbone.channels, backbone.strides) == ([40, 56, 168, 560], [4, 8, 16, 32])


def test_freezing_leaves_the_levels_after_it(weights: tuple[dict[str, Tensor], Path]) -> None:
    backbone = Backbone("movenet_multipose", (2, 3, 4), str(weights[1]), frozen_level=1)
    trained = {name.split(".")[1] for name, p in backbone.net.named_parameters() if p.requires_grad}
    assert trained == {"2", "3", "4", "5", "6"}  # stages of blocks; the stem's tensors are named otherwise
    assert all(p.requires_grad for p in backbone.output_norms.parameters())  # type: ignore[union-attr]


def test_wrong_files_are_one_line(weights: tuple[dict[str, Tensor], Path], tmp_path: Path) -> None:
    lacking = {name: value for name, value in weights[0].items() if name != "blocks.3.project.bias"}
    save_file(lacking, tmp_path / "lacking.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    cases = {
        str(tmp_path / "lacking.safetensors"): "not a checkpoint of backbone movenet_multipose: 1 missing (first 'blocks.2.0.bn3.bias')",
        str(tmp_path / "text.safetensors"): "not a readable safetensors file",
        str(tmp_path / "none.safetensors"): "not found; expected none, imagenet, timm/TAG, zoo/NAME or a safetensors file",
        "imagenet": "expected a safetensors file or none",
    }
    for pretrained, message in cases.items():
        with pytest.raises(InputError, match=re.escape(message)):
            Backbone("movenet_multipose", (2,), pretrained)
    with pytest.raises(InputError, match=re.escape("'stem.weight'") + "|shape|missing"):
        Backbone("movenet_thunder", (2,), str(weights[1]))  # of another width


def test_files_of_timms_names_fill_timms_networks(tmp_path: Path) -> None:
    trained = Backbone("test_resnet", (2,))
    save_file(trained.net.state_dict(), tmp_path / "trunk.safetensors")
    again = Backbone("test_resnet", (2,), str(tmp_path / "trunk.safetensors"))
    assert all(torch.equal(value, again.net.state_dict()[name]) for name, value in trained.net.state_dict().items())
