import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import pytest
import timm
import torch
import yaml
from builders import TINY_DETECTOR
from safetensors.torch import save_file

from detectors.inputs import find_candidates
from detectors.networks import load_network
from parsing.errors import InputError
from parsing.networks.weights import read_header, save_weights
from parsing.vocabulary import PART_NAMES
from pipelines import calibrate, evaluate, precision, train


def write_config(path: Path, people: Path, **changes: object) -> Path:
    architecture = {key: [list(row) for row in value] if key == "anchor_sizes" else value for key, value in TINY_DETECTOR.items()}
    settings = {
        "name": "cascade_rcnn",
        "target": "persons",
        "architecture": architecture | {"levels": [1, 2], "class_names": ["person"]},
        "data": {"root": str(people), "mosaic": 0.0},
        "fit": {"epochs": 2, "batch_size": 2, "lr": 0.002, "precision": "bf16-mixed"},
        "pretrained": "none",
    }
    path.write_text(yaml.safe_dump(settings | changes))
    return path


def test_train_resume_and_evaluate(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    config, run = write_config(tmp_path / "c.yaml", people), tmp_path / "run"
    base = ["person_detector", "--config", str(config)]
    assert train.main(train.build_parser().parse_args([*base, "--out", str(run), "--quiet"])) == 0
    assert {"weights.safetensors", "metrics.jsonl", "config.json", "environment.json", "state.pt"} <= {p.name for p in run.iterdir()}
    with pytest.raises(InputError, match=r"other settings: fit\.lr 0\.002, now 0\.003"):
        train.main(train.build_parser().parse_args([*base, "--out", str(run), "--quiet", "--resume", "--set", "fit.lr=0.003"]))
    capsys.readouterr()
    report = tmp_path / "report.json"
    weights = ["--weights", str(run / "weights.safetensors"), "--out", str(report)]
    assert evaluate.main(evaluate.build_parser().parse_args([*base, *weights])) == 0
    assert "AP50" in capsys.readouterr().out
    assert json.loads(report.read_text())["made"]["num_images"] == 3


@pytest.mark.parametrize("key", ["pretrained", "initial"])
def test_a_resumed_training_asks_for_nothing_that_it_started_from(people: Path, tmp_path: Path, key: str, tiny_pipeline: Path) -> None:
    """It goes on in the same way, and its weights still name what it started from."""
    start = tmp_path / "start.safetensors"
    if key == "pretrained":
        save_file(timm.create_model("test_efficientnet", features_only=True, out_indices=(1, 2)).state_dict(), start)
    else:
        shutil.copy(tiny_pipeline.parent / "person.safetensors", start)
    config = write_config(tmp_path / "c.yaml", people, **{key: str(start)})

    def run(name: str, *arguments: str) -> bytes:
        base = ["person_detector", "--config", str(config), "--out", str(tmp_path / name), "--quiet", *arguments]
        assert train.main(train.build_parser().parse_args(base)) == 0
        return (tmp_path / name / "weights.safetensors").read_bytes()

    run("run", "--set", "fit.epochs=1")
    shutil.copytree(tmp_path / "run", tmp_path / "with")
    expected = run("with", "--resume")
    start.unlink()
    assert run("run", "--resume") == expected
    assert read_header(str(tmp_path / "run/weights.safetensors"), "cascade_rcnn").training[key] == str(start)
    with pytest.raises(InputError, match=r"start\.safetensors: weights not found|start\.safetensors not found"):
        run("new")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "faces"}, "target"),
        ({"fit": {"epochs": 1}}, r"fit\.batch_size"),
        ({"epochs": 3}, "unknown key 'epochs'"),
        ({"data": {"root": "nowhere"}}, r"nowhere/annotations_train\.json: cannot be read"),
    ],
)
def test_bad_trainings_are_named(people: Path, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    config = write_config(tmp_path / "c.yaml", people, **changes)
    arguments = train.build_parser().parse_args(["person_detector", "--config", str(config), "--out", str(tmp_path / "run"), "--quiet"])
    with pytest.raises(InputError, match=message):
        train.main(arguments)


def test_weights_say_what_bfloat16_costs(
    people: Path, tmp_path: Path, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "home"))
    weights, out = tiny_pipeline.parent / "person.safetensors", tmp_path / "short.safetensors"
    base = ["person_detector", "--config", str(write_config(tmp_path / "c.yaml", people)), "--weights", str(weights), "--out", str(out)]
    monkeypatch.setattr("parsing.networks.openvino_graphs.has_bfloat16", lambda: False)
    with pytest.raises(InputError, match="OpenVINO has no bfloat16 on this processor"):
        precision.main(precision.build_parser().parse_args(base))
    assert not out.exists()
    monkeypatch.setattr("parsing.networks.openvino_graphs.has_bfloat16", lambda: True)
    with pytest.raises(InputError, match="--after: bfloat16_after: Input should be greater than or equal to 0"):
        precision.main(precision.build_parser().parse_args([*base, "--after", "-1"]))
    assert precision.main(precision.build_parser().parse_args([*base, "--after", "2"])) == 0
    assert capsys.readouterr().out.startswith("AP  float32 ")
    before, after = read_header(str(weights)), read_header(str(out))
    assert before.bfloat16_loss is None
    assert after == replace(before, bfloat16_loss=after.bfloat16_loss, bfloat16_after=2)
    assert isinstance(after.bfloat16_loss, float)
    load_network("cascade_rcnn", str(out), ["person"], "cpu")


