import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from seeded import seeded_image
from torchvision.models.vgg import cfgs, make_layers

from parsing.configs import override, parse_config, read_yaml
from parsing.errors import InputError
from parsing.learning.experiment import experiment
from parsing.media.encoding import VideoWriter
from pipelines import evaluate as evaluate_command
from pipelines import train as train_command
from recognizers.superres.data import SuperResolutionDataConfig, TrainingPairs, collate, validation_pairs
from recognizers.superres.degradation import downscale
from recognizers.superres.networks import load_network, parse_architecture
from recognizers.superres.perceptual import PerceptualLoss
from recognizers.superres.task import SuperResolutionTask, charbonnier, flow_loss
from recognizers.superres.train import SuperResolutionTraining

ROOT = Path(__file__).parents[3]
SMALL = {"scale": 2, "channels": 6, "blocks": 1, "hr_channels": 4, "flow_levels": 2, "flow_channels": [4, 4]}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips to train on, one too small, one barred from it, and two to validate on."""
    root = tmp_path_factory.mktemp("clips")
    rows = ["file,label,split,for_shipped_weights"]
    for number, (split, allowed) in enumerate([("train", "yes")] * 3 + [("train", "no"), ("val", "yes"), ("val", "no"), ("train", "yes")]):
        side = 20 if number == 6 else 48
        picture = seeded_image(side + 6, side + 10, number)
        with VideoWriter(root / f"{number}.mp4", (side, side), 25) as writer:
            for t in range(5):
                writer.add(np.ascontiguousarray(picture[t : t + side, t : t + side]), t / 25)
        rows.append(f"{number}.mp4,walk,{split},{allowed}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def settings_of(root: Path, **changes: Any) -> dict[str, Any]:
    data = {"root": str(root), "short_side_px": 48, "frames": 3, "crop_px": 16, "repeat": 2, "val_frames": 2}
    fit = {"epochs": 2, "batch_size": 2, "lr": 0.001, "weight_decay": 0.0, "ema_decay": 0.0}
    return {"name": "basicvsr", "architecture": SMALL, "data": data, "fit": fit, "flow_weight": 0.1} | changes


def train(settings: dict[str, Any], out: Path, resume: bool = False) -> None:
    experiment(parse_config(SuperResolutionTraining, settings, "test"), out, resume=resume, quiet=True)


def test_training_lowers_the_loss_and_leaves_weights(clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(settings_of(clips), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[1]["losses"]["pixels"] < rows[0]["losses"]["pixels"]
    assert set(rows[0]["losses"]) == {"pixels", "flow"}
    assert rows[0]["clips"] == 2
    assert set(rows[0]["real"]) == {"psnr", "ssim", "bicubic_psnr", "bicubic_ssim"}
    assert rows[0]["clean"]["bicubic_psnr"] == rows[1]["clean"]["bicubic_psnr"] > rows[1]["real"]["bicubic_psnr"]
    assert "20 x 20 px, at least 32 are needed; left out" in caplog.text
    assert "1 of 4 clips left out" in caplog.text  # the barred one was never asked for
    weights = str(tmp_path / "weights.safetensors")
    network, architecture = load_network("basicvsr", weights, "cpu")
    assert architecture.scale == 2
    assert not network.training
    config = parse_config(SuperResolutionTraining, settings_of(clips), "test")
    again = config.evaluate(config.component(weights).build("cpu"), device="cpu")
    assert again["clean"]["psnr"] == pytest.approx(rows[1]["clean"]["psnr"], abs=0.02)  # weights are kept in half precision


def test_a_resumed_training_equals_one_never_stopped(clips: Path, tmp_path: Path) -> None:
    settings = settings_of(clips)
    train(settings, tmp_path / "whole")
    config = parse_config(SuperResolutionTraining, settings, "test")
    from parsing.learning import experiment as module

    def stop_after_first(*arguments: Any, **options: Any) -> Any:
        stream = fit(*arguments, **options)
        yield next(stream)
        next(stream, None)  # the state is written when the loop goes on

    fit = module.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", stop_after_first)
        experiment(config, tmp_path / "parts", quiet=True)
    train(settings, tmp_path / "parts", resume=True)
    parse_config(SuperResolutionTraining, settings | {"initial": "gone.safetensors"}, "test").prepare("cpu", resumed=True)
    found = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("whole", "parts")]
    assert found[0] == found[1]


def test_realbasicvsr_learns_to_clean(clips: Path, tmp_path: Path) -> None:
    settings = settings_of(clips, name="realbasicvsr", architecture=SMALL | {"cleaning_blocks": 1}, freeze_flow=True)
    settings["fit"]["epochs"] = 1
    settings["flow_weight"] = 0.0
    train(settings, tmp_path)
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert set(row["losses"]) == {"cleaning", "pixels"}
    flow = load_network("realbasicvsr", str(tmp_path / "weights.safetensors"), "cpu")[0].basicvsr.flow
    assert not any(level[-1].weight.any() for level in flow.levels)  # as it began


def test_training_starts_from_weights_that_fit(clips: Path, tmp_path: Path) -> None:
    settings = settings_of(clips)
    settings["fit"]["epochs"] = 1
    train(settings, tmp_path / "first")
    initial = str(tmp_path / "first/weights.safetensors")
    train(settings | {"initial": initial, "flow_weight": 0.0}, tmp_path / "second")
    wider = settings | {"initial": initial, "architecture": SMALL | {"channels": 8}}
    train(wider, tmp_path / "wider")  # the flow network fits
    with pytest.raises(InputError, match=r"w\.safetensors: weights not found"):
        train(settings | {"initial": "w.safetensors"}, tmp_path / "third")


def test_settings_that_do_not_fit_are_named(clips: Path, tmp_path: Path) -> None:
    settings = settings_of(clips)
    with pytest.raises(InputError, match=r"labels\.csv: no train clip of at least 128 px"):
        train(override(settings, ["data.crop_px=64"]), tmp_path)
    still = settings_of(clips, architecture=SMALL | {"flow": "none"})
    with pytest.raises(InputError, match=r"flow_weight: 0\.1, but the network has no flow; expected 0"):
        train(still, tmp_path)
    with pytest.raises(InputError, match=r"vgg\.pth: checkpoint not found"):
        train(settings | {"vgg": "vgg.pth"}, tmp_path)


def test_pairs_show_the_same_place() -> None:
    random = np.random.default_rng(0)
    clip = np.stack([seeded_image(50, 60, seed) for seed in range(4)])
    settings = SuperResolutionDataConfig(root="", frames=7, crop_px=16, real=0.0)
    pairs = TrainingPairs([clip], 2, settings)
    for seed in random.integers(0, 2**31, 20).tolist():
        small, large = pairs[0, seed]
        assert small.shape == (7, 16, 16, 3)
        assert large.shape == (7, 32, 32, 3)
        assert np.array_equal(small, downscale(large, (16, 16)))
    bad = TrainingPairs([clip], 2, SuperResolutionDataConfig(root="", frames=7, crop_px=16, real=1.0))
    first, again = bad[0, 5], bad[0, 5]
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], downscale(first[1], (16, 16)))
    batch = collate([first, again])
    assert [tuple(clips.shape) for clips in batch] == [(2, 7, 3, 16, 16), (2, 7, 3, 32, 32)]


def test_a_short_clip_goes_on_backwards() -> None:
    clip = np.stack([np.full((40, 40, 3), 60 * t, np.uint8) for t in range(3)])
    pairs = TrainingPairs([clip], 2, SuperResolutionDataConfig(root="", frames=6, crop_px=16, real=0.0))
    light = pairs[0, 1][1][:, 0, 0, 0] // 60
    assert (np.abs(np.diff(light.astype(int))) == 1).all()
    one = TrainingPairs([clip[:1]], 2, SuperResolutionDataConfig(root="", frames=6, crop_px=16, real=0.0))
    assert one[0, 1][1].shape == (6, 32, 32, 3)


def test_validation_is_always_the_same() -> None:
    clips = [np.stack([seeded_image(33, 41, seed)] * 2) for seed in range(2)]
    settings = SuperResolutionDataConfig(root="")
    first, again = validation_pairs(clips, 2, settings), validation_pairs(clips, 2, settings)
    assert [pair["truth"].shape for pair in first] == [(2, 32, 40, 3)] * 2
    assert all(np.array_equal(a[kind], b[kind]) for a, b in zip(first, again, strict=True) for kind in a)


@pytest.mark.parametrize("name", ["basicvsr", "realbasicvsr"])
def test_a_task_holds_each_weight_once(name: str) -> None:
    architecture = SMALL | ({"cleaning_blocks": 1} if name == "realbasicvsr" else {})
    network = parse_architecture(name, architecture, "test").build()
    assert len(SuperResolutionTask(network).state_dict()) == len(network.state_dict())


def test_losses_by_hand() -> None:
    assert float(charbonnier(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]))) == pytest.approx((1 + 1e-3) / 2, rel=1e-5)
    ramp = torch.arange(8.0).view(1, 1, 1, 1, 8).expand(1, 2, 3, 4, 8).clone() / 8
    ramp[:, 1] += 1 / 8  # the second frame is the first, moved by one pixel to the left
    left, right = (torch.tensor([x, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 8) for x in (-1.0, 1.0))
    still = torch.zeros(1, 2, 4, 8)
    assert float(flow_loss(([left], [right]), ramp)) == pytest.approx(2 * (7 / 8 * 1e-3 + 1 / 8 * 0.125), rel=1e-2)
    assert float(flow_loss(([still], [still]), ramp)) == pytest.approx(2 * 0.125, rel=1e-2)


def test_the_perceptual_loss_takes_torchvisions_file(tmp_path: Path) -> None:
    features = make_layers(cfgs["E"], batch_norm=False).state_dict()
    named = {f"features.{name}": value for name, value in features.items()}
    torch.save(named | {"classifier.0.bias": torch.zeros(4096)}, tmp_path / "vgg.pth")  # whose values are not looked at
    loss = PerceptualLoss(tmp_path / "vgg.pth")
    truth = torch.rand(1, 3, 32, 32)
    assert float(loss(truth, truth)) == 0
    found = (truth * 0.5).requires_grad_()
    loss(found, truth).backward()
    assert found.grad is not None
    assert found.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in loss.parameters())
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: not a checkpoint of vgg19: 32 missing"):
        PerceptualLoss(tmp_path / "other.pth")


def test_the_commands_train_and_evaluate(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(ROOT / "configs/super_resolution/compact.yaml")
    small = ["data.short_side_px=48", "data.frames=2", "data.crop_px=16", "data.repeat=1", "data.val_frames=1", "fit.epochs=1"]
    small += ["fit.batch_size=3", "architecture.channels=4", "architecture.blocks=1", f"data.root={clips}"]
    sets = [word for one in small for word in ("--set", one)]
    arguments = ["super_resolution", "--config", config, *sets, "--device", "cpu", "--quiet"]
    assert train_command.main(train_command.build_parser().parse_args([*arguments, "--out", str(tmp_path)])) == 0
    found = [*arguments, "--weights", str(tmp_path / "weights.safetensors"), "--out", str(tmp_path / "report.json")]
    assert evaluate_command.main(evaluate_command.build_parser().parse_args(found)) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clips"] == 2
    assert report["clean"]["bicubic_psnr"] > 20
    assert capsys.readouterr().out == ""


def test_shipped_networks_fit_their_budget() -> None:
    settings = parse_config(SuperResolutionTraining, read_yaml(ROOT / "configs/super_resolution/compact.yaml"), "compact")
    network = settings.architecture.build()
    assert 2 * sum(p.numel() for p in network.parameters()) < 2e6  # bytes in half precision, flow network included
    for name, published in (("basicvsr", 6.29e6), ("realbasicvsr", 6.31e6)):
        settings = parse_config(SuperResolutionTraining, read_yaml(ROOT / f"configs/super_resolution/{name}.yaml"), name)
        with torch.device("meta"):
            network = settings.architecture.build()
        assert sum(p.numel() for p in network.parameters()) == pytest.approx(published, rel=0.01)
