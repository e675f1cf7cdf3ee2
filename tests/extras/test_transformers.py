"""The adapters to Hugging Face's transformers, on tiny random networks of the real classes. Skipped where it is not installed."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
import transformers as hf
from tiny_models import ACTIONS, SIZES, change_config, d_fine, detr, rf_detr, rt_detr, timesformer, videomae, vitpose, vivit, vjepa2

from detectors import PERSON_DETECTORS, POSE_ESTIMATORS
from parsing import Detections, Frame, InputError
from parsing.configs import resolve
from parsing.networks.checkpoints import rewrite
from recognizers import RECOGNIZERS
from recognizers.networks.conversion import RULES
from recognizers.networks.timesformer import TimeSformerArchitecture

pytestmark = pytest.mark.filterwarnings("ignore")  # the library warns of parts of its own


@pytest.fixture(autouse=True)
def nobody_connects(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses that somebody tried to reach, which nobody ever should."""
    torch.manual_seed(0)
    tried: list[Any] = []

    def refuse(*address: Any) -> None:
        tried.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", lambda _, address: refuse(address))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def stage(table: Any, folder: Path | str, **settings: Any) -> Any:
    return resolve(table, {"name": "transformers", "weights": str(folder), **settings}, "stage").build("cpu")


def noise(hw: tuple[int, int] = (120, 160), index: int = 0) -> Frame:
    return Frame("a.png", index, 0.0, np.random.default_rng(index).integers(0, 255, (*hw, 3), np.uint8))


@pytest.mark.parametrize("make", [rt_detr, d_fine, rf_detr, detr])
def test_detectors_give_persons_best_first(make: Callable[[Path], Path], tmp_path: Path, nobody_connects: list[Any]) -> None:
    folder = make(tmp_path / "model")
    (persons,) = stage(PERSON_DETECTORS, folder, score_threshold=0)([noise()])
    change_config(folder, id2label={"0": "dog", "1": "Person"})
    (others,) = stage(PERSON_DETECTORS, folder, score_threshold=0)([noise()])
    assert len(persons) + len(others) == 10  # each query is one or the other
    for found in (persons, others):
        assert (np.diff(found.scores) <= 0).all()
        assert (found.xyxy >= 0).all()
        assert (found.xyxy[:, 2:] <= (160, 120)).all()
    assert stage(PERSON_DETECTORS, folder, score_threshold=0, max_persons=1)([noise(), noise(index=1)])[0].scores.shape <= (1,)
    assert stage(PERSON_DETECTORS, folder)([]) == []
    assert nobody_connects == []


def test_boxes_are_in_pixels_of_the_frame(tmp_path: Path) -> None:
    detector = stage(PERSON_DETECTORS, detr(tmp_path / "model"), score_threshold=0.0)
    found = np.concatenate([one.xyxy for one in detector([noise(), noise()])])
    np.testing.assert_allclose(found, np.tile([40, 30, 120, 90], (20, 1)), atol=1e-3)


@pytest.mark.parametrize(("count", "experts"), [(17, 1), (133, 1), (17, 6)])
def test_poses_follow_the_person(count: int, experts: int, tmp_path: Path) -> None:
    """A frame and a box that are moved by so much move all keypoints by so much."""
    pose = stage(POSE_ESTIMATORS, vitpose(tmp_path / "model", count, experts))
    boxes, image = np.array([[50, 30, 80, 70], [60, 40, 100, 60]], np.float32), noise().image
    step = np.array([8, 16, 8, 16], np.float32)
    moved = Frame("b.png", 0, 0.0, np.roll(image, (16, 8), (0, 1)))
    here, there = (Detections(xyxy, np.ones(2), np.zeros(2)) for xyxy in (boxes, boxes + step))
    first, second, nobody = pose([noise(), moved, noise()], [here, there, Detections.empty()])
    assert first.keypoints.shape == (2, count, 3)
    assert nobody.keypoints.shape == (0, count, 3)
    assert np.ptp(first.keypoints[..., :2], axis=1).min() > 1
    off = np.abs(second.keypoints[..., :2] - first.keypoints[..., :2] - step[:2])
    assert np.median(off) < 0.05  # of random heatmaps a few have two places that are as good


