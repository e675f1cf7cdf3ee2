"""Optical flow and early fusion as input of the video networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args, get_type_hints

import cv2
import numpy as np
import pytest
import torch

from parsing.datasets.clips import ClipRecord
from parsing.errors import InputError
from parsing.types import Array, Frame
from recognizers.clips.flow import flow_images, network_input
from recognizers.clips.frame_sampling import Dense, Sampling, Segments
from recognizers.clips.inputs import CHANNELS, InputKind, Normalise
from recognizers.clips.store import ClipStore
from recognizers.clips.test_views import View
from recognizers.clips.training_views import ClipViews, Targets, ViewConfig, collate
from recognizers.labels import ActionLabels
from recognizers.networks import NETWORKS, Architecture, NetworkName, parse_architecture
from recognizers.video import VideoRecognizer

TINY: dict[NetworkName, dict[str, object]] = {
    "tsm": {"backbone": "test_resnet", "level": 2, "num_segments": 4, "snippet": 2},
    "slowfast": {"frames": 8, "depth": 26, "width": 8, "alpha": 4},
    "csn": {"frames": 8, "depth": 26, "width": 8},
    "tanet": {"segments": 4},
    "uniformer": {"frames": 4, "size": "tiny"},
    "video_swin": {"frames": 4, "size": "tiny"},
    "mvit": {"frames": 4},
    "s3d": {"frames": 4},
    "r2plus1d": {"frames": 4, "depth": 18},
    "r3d": {"frames": 4},
    "resnet3d": {"frames": 4, "depth": 26, "width": 8},
    "mfnet": {"frames": 4, "width": 16},
    "timesformer": {"frames": 4, "width": 24, "depth": 1, "heads": 2},
}
EARLY: tuple[NetworkName, ...] = ("slowfast", "csn", "uniformer", "r2plus1d", "r3d", "resnet3d", "mfnet", "timesformer")


def texture(seed: int, size: int) -> Array:
    noise = np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)
    return np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX))


def moving_square(steps: Sequence[tuple[int, int]]) -> Array:
    """(T, 64, 64, 3): a textured square on textured ground, moved by (right, down) px from frame to frame."""
    ground, square = texture(0, 64), texture(1, 28)
    left, top, frames = 18, 18, []
    for right, down in [(0, 0), *steps]:
        left, top = left + right, top + down
        frames.append(ground.copy())
        frames[-1][top : top + 28, left : left + 28] = square
    return np.stack(frames)


def motion_px(images: Array) -> Array:
    """(T, H, W, 3) motion in px that images of flow say."""
    return np.asarray((images.astype(float) - 128) / 127 * 20 / 256 * images.shape[1])


def test_a_moving_square() -> None:
    found = motion_px(flow_images(moving_square([(2, 0), (0, -3)]), 3))
    inside = np.median(found[:, 26:36, 28:36], (1, 2))
    assert inside == pytest.approx(np.array([[2, 0, 2], [2, 0, 2], [0, -3, 3]]), abs=0.25)
    assert np.median(found[:, :10], (1, 2)) == pytest.approx(np.zeros((3, 3)), abs=0.1)  # the ground stands


def test_mirrored_and_reversed_clips_have_the_flow_of_what_they_show() -> None:
    frames = moving_square([(2, 1), (2, 1)])
    plain, mirrored = motion_px(flow_images(frames, 3)), motion_px(flow_images(frames[:, :, ::-1], 3))
    back = motion_px(flow_images(frames[::-1], 3))
    centre = np.s_[2, 26:38, 28:36]
    assert np.median(plain[centre], (0, 1)) == pytest.approx([2, 1, 5**0.5], abs=0.25)
    assert np.median(mirrored[:, :, ::-1][centre], (0, 1)) == pytest.approx([-2, 1, 5**0.5], abs=0.25)
    assert np.median(back[centre], (0, 1)) == pytest.approx([-2, -1, 5**0.5], abs=0.25)


def test_nothing_moves() -> None:
    frames = moving_square([])
    for still in (frames, np.repeat(frames, 4, 0), np.zeros((2, 12, 12, 3), np.uint8)):
        images = flow_images(still, 4)
        assert images.shape == still.shape
        assert (images == 128).all()


def test_rows_begin_anew() -> None:
    """What lies between two rows is a jump in the video, not a motion."""
    frames = moving_square([(2, 0), (9, 0), (0, 2)])
    inside = np.median(motion_px(flow_images(frames, 2))[:, 24:36, 32:38], (1, 2))[:, :2]
    assert inside == pytest.approx(np.array([[2, 0], [2, 0], [0, 2], [0, 2]]), abs=0.2)
    assert (flow_images(frames, 1) == 128).all()
    assert network_input(frames, "flow", Segments(2, 2)).tolist() == flow_images(frames, 2).tolist()
    assert network_input(frames, "flow", Dense(4)).tolist() == flow_images(frames, 4).tolist()


def test_fast_motion_is_clipped() -> None:
    ground = cv2.GaussianBlur(texture(0, 80), (0, 0), 4)
    images = flow_images(np.stack([ground[:64, 16:], ground[:64, 8:72]]), 2)  # 8 px to the right; at 64 px the bound is 5
    assert np.median(images, (0, 1, 2)).tolist() == pytest.approx([255, 128, 255], abs=3)
    assert images[..., 2].min() >= 128


def test_small_images_are_refused() -> None:
    with pytest.raises(InputError, match="images of 11 px: optical flow needs at least 12 px"):
        flow_images(np.zeros((2, 11, 40, 3), np.uint8), 2)


def test_what_a_network_takes() -> None:
    frames = moving_square([(2, 0)])
    assert network_input(frames, "rgb", Dense(2)) is frames
    assert network_input(frames, "rgb_residual", Dense(2)) is frames
    both = network_input(frames, "rgb_flow", Dense(2))
    assert np.array_equal(both[..., :3], frames)
    assert np.array_equal(both[..., 3:], flow_images(frames, 2))
    given = {kind: 6 if kind == "rgb_flow" else 3 for kind in get_args(InputKind)}
    for kind, channels in given.items():
        clips = torch.rand(2, 5, channels, 8, 8)
        assert Normalise(kind=kind)(clips).shape == (2, CHANNELS[kind], 5, 8, 8)


def test_normalised_flow_lies_between_minus_one_and_one() -> None:
    clips = torch.tensor([1, 128, 255]).view(1, 1, 3, 1, 1) / 255
    assert Normalise(kind="flow")(clips).flatten().tolist() == pytest.approx([-1, 0, 1], abs=1e-6)
    early = Normalise(kind="rgb_flow")(torch.cat([clips, clips], 2)).flatten()
    assert early[:3].tolist() == pytest.approx(Normalise()(clips).flatten().tolist())
    assert early[3:].tolist() == pytest.approx([-1, 0, 1], abs=1e-6)
    clips = torch.rand(1, 4, 3, 2, 2)
    stacked = Normalise(kind="rgb_residual")(clips)
    assert torch.equal(stacked, torch.cat([Normalise()(clips), Normalise(kind="residual")(clips)], 1))


def recognizer(name: NetworkName, kind: str) -> VideoRecognizer:
    torch.manual_seed(0)
    a: Architecture = parse_architecture(name, TINY[name] | {"input": kind, "input_px": 64}, name)
    network = a.build("abc").eval()
    torch.nn.init.normal_([m for m in network.modules() if isinstance(m, torch.nn.Linear)][-1].weight)
    return VideoRecognizer(network, a, ActionLabels(("jump", "run", "walk")), "cpu", (View(),))


@pytest.mark.parametrize(("name", "kind"), [*((n, "flow") for n in TINY), *((n, k) for n in EARLY for k in ("rgb_residual", "rgb_flow"))])
def test_networks_take_it(name: NetworkName, kind: str) -> None:
    """Logits, that depend on how things move."""
    stage = recognizer(name, kind)
    assert stage.architecture.input == kind
    assert parse_architecture(name, TINY[name], name).input == "rgb"
    video = moving_square([(2, 0)] * 8)
    clips = [[Frame("a", int(i), 0.0, video[i % len(video)]) for i in clip] for clip in stage.clips(len(video))]
    logits, back = stage.logits(clips), stage.logits([clip[::-1] for clip in clips])
    assert logits.shape == (1, 3)
    assert np.isfinite(logits).all()
    assert np.abs(logits - back).max() > 1e-4


def test_tanet_sees_flow_between_neighbours() -> None:
    stage = recognizer("tanet", "flow")
    assert stage.clips(40)[0].tolist() == [5, 6, 15, 16, 25, 26, 35, 36]
    seen: list[torch.Tensor] = []
    stage.network.trunk.conv1.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))  # type: ignore[union-attr]
    frames = moving_square([(2, 0)])
    images = [frames[0], frames[1]] + [frames[0]] * 6  # the first segment moves, the others stand
    stage.logits([[Frame("a", i, 0.0, image) for i, image in enumerate(images)]])
    assert seen[0].shape == (4, 3, 64, 64)
    assert seen[0][0].abs().max() > 0.1
    assert seen[0][1:].abs().max() < 1e-6


def test_every_network_with_a_choice_is_tested() -> None:
    found = set()
    for name in NETWORKS:
        settings = {"backbone": "resnet18"} if name == "tsm" else {}
        kinds = get_type_hints(type(parse_architecture(name, settings, name))).get("input")
        found |= {name} if "flow" in get_args(kinds) else set()
    assert found == set(TINY)


def test_early_fusion_is_refused_where_the_first_layer_is_fixed() -> None:
    for name in ("tanet", "video_swin"):
        with pytest.raises(InputError, match="input"):
            parse_architecture(name, {"input": "rgb_flow"}, name)


@pytest.mark.parametrize("sampling", [Dense(4), Segments(2, 2)])
def test_training_views_have_the_flow_of_what_they_show(sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever crop, mirror, order and colours a seed draws: flow is that of the frames that RGB networks get."""
    video = moving_square([(1, 1)] * 9)
    store = ClipStore([ClipRecord(Path("a.mp4"), ("run",), "train")], sampling, 10, 64, 16)
    monkeypatch.setattr(store, "_decode", lambda _: video)
    targets = Targets(np.ones((1, 1), np.float32), np.zeros((1, 0), np.float32), np.zeros(1, np.int64))
    settings = ViewConfig(reverse=0.5, randaugment=1)
    rgb, flow, both = (ClipViews(store, targets, sampling, 48, settings, kind=kind) for kind in ("rgb", "flow", "rgb_flow"))
    for seed in range(8):
        (frames, *_), (images, *_), (stacked, *_) = rgb[0, seed], flow[0, seed], both[0, seed]  # type: ignore[misc]
        assert np.array_equal(images, flow_images(frames, sampling.frames_in_row))
        assert np.array_equal(stacked, np.concatenate([frames, images], -1))
        assert (images != 128).any()
    clips, _, _ = collate([both[0, 0], both[0, 1]])
    assert clips.shape == (2, 4, 6, 48, 48)