def test_calibrated_weights_say_so_and_are_read(people: Path, tmp_path: Path, tiny_pipeline: Path) -> None:
    config, out = write_config(tmp_path / "c.yaml", people), tmp_path / "calibrated.safetensors"
    weights = tiny_pipeline.parent / "person.safetensors"
    base = ["person_detector", "--config", str(config), "--weights", str(weights), "--out", str(out), "--quiet"]
    assert calibrate.main(calibrate.build_parser().parse_args(base)) == 0
    header = read_header(str(out), "cascade_rcnn")
    assert header.calibration.keys() == {"scale", "shift"}
    assert load_network("cascade_rcnn", str(weights), ["person"], "cpu").calibration is None
    save_weights(
        cast(torch.nn.Module, load_network("cascade_rcnn", str(weights), ["person"], "cpu")),
        out,
        replace(header, calibration={"scale": [1.0], "shift": [1.0]}),
    )
    network = load_network("cascade_rcnn", str(out), ["person"], "cpu")
    plain = load_network("cascade_rcnn", str(weights), ["person"], "cpu")
    batch = torch.rand(1, 3, 64, 64)
    for (_, scores), (_, wanted) in zip(
        find_candidates(network, batch, [(64, 64)], "float32"), find_candidates(plain, batch, [(64, 64)], "float32"), strict=True
    ):
        torch.testing.assert_close(scores.logit(), wanted.clamp(1e-4, 1 - 1e-4).logit() + 1, rtol=1e-3, atol=1e-3)
    for bad, message in (({"scale": [1.0]}, "shift"), ({"scale": [1.0, 1.0], "shift": [0.0, 0.0]}, "2 scales and 2 shifts, expected one")):
        save_weights(cast(torch.nn.Module, plain), out, replace(header, calibration=bad))
        with pytest.raises(InputError, match=message):
            load_network("cascade_rcnn", str(out), ["person"], "cpu")


def test_calibration_stays_with_weights_that_are_trained_on(people: Path, tmp_path: Path, tiny_pipeline: Path) -> None:
    weights, fitted = str(tiny_pipeline.parent / "person.safetensors"), {"scale": [1.5], "shift": [-2.0]}
    network, header = load_network("cascade_rcnn", weights, ["person"], "cpu"), read_header(weights, "cascade_rcnn")
    for name, kept in (("person", fitted), ("helmet", {})):
        initial = tmp_path / f"{name}.safetensors"
        save_weights(cast(torch.nn.Module, network), initial, replace(header, labels={"classes": [name]}, calibration=fitted))
        run = tmp_path / f"run_{name}"
        config = write_config(tmp_path / "c.yaml", people, initial=str(initial))
        order = ["person_detector", "--config", str(config), "--out", str(run), "--quiet", "--set", "fit.epochs=1"]
        assert train.main(train.build_parser().parse_args(order)) == 0
        assert read_header(str(run / "weights.safetensors")).calibration == kept


def test_weights_of_other_classes_are_not_evaluated(people: Path, tmp_path: Path, tiny_pipeline: Path) -> None:
    config = write_config(tmp_path / "c.yaml", people)
    part = tiny_pipeline.parent / "part.safetensors"
    arguments = evaluate.build_parser().parse_args(["person_detector", "--config", str(config), "--weights", str(part)])
    with pytest.raises(InputError, match="detects head, hip"):
        evaluate.main(arguments)