def test_poses_of_other_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gives 21 keypoints, expected 17, 26, 33, 133, 136"):
        stage(POSE_ESTIMATORS, vitpose(tmp_path / "model", 21))


@pytest.mark.parametrize("make", [timesformer, videomae, vivit, vjepa2])
def test_recognizers_see_what_their_processor_gives(make: Callable[[Path], Path], tmp_path: Path, nobody_connects: list[Any]) -> None:
    folder = make(tmp_path / "model")
    recognizer = stage(RECOGNIZERS, folder, clips=2)
    assert recognizer.action_names == ("run", "walk", "jump")
    # One frame of each of four segments of 16 frames, a quarter and three quarters of the way into them.
    assert [clip.tolist() for clip in recognizer.clips(16)] == [[1, 5, 9, 13], [3, 7, 11, 15]]
    assert stage(RECOGNIZERS, folder, sampler="dense", interval=2).clips(16)[0].tolist() == [4, 6, 8, 10]
    frames = {int(i): noise((40, 50), int(i)) for i in recognizer.indices(16)}
    found = recognizer(frames, 16)
    model = hf.AutoModelForVideoClassification.from_pretrained(folder).eval()
    processor = hf.AutoVideoProcessor.from_pretrained(folder)
    with torch.no_grad():
        logits = [
            model(**processor([frames[i].image for i in clip], return_tensors="pt")).logits[0] for clip in ([1, 5, 9, 13], [3, 7, 11, 15])
        ]
    np.testing.assert_allclose(found.probabilities, torch.stack(logits).mean(0).softmax(0), atol=1e-5)
    assert found.holds.sum() == 1
    assert len(found.models[0].weights_sha256) == 64
    assert nobody_connects == []


def test_several_actions_may_hold_where_the_folder_says_so(tmp_path: Path) -> None:
    recognizer = stage(RECOGNIZERS, timesformer(tmp_path / "model", problem_type="multi_label_classification"))
    assert recognizer.multi_label
    found = recognizer({i: noise((40, 50), i) for i in range(4)}, 4)
    assert found.probabilities.sum() != pytest.approx(1, abs=0.05)


def test_classes_of_the_background_never_hold(tmp_path: Path) -> None:
    folder, frames = timesformer(tmp_path / "model"), {i: noise((40, 50), i) for i in range(4)}
    best = int(stage(RECOGNIZERS, folder)(frames, 4).holds.argmax())
    found = stage(RECOGNIZERS, folder, background=[ACTIONS[best]])(frames, 4)
    assert found.probabilities.argmax() == best
    assert not found.holds.any()
    with pytest.raises(InputError, match="background: 'swim' is no class"):
        stage(RECOGNIZERS, folder, background=["swim"])


def test_names_come_from_a_file_where_the_folder_has_none(tmp_path: Path) -> None:
    folder = timesformer(tmp_path / "model", id2label=None, num_labels=3)
    with pytest.raises(InputError, match="has no names of its own for its 3 classes; give `classes`"):
        stage(RECOGNIZERS, folder)
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    assert stage(RECOGNIZERS, folder, classes=str(tmp_path / "classes.txt")).action_names == ("a", "b", "c")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"classes\.txt: 2 names for the 3 classes"):
        stage(RECOGNIZERS, folder, classes=str(tmp_path / "classes.txt"))


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)


