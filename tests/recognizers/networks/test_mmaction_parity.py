"""Converted networks give what mmaction2's give, from the same seeded weights and clip (scripts/make_mmaction_fixtures.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded_clip, seeded_tensor
from torchvision.models import video

from parsing.errors import InputError
from parsing.networks.converters import convert_checkpoint
from parsing.types import Frame
from pipelines import convert as convert_command
from recognizers.clips.inputs import COLOURS, Normalise
from recognizers.clips.test_views import View
from recognizers.networks.conversion import TARGETS, convert, num_actions_of
from recognizers.video import VideoRecognizerConfig

DATA = Path(__file__).parents[2] / "data"
FIXTURES = sorted(path.stem.removeprefix("mmaction_") for path in DATA.glob("mmaction_*.npz"))
ACTIONS = [f"action {i}" for i in range(20)]
HERE = Path("seeded.pth")


def seeded(target: str) -> dict[str, torch.Tensor]:
    shapes = json.loads(str(np.load(DATA / f"mmaction_{target}.npz")["shapes"]))
    return {name: torch.from_numpy(np.asarray(seeded_tensor(name, tuple(shape)))) for name, shape in shapes.items()}


def as_input(network: torch.nn.Module, frames: int) -> torch.Tensor:
    """The seeded clip, whose values are normalised ones, as what the network takes: RGB in [0, 1], or beyond."""
    clip = torch.from_numpy(seeded_clip(frames, 64))[None].transpose(1, 2)
    own = getattr(network, "normalise", None) or Normalise()
    return clip * own.std + own.mean


@pytest.mark.parametrize("target", FIXTURES)
def test_outputs_equal_mmactions(target: str) -> None:
    fixture = np.load(DATA / f"mmaction_{target}.npz")
    network = convert(seeded(target), "mmaction2", target, ACTIONS, HERE)
    with torch.inference_mode():
        logits = network(as_input(network, int(fixture["frames"]))).numpy()
    expected = fixture["logits"]
    # A clip's logits lie up to thousands apart with seeded weights: differences count against their spread.
    assert np.abs(logits - expected).max() / expected.std() < 1e-4
    assert expected.std() > 1


def test_every_fixture_is_a_target() -> None:
    assert set(FIXTURES) <= TARGETS.keys()
    assert len(FIXTURES) == 9


@pytest.mark.parametrize("target", ["r2plus1d_18", "video_swin_tiny"])
def test_torchvisions_weights_give_torchvisions_outputs(target: str) -> None:
    torch.manual_seed(0)
    reference = {"r2plus1d_18": video.r2plus1d_18, "video_swin_tiny": video.swin3d_t}[target](num_classes=20).eval()
    network = convert(reference.state_dict(), "torchvision", target, ACTIONS, HERE)
    clips = torch.rand(1, 8, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(clips), reference(network.normalise(clips)), atol=1e-5)


def test_other_checkpoints_are_named() -> None:
    tensors = seeded("tsm_r50")
    assert num_actions_of(tensors, HERE) == 20
    with pytest.raises(InputError, match=r"seeded\.pth: not a checkpoint of tanet_r50: .* missing \(first"):
        convert(tensors, "mmaction2", "tanet_r50", ACTIONS, HERE)
    with pytest.raises(InputError, match=r"'classifier\.weight' has shape \(20, 2048\), expected \(3, 2048\)"):
        convert(tensors, "mmaction2", "tsm_r50", ["a", "b", "c"], HERE)
    with pytest.raises(InputError, match=r"--to tsm_r50: torchvision has no such network; .*valid: .*r2plus1d_18, .*video_swin_tiny"):
        convert_checkpoint(HERE, "torchvision", "tsm_r50", ACTIONS)
    with pytest.raises(InputError, match="no classification layer"):
        num_actions_of({}, HERE)


def test_uniformer_is_normalised_as_its_weights_expect() -> None:
    network = convert(seeded("uniformer_small"), "mmaction2", "uniformer_small", ACTIONS, HERE)
    assert torch.allclose(network.normalise.mean.flatten(), torch.tensor(COLOURS["middle"][0]))  # type: ignore[union-attr, operator]


def test_the_command_line_converts_and_the_stage_runs(tmp_path: Path) -> None:
    torch.save({"state_dict": seeded("tsm_r50"), "meta": {}}, tmp_path / "tsm.pth")
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
        (["--to", "tsm_r50", "--classes", "a"], "1 names for 20 classes of the checkpoint$"),
        (["--to", "tsm_r50", "--classes", "kinetics400"], "400 names for 20 classes of the checkpoint$"),
        (["--to", "tsm_r5"], r"mmaction2 has no such network; did you mean 'tsm_r50'"),
    ):
        with pytest.raises(InputError, match=message):
            convert_command.main(convert_command.build_parser().parse_args([*command, "--overwrite", *extra]))
