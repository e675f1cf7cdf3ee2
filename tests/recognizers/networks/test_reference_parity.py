"""Converted networks give what their references give, from the same seeded weights and clip (scripts/make_*_fixtures.py)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import video
from video_parity import ACTIONS, DATA, FIXTURES, difference, library_and_target, seeded_checkpoint

from parsing.errors import InputError
from parsing.networks.converters import convert_checkpoint
from parsing.types import Frame
from pipelines import convert as convert_command
from recognizers.clips.test_views import View
from recognizers.networks.conversion import convert, num_actions_of, targets
from recognizers.video import VideoRecognizerConfig

HERE = Path("seeded.pth")


@pytest.mark.parametrize("fixture", FIXTURES)
def test_outputs_equal_those_of_the_reference(fixture: str) -> None:
    assert difference(fixture) < 1e-4
    assert np.load(DATA / f"{fixture}.npz")["logits"].std() > 0.1


def test_every_fixture_is_a_target() -> None:
    for fixture in FIXTURES:
        library, target = library_and_target(fixture)
        assert target in targets()[library]
    assert len(FIXTURES) == 24


@pytest.mark.parametrize("target", ["r2plus1d_18", "r3d_18", "video_swin_tiny"])
def test_torchvisions_weights_give_torchvisions_outputs(target: str) -> None:
    torch.manual_seed(0)
    reference = {"r2plus1d_18": video.r2plus1d_18, "r3d_18": video.r3d_18, "video_swin_tiny": video.swin3d_t}[target](num_classes=20).eval()
    network = convert(reference.state_dict(), "torchvision", target, ACTIONS, HERE)
    clips = torch.rand(1, 8, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(clips), reference(network.normalise(clips)), atol=1e-5)


def test_torchvisions_s3d_gives_torchvisions_outputs_and_takes_shorter_clips() -> None:
    torch.manual_seed(0)
    reference = video.s3d(num_classes=20).eval()
    network = convert(reference.state_dict(), "torchvision", "s3d", ACTIONS, HERE)
    clips = torch.rand(1, 18, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(network(clips), reference(network.normalise(clips)), atol=1e-5)
        assert network(clips[:, :1, :, :40, :40]).isfinite().all()


@pytest.mark.parametrize("target", ["mvit_v1_base", "mvit_v2_small"])
def test_torchvisions_mvit_gives_torchvisions_outputs_on_clips_of_another_size(target: str) -> None:
    torch.manual_seed(0)
    reference = {"mvit_v1_base": video.mvit_v1_b, "mvit_v2_small": video.mvit_v2_s}[target](num_classes=20).eval()
    places = reference.pos_encoding
    for parameter in (places.spatial_pos, places.temporal_pos):
        torch.nn.init.constant_(parameter, 0.1) if parameter is not None else None  # so that they need no interpolation
    network = convert(reference.state_dict(), "torchvision", target, ACTIONS, HERE)
    places.temporal_size, places.spatial_size = 4, (8, 8)  # torchvision takes no other clips than it was made for
    if places.spatial_pos is not None:
        places.spatial_pos, places.temporal_pos = (torch.nn.Parameter(torch.full((n, 96), 0.1)) for n in (64, 4))
    clips = torch.rand(1, 8, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(network(clips), reference(network.normalise(clips)), atol=1e-5)


def pyslowfasts_name(name: str) -> str:
    """What PySlowFast calls a tensor of torchvision's MViT, by slowfast/models/attention.py and video_model_builder.py."""
    for ours, theirs in (
        ("pos_encoding.class_token", "cls_token"), ("pos_encoding.class_pos", "pos_embed_class"), ("conv_proj.", "patch_embed.proj."),
        ("pos_encoding.spatial_pos", "pos_embed_spatial"), ("pos_encoding.temporal_pos", "pos_embed_temporal"),
        (".attn.project.0.", ".attn.proj."), (".project.", ".proj."), (".mlp.0.", ".mlp.fc1."), (".mlp.3.", ".mlp.fc2."),
        (".pool_q.pool.", ".pool_q."), (".pool_k.pool.", ".pool_k."), (".pool_v.pool.", ".pool_v."),
        (".pool_q.norm_act.0.", ".norm_q."), (".pool_k.norm_act.0.", ".norm_k."), (".pool_v.norm_act.0.", ".norm_v."),
        ("head.1.", "head.projection."),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    return name


@pytest.mark.parametrize(("target", "apart"), [("mvit_v1_base", True), ("mvit_v2_small", False)])
def test_pyslowfasts_names_of_mvit_are_known(target: str, apart: bool) -> None:
    """With queries, keys and values in one layer, and apart, as it had them first."""
    torch.manual_seed(0)
    reference = {"mvit_v1_base": video.mvit_v1_b, "mvit_v2_small": video.mvit_v2_s}[target](num_classes=20).state_dict()
    named = {pyslowfasts_name(key): value for key, value in reference.items()}
    axes = {"cls_token": 3, "pos_embed_class": 3, "pos_embed_spatial": 3, "pos_embed_temporal": 3}
    named = {key: value.reshape(1, -1, 96) if key in axes else value for key, value in named.items()}
    for key in [key for key in named if ".qkv." in key and apart]:
        named |= {key.replace("qkv", part): value for part, value in zip("qkv", named.pop(key).chunk(3), strict=True)}
    assert num_actions_of(named, HERE) == 20
    network = convert(named, "pyslowfast", target, ACTIONS, HERE)
    assert all(torch.equal(value, reference[key.removeprefix("trunk.")]) for key, value in network.state_dict().items())


def test_other_checkpoints_are_named() -> None:
    tensors = seeded_checkpoint("mmaction_tsm_r50")
    assert num_actions_of(tensors, HERE) == 20
    with pytest.raises(InputError, match=r"seeded\.pth: not a checkpoint of tanet_r50: .* missing \(first"):
        convert(tensors, "mmaction2", "tanet_r50", ACTIONS, HERE)
    with pytest.raises(InputError, match=r"'classifier\.weight' has shape \(20, 2048\), expected \(3, 2048\)"):
        convert(tensors, "mmaction2", "tsm_r50", ["a", "b", "c"], HERE)
    with pytest.raises(
        InputError, match=r"--to tsm_r50: torchvision has no such network; .*valid: .*r2plus1d_18, .*r3d_18, .*video_swin_tiny"
    ):
        convert_checkpoint(HERE, "torchvision", "tsm_r50", ACTIONS)
    with pytest.raises(InputError, match="no classification layer"):
        num_actions_of({}, HERE)


def test_the_command_line_converts_and_the_stage_runs(tmp_path: Path) -> None:
    torch.save({"state_dict": seeded_checkpoint("mmaction_tsm_r50"), "meta": {}}, tmp_path / "tsm.pth")
    (tmp_path / "classes.txt").write_text("\n".join(ACTIONS))
    out = tmp_path / "tsm.safetensors"
    command = ["mmaction2", str(tmp_path / "tsm.pth"), "--out", str(out), "--quiet"]
    arguments = convert_command.build_parser().parse_args([*command, "--to", "tsm_r50", "--classes", str(tmp_path / "classes.txt")])
    assert convert_command.main(arguments) == 0
    stage = VideoRecognizerConfig("tsm", str(out), (View(),)).build("cpu")
    assert stage.action_names == tuple(ACTIONS)
    clip = {i: Frame("a", i, 0.0, np.full((64, 64, 3), 20 * i, np.uint8)) for i in range(8)}
    assert stage(clip, 8).probabilities.sum() == pytest.approx(1, abs=1e-4)
    for extra, message in (
        (["--to", "tsm_r50", "--classes", "a"], "--classes a: no such list or file, and one name for 20 classes of the checkpoint$"),
        (["--to", "tsm_r50", "--classes", "kinetics400"], "400 names for 20 classes of the checkpoint$"),
        (["--to", "tsm_r5"], r"mmaction2 has no such network; did you mean 'tsm_r50'"),
    ):
        with pytest.raises(InputError, match=message):
            convert_command.main(convert_command.build_parser().parse_args([*command, "--overwrite", *extra]))