@pytest.mark.parametrize("name", ["cascade_rcnn", "retinanet", "gfl"])
def test_every_part_network_trains_with_examples_drawn(name: str, people: Path, tmp_path: Path) -> None:
    common = {"class_names": list(PART_NAMES), "backbone": "test_efficientnet", "levels": [1, 2], "fpn_channels": 8, "input_px": 64}
    own = {"anchor_sizes": [[16], [32], [64]], "hidden": 16} if name == "cascade_rcnn" else {"convs": 1}
    config, run = tmp_path / "c.yaml", tmp_path / "run"
    changes = {"name": name, "target": "parts", "architecture": {**common, **own}}
    write_config(config, people, **changes, data={"root": str(people), "sampling": "repeat_factor"})
    arguments = ["part_detector", "--config", str(config), "--out", str(run), "--quiet", "--set", "fit.epochs=1"]
    assert train.main(train.build_parser().parse_args(arguments)) == 0
    assert cv2.imread(str(run / "examples" / "epoch_1.png")) is not None
    assert json.loads((run / "metrics.jsonl").read_text())["all"]["num_images"] == 3


def test_heatmaps_need_a_pose(people: Path, tmp_path: Path) -> None:
    architecture = {"class_names": list(PART_NAMES), "backbone": "test_efficientnet", "levels": [1, 2], "heatmaps": 17}
    settings = {"name": "gfl", "target": "parts", "architecture": architecture}
    config = write_config(tmp_path / "c.yaml", people, **settings)
    arguments = ["part_detector", "--config", str(config), "--out", str(tmp_path / "run"), "--quiet"]
    with pytest.raises(InputError, match="wants part detectors"):
        train.main(train.build_parser().parse_args(arguments))
    pose = {"name": "oracle", "recordings": str(people / "annotations_val.json")}
    config = write_config(tmp_path / "c.yaml", people, **settings, pose=pose)
    fast = ["--set", "fit.epochs=1", "--set", "architecture.input_px=64", "--set", "architecture.fpn_channels=8"]
    assert train.main(train.build_parser().parse_args([*arguments, *fast])) == 0


@pytest.mark.parametrize(("stage", "target"), [("person_detector", "persons"), ("part_detector", "parts")])
def test_any_component_can_be_evaluated(stage: str, target: str, people: Path, tmp_path: Path) -> None:
    names = ["person"] if target == "persons" else list(PART_NAMES)
    architecture = {**TINY_DETECTOR, "class_names": names, "levels": [1, 2], "anchor_sizes": [[16], [32], [64]]}
    config = write_config(tmp_path / "c.yaml", people, target=target, architecture=architecture)
    base = [stage, "--config", str(config), "--quiet", "--overwrite", "--out", str(tmp_path / "report.json"), "--component"]
    oracle = f"{{name: oracle, recordings: {people / 'annotations_val.json'}}}"
    assert evaluate.main(evaluate.build_parser().parse_args([*base, oracle])) == 0
    assert json.loads((tmp_path / "report.json").read_text())["all"]["AP"] == 1.0
    with pytest.raises(InputError, match="component: unknown name 'orakle'"):
        evaluate.main(evaluate.build_parser().parse_args([*base, "{name: orakle}"]))
    with pytest.raises(InputError, match="--component: found list"):
        evaluate.main(evaluate.build_parser().parse_args([*base, "[1]"]))


def test_bad_records_are_left_out_when_asked(people: Path, tmp_path: Path) -> None:
    document = json.loads((people / "annotations_train.json").read_text())
    document["annotations"][0]["bbox"] = [0, 0, float("nan"), 3]
    (tmp_path / "bad.json").write_text(json.dumps(document))
    config = write_config(tmp_path / "c.yaml", people)
    base = ["person_detector", "--config", str(config), "--out", str(tmp_path / "run"), "--quiet", "--set", "fit.epochs=1"]
    base += ["--set", f"data.train={tmp_path / 'bad.json'}"]
    with pytest.raises(InputError, match=r"annotation 1: .*not finite"):
        train.main(train.build_parser().parse_args(base))
    assert train.main(train.build_parser().parse_args([*base, "--set", "data.on_error=skip"])) == 0
