from typing import Any

import pytest
import torch

from parsing.errors import InputError
from recognizers.superres.basicvsr import BasicVSR, BasicVSRArchitecture
from recognizers.superres.networks import parse_architecture
from recognizers.superres.realbasicvsr import RealBasicVSR, RealBasicVSRArchitecture
from recognizers.superres.spynet import SPyNet, warp

SMALL: dict[str, Any] = {"channels": 6, "blocks": 1, "hr_channels": 4, "flow_levels": 3, "flow_channels": (4, 4)}


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 4), (7, 8), (9, 9), (17, 33)])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("options", [{"scale": 2}, {"scale": 4}, {"scale": 2, "flow": "none", "base": "bicubic"}])
def test_any_size_and_length_goes_through(size: tuple[int, int], frames: int, options: dict[str, Any]) -> None:
    network = RealBasicVSRArchitecture(cleaning_blocks=1, **SMALL, **options).build().eval()
    clips = torch.rand(2, frames, 3, *size)
    scale = options["scale"]
    with torch.inference_mode():
        found = network(clips)
    assert found.shape == (2, frames, 3, size[0] * scale, size[1] * scale)
    assert found.isfinite().all()


def test_the_published_flow_network_takes_any_size() -> None:
    with torch.inference_mode():
        for size in ((1, 1), (9, 5), (33, 40)):
            assert SPyNet()(torch.rand(1, 3, *size), torch.rand(1, 3, *size)).shape == (1, 2, *size)


def test_warping_takes_values_from_where_flow_points() -> None:
    values = torch.arange(12.0).view(1, 1, 3, 4)
    right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 3, 4)
    assert warp(values, right)[0, 0, 0].tolist() == pytest.approx([1, 2, 3, 0], abs=1e-5)
    assert warp(values, right, "border")[0, 0, 0].tolist() == pytest.approx([1, 2, 3, 3], abs=1e-5)
    down = torch.tensor([0.0, 0.5]).view(1, 2, 1, 1).expand(1, 2, 3, 4)
    assert warp(values, down)[0, 0, 1].tolist() == pytest.approx([6, 7, 8, 9], abs=1e-5)


def test_new_flow_networks_see_no_motion() -> None:
    torch.manual_seed(0)
    assert not SPyNet(3, (4, 4))(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)).any()


def test_flow_is_in_pixels_of_the_input_whatever_the_pyramid_needs() -> None:
    network = SPyNet(3, (4, 4))
    top: Any = network.levels[-1]
    torch.nn.init.constant_(top[-1].bias, 2.0)  # two pixels of the resized pictures, everywhere
    with torch.inference_mode():
        found = network(torch.rand(1, 3, 6, 9), torch.rand(1, 3, 6, 9))  # resized to 8 x 12
    assert found[0, 0].mean() == pytest.approx(2 * 9 / 12)
    assert found[0, 1].mean() == pytest.approx(2 * 6 / 8)


def test_every_frame_sees_past_and_future() -> None:
    torch.manual_seed(0)
    network = BasicVSR(BasicVSRArchitecture(scale=2, **SMALL)).eval()
    clips = torch.rand(1, 5, 3, 8, 8)
    changed = clips.clone()
    changed[:, 2] = torch.rand(3, 8, 8)
    with torch.inference_mode():
        difference = (network(clips) - network(changed)).abs().amax((0, 2, 3, 4))
    assert (difference > 0).all()


def test_a_network_of_zeros_interpolates() -> None:
    network = BasicVSR(BasicVSRArchitecture(scale=2, base="bicubic", **SMALL))
    torch.nn.init.zeros_(network.last.weight)
    assert network.last.bias is not None
    torch.nn.init.zeros_(network.last.bias)
    clips = torch.rand(1, 2, 3, 5, 7)
    expected = torch.nn.functional.interpolate(clips[0], scale_factor=2, mode="bicubic", align_corners=False)
    assert torch.allclose(network(clips)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("change", "training", "passes"), [(0.1, False, 3), (0.001, False, 1), (0.1, True, 1)])
def test_cleaning_goes_on_while_much_changes(change: float, training: bool, passes: int) -> None:
    network = RealBasicVSR(RealBasicVSRArchitecture(cleaning_blocks=1, **SMALL)).train(training)
    last: Any = network.cleaning[1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, change)
    clips = torch.rand(1, 2, 3, 4, 4)
    assert torch.allclose(network.clean(clips), clips + passes * change, atol=1e-5)


def test_pixels_are_placed_exactly_in_half_precision() -> None:
    values, flow = torch.rand(1, 1, 1, 300), torch.full((1, 2, 1, 300), 0.25)
    flow[:, 1] = 0
    found = warp(values, flow.bfloat16())
    assert torch.allclose(found, warp(values, flow), atol=1e-6)


def test_architectures_are_checked() -> None:
    with pytest.raises(InputError, match=r"scale: Input should be 2 or 4 \(found 3\)"):
        parse_architecture("basicvsr", {"scale": 3}, "architecture")
    with pytest.raises(InputError, match="unknown key 'chanels'; did you mean 'channels'"):
        parse_architecture("realbasicvsr", {"chanels": 3}, "architecture")
