"""Converted networks give what basicsr's and mmagic's give, from the same seeded weights and clip (scripts/make_superres_fixtures.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded_clip, seeded_tensor

from parsing.errors import InputError
from parsing.networks.converters import convert_checkpoint
from parsing.networks.weights import read_header
from pipelines import convert as convert_command
from recognizers.superres.basicvsr import BasicVSR
from recognizers.superres.conversion import convert
from recognizers.superres.networks import load_network
from recognizers.superres.realbasicvsr import RealBasicVSR

DATA = Path(__file__).parents[2] / "data"
FIXTURES = ["basicsr_basicvsr", "mmagic_basicvsr", "mmagic_realbasicvsr"]
HERE = Path("seeded.pth")
VALUES = 4096


def seeded(fixture: str) -> dict[str, torch.Tensor]:
    found = json.loads(str(np.load(DATA / f"superres_{fixture}.npz")["shapes"]))
    return {name: torch.from_numpy(np.asarray(seeded_tensor(name, tuple(shape)))) for name, shape in found.items()}


def seeded_input() -> torch.Tensor:
    """The clip of the fixtures: (1, 4, 3, 44, 36)."""
    return (torch.from_numpy(seeded_clip(4, 44)).transpose(0, 1)[None, ..., :36] + 2) * 64 / 255


def converted(fixture: str) -> torch.nn.Module:
    origin, _, network = fixture.partition("_")
    fields = {"blocks": 2} | ({"cleaning_blocks": 2} if network == "realbasicvsr" else {})
    return convert(seeded(fixture), origin, f"{network}_x4", HERE, fields)


def off(found: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference in units of the expected values' deviation."""
    flat = found.flatten().numpy()
    kept = flat[np.linspace(0, len(flat) - 1, min(len(flat), VALUES)).round().astype(int)]
    return float(np.abs(kept - expected).max() / expected.std())


@pytest.mark.parametrize("fixture", FIXTURES)
def test_outputs_equal_the_librarys(fixture: str) -> None:
    network, clip, expected = converted(fixture), seeded_input(), np.load(DATA / f"superres_{fixture}.npz")
    propagation = network.basicvsr if isinstance(network, RealBasicVSR) else network
    assert isinstance(propagation, BasicVSR)
    assert propagation.flow is not None
    with torch.inference_mode():
        assert off(propagation.flow(clip[0, 1:], clip[0, :-1]), expected["flow"]) < 1e-4
        # Random weights magnify the rounding of another processor, in the cleaning rounds of RealBasicVSR most.
        assert off(network(clip), expected["output"]) < (5e-2 if isinstance(network, RealBasicVSR) else 1e-3)
    assert expected["flow"].std() > 1


@pytest.mark.parametrize("fixture", FIXTURES)
def test_published_checkpoints_become_weights(fixture: str, tmp_path: Path) -> None:
    origin, _, network = fixture.partition("_")
    shapes = json.loads(str(np.load(DATA / f"superres_{fixture}.npz")["published"]))
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    spynet = "basicvsr.spynet" if network == "realbasicvsr" else "spynet"
    whole = tensors | {f"{spynet}.mean": torch.zeros(1, 3, 1, 1), f"{spynet}.std": torch.ones(1, 3, 1, 1)}
    inside = {f"generator.{k}": v for k, v in whole.items()} | {"discriminator.x": torch.ones(1), "step_counter": torch.zeros(1)}
    torch.save({"params": whole} if origin == "basicsr" else {"state_dict": inside, "meta": {}}, tmp_path / "c.pth")
    arguments = [origin, str(tmp_path / "c.pth"), "--to", f"{network}_x4", "--out", str(tmp_path / "w.safetensors"), "--dtype", "float16"]
    assert convert_command.main(convert_command.build_parser().parse_args([*arguments, "--quiet"])) == 0
    built, architecture = load_network(network, str(tmp_path / "w.safetensors"), "cpu")
    assert architecture.scale == 4
    assert sum(p.numel() for p in built.parameters()) == sum(t.numel() for t in tensors.values())
    assert read_header(str(tmp_path / "w.safetensors"), network).training["converted_from"] == "c.pth"


def test_the_moving_average_is_taken() -> None:
    tensors = seeded("mmagic_basicvsr")
    both = {f"generator.{k}": v + 1 for k, v in tensors.items()} | {f"generator_ema.{k}": v for k, v in tensors.items()}
    network = convert(both, "mmagic", "basicvsr_x4", HERE, {"blocks": 2})
    assert torch.equal(network.state_dict()["last.bias"], tensors["conv_last.bias"])


def test_other_checkpoints_are_named(tmp_path: Path) -> None:
    tensors = seeded("basicsr_basicvsr")
    with pytest.raises(InputError, match=r"seeded\.pth: not a checkpoint of basicvsr_x4: .* missing \(first"):
        convert(tensors, "basicsr", "basicvsr_x4", HERE)
    with pytest.raises(InputError, match=r"basicsr has no such network; .*valid: basicvsr_x4$"):
        convert_checkpoint(HERE, "basicsr", "realbasicvsr_x4", [])
    with pytest.raises(InputError, match=r"'backward_branch\.first\.weight' has shape \(64, 67, 3, 3\), expected \(32,"):
        convert(tensors, "basicsr", "basicvsr_x4", HERE, {"blocks": 2, "channels": 32})
    torch.save({"params": tensors}, tmp_path / "c.pth")
    command = ["basicsr", str(tmp_path / "c.pth"), "--out", str(tmp_path / "w.safetensors"), "--to"]
    with pytest.raises(InputError, match=r"--to basicvsr_x3: basicsr has no such network; did you mean 'basicvsr_x4'"):
        convert_command.main(convert_command.build_parser().parse_args([*command, "basicvsr_x3"]))
    with pytest.raises(InputError, match="--classes: 1 names, but networks of super-resolution have no classes"):
        convert_command.main(convert_command.build_parser().parse_args([*command, "basicvsr_x4", "--classes", "a"]))
    assert not (tmp_path / "w.safetensors").exists()