def code_of_its_own(folder: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(folder / 'executed')!r}, 'w')\nclass Model: pass\nclass Config: pass\n")
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForObjectDetection": "evil.Model"}
    change_config(folder, auto_map=auto_map, model_type="evil")


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (without_config, r"model: holds no config\.json; expected a model folder as transformers saves it"),
    "no weights that are safe": (pickled, r"model: holds no \*\.safetensors; weights of other kinds can execute code"),
    "no processor": (lambda folder: (folder / "preprocessor_config.json").unlink(), "not a folder for transformers' AutoModelForObject"),
    "config is no JSON": (lambda folder: (folder / "config.json").write_text("{"), r"config\.json"),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), "not a folder for transformers'"),
    "code of its own": (code_of_its_own, "not a folder for transformers'"),
    "kernels from elsewhere": (lambda folder: change_config(folder, _attn_implementation="a/b"), "_attn_implementation 'a/b' would"),
    "kernels of an inner config": (
        lambda folder: change_config(folder, backbone_config={"model_type": "resnet", "attn_implementation": "a/b"}),
        "attn_implementation 'a/b' would run code",
    ),
    "quantized": (lambda folder: change_config(folder, quantization_config={"quant_method": "fp8"}), "quantization_config"),
    "a backbone from a repository": (
        lambda folder: change_config(folder, backbone_config=None, backbone="someone/else", use_timm_backbone=False),
        "not a folder for transformers' .*[Oo]ffline",
    ),
    "another network": (lambda folder: change_config(folder, d_model=32), "not a folder for transformers'"),
    "more layers than tensors": (lambda folder: change_config(folder, decoder_layers=3), "lacks .* tensors of the network, first"),
    "cut in the middle": (cut, "not a folder for transformers'"),
    "no persons": (lambda folder: change_config(folder, id2label={"0": "cat", "1": "dog"}), "detects cat, dog; expected person"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_folders_that_do_not_fit_are_named_in_one_line(fault: str, tmp_path: Path, nobody_connects: list[Any]) -> None:
    folder = detr(tmp_path / "model")
    damage, message = FAULTS[fault]
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        stage(PERSON_DETECTORS, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "executed").exists()
    assert nobody_connects == []


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = detr(tmp_path / "model") / "model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(InputError, match="holds numbers that are not finite"):
        stage(PERSON_DETECTORS, path.parent)


def test_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder for transformers' AutoModelForObjectDetection"):
        stage(PERSON_DETECTORS, videomae(tmp_path / "model"))
    with pytest.raises(InputError, match="not a folder for transformers' AutoModelForVideoClassification"):
        stage(RECOGNIZERS, detr(tmp_path / "other"))


def test_a_model_id_is_fetched_only_where_that_is_allowed(nobody_connects: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for allow, offline in ((False, "0"), (True, "1")):
        monkeypatch.setenv("PARTWISE_OFFLINE", offline)
        with pytest.raises(InputError, match=r"someone/none: no model folder, .*allow_network: true alone"):
            stage(PERSON_DETECTORS, "someone/none", allow_network=allow)
    assert nobody_connects == []
    monkeypatch.setenv("PARTWISE_OFFLINE", "0")
    with pytest.raises(InputError, match="someone/none: no model folder, and no model id that could be had") as caught:
        stage(PERSON_DETECTORS, "someone/none", allow_network=True)
    assert nobody_connects != []
    assert "\n" not in str(caught.value)


def test_timesformer_is_taken_over_by_the_network_of_this_project() -> None:
    settings = {**SIZES, "num_hidden_layers": 2, "intermediate_size": 4 * SIZES["hidden_size"]}
    theirs = hf.TimesformerForVideoClassification(hf.TimesformerConfig(num_frames=4, image_size=32, **settings)).eval()
    for value in theirs.parameters():  # positions and times start at nothing
        torch.nn.init.normal_(value, 0, 0.2)
    ours = TimeSformerArchitecture(frames=4, input_px=32, width=24, depth=2, heads=2, colours="middle").build("abc").eval()
    renamed = {rewrite(name, RULES["transformers"]["timesformer"]): value for name, value in theirs.state_dict().items()}
    ours.load_state_dict(renamed, strict=True)
    clips = torch.rand(2, 4, 3, 32, 32)
    with torch.inference_mode():
        expected = theirs(pixel_values=(clips - 0.45) / 0.225).logits
        assert torch.allclose(ours(clips), expected, atol=1e-4 * float(expected.std()))
