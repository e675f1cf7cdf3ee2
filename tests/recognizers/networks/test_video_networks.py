"""The 3D networks and their variants: shapes, gradients, and that each switch does what it says."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from parsing.errors import InputError
from recognizers.clips.inputs import Normalise
from recognizers.networks import parse_architecture
from recognizers.networks.blocks import MixedConv, NonLocal, SpaceTimeAttention, SqueezeExcite, TemporalAdaptive, Variants
from recognizers.networks.csn import CSN, CSNArchitecture
from recognizers.networks.mfnet import MFNet, MFNetArchitecture
from recognizers.networks.mvit import MViT, MViTArchitecture
from recognizers.networks.reference import S3D, S3DArchitecture, VideoSwin, VideoSwinArchitecture
from recognizers.networks.slow_only import ResNet3D, ResNet3DArchitecture
from recognizers.networks.slowfast import SlowFast, SlowFastArchitecture
from recognizers.networks.tanet import TANet, TANetArchitecture
from recognizers.networks.timesformer import IMAGES, TimeSformer, TimeSformerArchitecture
from recognizers.networks.uniformer import UniFormer, UniFormerArchitecture
from recognizers.networks.video_resnet import R3D, R2Plus1DArchitecture, R3DArchitecture

TINY = SlowFastArchitecture(frames=8, depth=26, width=16, alpha=4, input_px=32)
VARIANTS = [
    Variants(activation="elu"),
    Variants(pooling=True),
    Variants(kernels="2plus1d"),
    Variants(kernels="mixed"),
    Variants(squeeze_excite=True),
    Variants(tam=True),
    Variants(attention=True),
    Variants(non_local=(2, 3)),
    Variants("elu", True, "mixed", True, True, True, (2, 3)),
]


def clips(batch: int = 2, frames: int = 8, size: int = 32) -> torch.Tensor:
    return torch.rand(batch, frames, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variants", VARIANTS, ids=str)
def test_every_variant_of_slowfast_trains(variants: Variants) -> None:
    torch.manual_seed(0)
    network = SlowFast(replace(TINY, variants=variants), 5)
    logits = network(clips())
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_residual_frames_are_differences_of_neighbours() -> None:
    still = clips(1, 1).expand(1, 5, 3, 32, 32)
    assert not Normalise(kind="residual")(still).any()
    moving = clips(1, 5)
    found = Normalise(kind="residual")(moving)
    assert found.shape == (1, 3, 5, 32, 32)
    std = torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(found[0, :, 2, 4, 4], (moving[0, 2, :, 4, 4] - moving[0, 1, :, 4, 4]) / std, atol=1e-6)
    assert torch.equal(found[:, :, 0], found[:, :, 1])
    assert not Normalise(kind="residual")(moving[:, :1]).any()
    brighter = SlowFast(replace(TINY, input="residual"), 5).eval()
    assert torch.allclose(brighter(clips()), brighter(clips() + 0.1), atol=1e-4)  # light does not matter


def test_published_sizes() -> None:
    """Parameters in millions with 400 classes, as their reference implementations have."""
    with torch.device("meta"):
        sizes = {
            "slowfast_r50": SlowFast(SlowFastArchitecture(), 400),
            "csn_ir_152": CSN(CSNArchitecture(), 400),
            "tanet_r50": TANet(TANetArchitecture(), 400),
            "r2plus1d_34": R3D(R2Plus1DArchitecture(), 400),
            "r2plus1d_34_pooled": R3D(R2Plus1DArchitecture(layout="pooled"), 400),
            "mvit_v1_base": MViT(MViTArchitecture("v1_base"), 400),
            "mvit_v2_small": MViT(MViTArchitecture(), 400),
            "mvit_v2_base": MViT(MViTArchitecture("v2_base"), 400),
            "s3d": S3D(S3DArchitecture(), 400),
            "r3d_18": R3D(R3DArchitecture(), 400),
            "resnet3d_50": ResNet3D(ResNet3DArchitecture(), 400),
            "mfnet": MFNet(MFNetArchitecture(), 400),
        }
    counts = {name: round(sum(p.numel() for p in net.parameters()) / 1e6, 2) for name, net in sizes.items()}
    first = {"slowfast_r50": 34.48, "csn_ir_152": 29.70, "tanet_r50": 25.59, "r2plus1d_34": 63.70}
    torchvisions = {"mvit_v1_base": 36.61, "mvit_v2_small": 34.54, "s3d": 8.32, "r3d_18": 33.37}
    assert counts == first | torchvisions | {"r2plus1d_34_pooled": 63.76, "mvit_v2_base": 51.19, "resnet3d_50": 32.45, "mfnet": 8.0}


@pytest.mark.parametrize(
    ("network", "size", "gmacs"),
    [
        (MFNet(MFNetArchitecture(), 400), 224, 11.1),
        (R3D(R3DArchitecture(), 400), 112, 40.7),
        (TimeSformer(TimeSformerArchitecture(), 400), 224, 196),
    ],
    ids=["mfnet", "r3d_18", "timesformer"],
)
def test_published_work(network: torch.nn.Module, size: int, gmacs: float) -> None:
    """Multiplications in billions for one clip, as the paper of MF-Net, torchvision and mmaction2 state them."""
    frames = network.architecture.frames
    with FlopCounterMode(display=False) as counter:
        network.to("meta").eval()(torch.empty(1, frames, 3, size, size, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, rel=0.01)


def test_the_slow_pathway_sees_every_alpha_th_frame() -> None:
    network = SlowFast(TINY, 5).eval()
    seen = []
    network.slow.stem.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x = clips()
    network(x)
    assert torch.equal(seen[0], network.normalise(x)[:, :, ::4])


def test_pooling_takes_the_strides_of_convolutions() -> None:
    network = SlowFast(replace(TINY, variants=Variants(pooling=True)), 5)
    strided = [m for m in network.slow.stages.modules() if isinstance(m, torch.nn.Conv3d) and max(m.stride) > 1]
    assert strided == []
    assert network(clips()).shape == (2, 5)


def test_modules_keep_their_shapes_and_start_harmless() -> None:
    x = torch.randn(2, 8, 5, 7, 6)
    for module in (SqueezeExcite(8), SpaceTimeAttention(), TemporalAdaptive(8), NonLocal(8)):
        assert module(x).shape == x.shape
    assert torch.equal(NonLocal(8).eval()(x), x)
    assert MixedConv(8, (1, 2, 2), 1e-5)(x).shape == (2, 8, 5, 4, 3)


def test_tam_is_a_gate_and_a_convolution_over_time() -> None:
    module, x = TemporalAdaptive(4, num_frames=6).eval(), torch.rand(1, 4, 6, 3, 3)
    means = x.mean((3, 4))
    with torch.inference_mode():
        kernels = module.G(means[0])
        padded = torch.nn.functional.pad(module.L(means)[..., None, None] * x, (0, 0, 0, 0, 1, 1))
        expected = sum(kernels[:, k, None, None, None] * padded[0, :, k : k + 6] for k in range(3))
        assert torch.allclose(module(x)[0], torch.as_tensor(expected), atol=1e-6)


@pytest.mark.parametrize("mode", ["ir", "ip"])
def test_csn_separates_channels(mode: str) -> None:
    network = CSN(CSNArchitecture(depth=26, width=8, mode=mode), 5)  # type: ignore[arg-type]
    assert network(clips()).shape == (2, 5)
    wide = [m for m in network.trunk.stages.modules() if isinstance(m, torch.nn.Conv3d) and m.kernel_size == (3, 3, 3)]
    assert wide
    assert all(m.groups == m.in_channels for m in wide)


def test_tanet_and_uniformer_and_torchvisions() -> None:
    torch.manual_seed(0)
    networks = [
        TANet(TANetArchitecture(backbone="resnet50", segments=8), 5),
        UniFormer(UniFormerArchitecture("tiny"), 5),
        VideoSwin(VideoSwinArchitecture("tiny"), 5),
        R3D(R2Plus1DArchitecture(18), 5),
        MViT(MViTArchitecture(), 5),
        S3D(S3DArchitecture(), 5),
        R3D(R2Plus1DArchitecture(18, "pooled"), 5),
        R3D(R3DArchitecture(), 5),
        ResNet3D(ResNet3DArchitecture(depth=26, width=8), 5),
        MFNet(MFNetArchitecture(width=16), 5),
    ]
    x = clips(1, 8, 64)
    for network in networks:
        network.eval()
        with torch.inference_mode():
            first, mirrored = network(x), network(x.flip(1))
        assert first.shape == (1, 5)
        assert not torch.equal(first, mirrored), type(network)  # the order of frames matters


SMALL_TIMESFORMER = TimeSformerArchitecture(frames=4, input_px=32, width=24, depth=2, heads=2, colours="middle")


def test_timesformer_starts_as_a_network_of_images_that_sees_no_time() -> None:
    """Its attention along time starts as nothing, so the order of frames counts only after training."""
    torch.manual_seed(0)
    network, x = TimeSformer(SMALL_TIMESFORMER, 5).eval(), clips(1, 4)
    with torch.inference_mode():
        before = network(x)
        assert torch.allclose(network(x.flip(1)), before, atol=1e-5)
        for block in network.blocks:
            torch.nn.init.normal_(block.time_fc.weight)
        torch.nn.init.normal_(network.time_embed)
        assert not torch.allclose(network(x.flip(1)), network(x), atol=1e-3)


@pytest.mark.parametrize(("frames", "size"), [(8, 32), (4, 48), (2, 64)])
def test_timesformer_takes_other_clips(frames: int, size: int) -> None:
    network = TimeSformer(SMALL_TIMESFORMER, 5).eval()
    with torch.inference_mode():
        same = network(clips(1, 4)[:, :1].expand(-1, frames, -1, -1, -1))  # a still, whatever its number of frames, is one picture
        assert torch.allclose(same, network(clips(1, 4)[:, :1].expand(-1, 4, -1, -1, -1)), atol=1e-5)
        assert network(clips(1, frames, size)).shape == (1, 5)


def test_timesformer_starts_from_a_vision_transformer_of_timm(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = timm.create_model(IMAGES, img_size=32, embed_dim=24, depth=2, num_heads=2).eval()
    save_file(images.state_dict(), tmp_path / "vit.safetensors")
    network = SMALL_TIMESFORMER.build("abcde", str(tmp_path / "vit.safetensors")).eval()
    x = clips(1, 1).expand(-1, 4, -1, -1, -1)  # of a still, both see the same
    with torch.inference_mode():
        expected = images.forward_features(network.normalise(x)[:, :, 0])[:, 0]
        network.classifier = torch.nn.Identity()
        assert torch.allclose(network(x), expected, atol=1e-5)
    assert torch.equal(network.blocks[1].time.qkv.weight, network.blocks[1].space.qkv.weight)
    with pytest.raises(InputError, match="pretrained: nowhere not found; expected none, imagenet or a safetensors file"):
        SMALL_TIMESFORMER.build("abcde", "nowhere")


def test_the_first_mvit_interpolates_places_and_times() -> None:
    torch.manual_seed(0)
    network = MViT(MViTArchitecture("v1_base", frames=4, input_px=64), 5).eval()
    own, patches = network.trunk.pos_encoding, torch.zeros(1, 4 * 8 * 8, 96)
    with torch.inference_mode():
        assert network(clips(1, 8, 32)).shape == (1, 5)
        torch.nn.init.constant_(own.spatial_pos, 2.0)
        placed = network._placed(patches, (4, 8, 8))[0]
        assert torch.allclose(placed[0], own.class_token + own.class_pos)
        first, last = placed[1:].view(4, 64, 96)[[0, -1]].unbind()
        assert torch.allclose(first, (own.temporal_pos[0] + 2).expand(64, 96), atol=1e-5)
        assert torch.allclose(last, (own.temporal_pos[1] + 2).expand(64, 96), atol=1e-5)


@pytest.mark.parametrize("name", ["timesformer", "actionclip"])
@pytest.mark.parametrize(
    ("field", "value", "message"), [("width", 100, "no multiple of heads 12"), ("patch_px", 30, "no multiple of patch_px 30")]
)
def test_sizes_that_do_not_divide_are_named(name: str, field: str, value: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_architecture(name, {field: value}, "t")
