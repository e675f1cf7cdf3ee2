"""Actions by text: CLIP and what is trained from it, on a tiny random CLIP of the real class. Skipped without transformers."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_clips

from parsing import Frame, InputError
from parsing.configs import parse_config, resolve
from parsing.learning.experiment import experiment
from parsing.networks.weights import read_header
from recognizers import RECOGNIZERS
from recognizers.networks.actionclip import ActionCLIPArchitecture, ClipFolder
from recognizers.train import RecognizerTraining

hf = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # the library warns of parts of its own
TINY = {"width": 24, "depth": 2, "heads": 2, "joint_dim": 16, "input_px": 32, "frames": 4}
LABELS = ["juggling", "riding a bike", "walk"]


@pytest.fixture(autouse=True)
def nobody_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)

    def refuse(*_: Any) -> None:
        raise AssertionError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def letters() -> list[str]:
    """The signs that a tokenizer of bytes has for them: itself where it can be printed, else one from 256 on."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return [chr(byte) for byte in printed] + [chr(256 + i) for i in range(len(others))]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A model folder of CLIP whose tokenizer knows single letters."""
    folder = tmp_path / "clip"
    sizes = {"num_attention_heads": 2, "intermediate_size": 96, "hidden_size": 24}
    text = {
        **sizes,
        "num_hidden_layers": 1,
        "vocab_size": 514,
        "max_position_embeddings": 32,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    vision = {**sizes, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16}
    hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16, initializer_factor=8.0)).save_pretrained(folder)
    signs = ["<|startoftext|>", "<|endoftext|>", *letters(), *(f"{letter}</w>" for letter in letters())]
    hf.CLIPTokenizer(vocab={sign: i for i, sign in enumerate(signs)}, merges=[]).save_pretrained(folder)
    return folder


def stage(**settings: Any) -> Any:
    return resolve(RECOGNIZERS, {"name": "zero_shot", **settings}, "recognizers[0]").build("cpu")


def noise(index: int) -> Frame:
    return Frame("a", index, 0.0, np.random.default_rng(index).integers(0, 255, (32, 32, 3), np.uint8))


def test_scores_of_a_still_clip_are_clips_own(clip: Path) -> None:
    frames = {i: Frame("a", i, 0.0, noise(0).image) for i in range(6)}
    found = stage(clip=str(clip), labels=LABELS, prompts=["{}"])(frames, 6)
    model, tokenizer = hf.CLIPModel.from_pretrained(clip).eval(), hf.AutoTokenizer.from_pretrained(clip)
    colours = hf.CLIPImageProcessor(do_resize=False, do_center_crop=False)
    with torch.inference_mode():
        pixels = colours(noise(0).image, return_tensors="pt")["pixel_values"]
        logits = model(pixel_values=pixels, **tokenizer(LABELS, padding=True, return_tensors="pt")).logits_per_image[0]
    assert found.probabilities == pytest.approx(logits.softmax(0).numpy(), abs=1e-4)
    assert np.ptp(found.probabilities) > 0.01


def test_any_labels_in_any_order(clip: Path) -> None:
    frames = {i: noise(i) for i in range(8)}
    first = stage(clip=str(clip), labels=LABELS)
    assert first.action_names == tuple(LABELS)
    assert first.indices(8).tolist() == list(range(8))
    assert stage(clip=str(clip), labels=LABELS, frames=2).indices(8).tolist() == [2, 6]
    turned = stage(clip=str(clip), labels=LABELS[::-1])(frames, 8).probabilities
    assert turned == pytest.approx(first(frames, 8).probabilities[::-1], abs=1e-5)
    rows = ClipFolder(clip).rows(["riding_a_bike", "riding a bike", "walk"])
    assert torch.equal(rows[0], rows[1])
    assert not torch.allclose(rows[0], rows[2], atol=1e-2)


def test_the_temporal_transformer_starts_as_the_mean_and_then_sees_the_order(clip: Path) -> None:
    x = torch.rand(2, 4, 3, 32, 32)
    mean, transformer = (
        parse_config(ActionCLIPArchitecture, {**TINY, "temporal_depth": depth}, "t").build(LABELS, str(clip)).eval() for depth in (0, 2)
    )
    with torch.inference_mode():
        assert torch.allclose(transformer(x), mean(x), atol=1e-4)
        assert torch.allclose(mean(x.flip(1)), mean(x), atol=1e-4)
        torch.nn.init.normal_(transformer.time_embed)  # type: ignore[arg-type]
        torch.nn.init.normal_(transformer.temporal[0].linear2.weight)  # type: ignore[union-attr, arg-type]
        assert not torch.allclose(transformer(x.flip(1)), transformer(x), atol=1e-2)
        assert transformer(torch.rand(1, 6, 3, 48, 48)).shape == (1, 3)


def test_fine_tuning_and_then_other_labels(clip: Path, tmp_path: Path) -> None:
    settings = {
        "name": "actionclip",
        "architecture": {**TINY, "temporal_depth": 1},
        "pretrained": str(clip),
        "checkpoint": True,
        "data": {"root": str(write_clips(tmp_path / "clips")), "short_side_px": 32, "actions": ["dark", "bright"]},
        "fit": {"epochs": 6, "batch_size": 3, "lr": 0.001, "ema_decay": 0.0},
    }
    training = parse_config(RecognizerTraining, settings, "t")
    experiment(training, tmp_path / "run", quiet=True)
    weights = str(tmp_path / "run/weights.safetensors")
    assert read_header(weights, "actionclip").architecture["temporal_depth"] == 1
    assert training.evaluate(training.component(weights).build("cpu"), device="cpu")["all"]["top1"] == 1
    frames = {i: noise(i) for i in range(4)}
    found = stage(clip=str(clip), labels=LABELS, weights=weights)
    assert found(frames, 4).probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert found.models[0].weights_sha256 != stage(clip=str(clip), labels=LABELS).models[0].weights_sha256
    assert found(frames, 4).probabilities != pytest.approx(stage(clip=str(clip), labels=LABELS)(frames, 4).probabilities, abs=1e-3)


FAULTS = {
    "no labels": ({"labels": []}, "labels: .*at least 1"),
    "a label twice": ({"labels": ["walk", "walk"]}, "labels holds a name twice"),
    "a prompt without its place": ({"prompts": ["a video"]}, r"prompts.*pattern"),
    "no folder": ({"clip": "nowhere/clip"}, "nowhere/clip: no model folder, and no model id that could be had"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_settings_that_do_not_fit(fault: str, clip: Path) -> None:
    change, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        stage(**{"clip": str(clip), "labels": LABELS, **change})


def test_folders_that_do_not_fit(clip: Path) -> None:
    with pytest.raises(InputError, match=r"not a checkpoint of the architecture's CLIP: .*image\.vision_model"):
        parse_config(ActionCLIPArchitecture, {**TINY, "width": 32}, "t").build(LABELS, str(clip))
    config = json.loads((clip / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "relu"
    (clip / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json: activation"):
        stage(clip=str(clip), labels=LABELS)
    (clip / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="holds no tokenizer"):
        stage(clip=str(clip), labels=LABELS)
