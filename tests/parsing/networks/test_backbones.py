import copy
from typing import Any

import pytest
import timm
import torch

from parsing.errors import InputError
from parsing.networks.backbones import Backbone
from parsing.networks.tensors import read_tensors
from parsing.networks.weights import weights_path


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_levels_have_the_strides_that_they_say(name: str) -> None:
    backbone = Backbone(name, (1, 2)).eval()
    for level, channels, stride in zip(backbone(torch.rand(2, 3, 64, 64)), backbone.channels, backbone.strides, strict=True):
        assert level.shape == (2, channels, 64 // stride, 64 // stride)


def test_channels_come_first_whatever_the_network() -> None:
    backbone = Backbone("swin_tiny_patch4_window7_224", (2,)).eval()
    (level,) = backbone(torch.rand(1, 3, 224, 224))
    assert level.shape == (1, backbone.channels[0], 14, 14)


def test_freezing_ends_with_its_level() -> None:
    backbone = Backbone("tf_efficientnet_lite0", (4,), freeze_norm=False, frozen_level=2)
    trained = {name.split(".")[1] for name, p in backbone.net.named_parameters() if p.requires_grad}
    assert trained == {"3", "4", "5", "6"}
    assert not backbone.net.conv_stem.weight.requires_grad


def test_frozen_norms_stay_as_they_are() -> None:
    backbone = Backbone("test_resnet", (2,)).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone(torch.rand(2, 3, 64, 64))
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_imagenet_weights_of_the_compact_network_need_no_download() -> None:
    plain, trained = Backbone("tf_efficientnet_lite0", (2,)), Backbone("tf_efficientnet_lite0", (2,), "imagenet")
    assert not torch.equal(plain.net.conv_stem.weight, trained.net.conv_stem.weight)


def test_unknown_networks_are_named() -> None:
    with pytest.raises(InputError, match="backbone 'resnot50': timm has no such model"):
        Backbone("resnot50", (1,))


def test_a_backbone_starts_from_the_one_inside_a_whole_network() -> None:
    """The shipped part states keep theirs under `backbone.net.`."""
    inside = read_tensors(weights_path("default/recognizer"))
    network = Backbone("tf_efficientnet_lite0", (2, 4), "default/recognizer")
    stem = network.net.state_dict()["conv_stem.weight"]
    assert torch.equal(stem, inside["backbone.net.conv_stem.weight"].float())


def test_movenet_starts_from_the_shipped_part_detector() -> None:
    inside = read_tensors(weights_path("default/part_detector"))
    network = Backbone("movenet_thunder", (1, 2, 3, 4), "default/part_detector")
    name, value = next(iter(network.net.state_dict().items()))
    assert torch.equal(value, inside[f"backbone.net.{name}"].float())


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ("timm/a1_in2k", "timm has no such weights of resnet18; did you mean 'a1_in1k'"),
        ("timm/a1_in1k", "the network, which is not asked"),
        ("imagenet", "the network, which is not asked"),
        ("zoo/nothing", "nothing"),
        ("nothing.safetensors", "not found; expected none, imagenet, timm/TAG"),
    ],
)
def test_pretrained_that_cannot_be_had_is_refused(pretrained: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTWISE_OFFLINE", "1")
    with pytest.raises(InputError, match=message):
        Backbone("resnet18", (1,), pretrained)


def test_timm_loads_the_weights_of_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    create = timm.create_model

    def noted(name: str, pretrained: bool, **options: Any) -> Any:
        asked.append((name, pretrained))
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", noted)
    Backbone("resnet18", (1,), "timm/a1_in1k")
    assert asked == [("resnet18.a1_in1k", True)]


@pytest.mark.parametrize("hw", [(64, 96), (32, 32), (51, 64), (33, 35)])
def test_same_padding_is_tensorflows_for_every_size(hw: tuple[int, int]) -> None:
    images = torch.rand(1, 3, *hw)
    backbone = Backbone("movenet_thunder", (1, 3)).eval()
    plain = copy.deepcopy(backbone)
    for layer in plain.modules():
        vars(layer).pop("forward", None)
    assert sum("forward" in vars(layer) for layer in backbone.modules()) == 5
    with torch.no_grad():
        for one, other in zip(backbone(images), plain(images), strict=True):
            torch.testing.assert_close(one, other)
