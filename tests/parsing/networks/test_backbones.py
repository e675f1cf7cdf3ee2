import pytest
import torch

from parsing.errors import InputError
from parsing.networks.backbones import Backbone


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
