"""The adapters on the real packages: `make test-openmmlab`. Skipped where a package is not installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from detectors import PART_DETECTORS, PERSON_DETECTORS, POSE_ESTIMATORS
from parsing import PART_NAMES, Detections, Frame, InputError
from parsing.configs import resolve

pytestmark = pytest.mark.filterwarnings("ignore")  # these packages warn of parts of their own
RETINANET = "retinanet/retinanet_r50_fpn_1x_coco.py"
POSE = "body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py"
NAMES = ("x", "person", *(str(i) for i in range(78)))


def frame() -> Frame:
    return Frame("a.png", 0, 0.0, np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8))


PERSONS = Detections(np.array([[10, 10, 90, 110], [40, 0, 160, 120]]), np.ones(2), np.zeros(2))


def mmdet_checkpoint(path: Path, num_classes: int = 80) -> Path:
    if _missing("onedl-mmdetection"):
        pytest.skip("mmdet is not installed")
    from parsing.networks.openmmlab import read_config, stand_in_for_imgaug

    stand_in_for_imgaug()
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    settings = read_config(RETINANET, "mmdet")
    settings.model.backbone.init_cfg = None
    settings.model.bbox_head.num_classes = num_classes
    register_all_modules()
    torch.manual_seed(0)
    model = MODELS.build(settings.model)
    bias = model.bbox_head.retina_cls.bias.data.fill_(0.0).view(-1, num_classes)  # scores of one half: there is something to find
    bias[:, 1] = 1.0  # persons above all
    classes = NAMES if num_classes == 80 else PART_NAMES
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": classes}}}, path)
    if num_classes != 80:
        settings.dump(str(path.with_suffix(".yaml")))
    return path


def _missing(distribution: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return True
    return False


def test_mmdet_persons(tmp_path: Path) -> None:
    weights = mmdet_checkpoint(tmp_path / "r.pth")
    settings = {"name": "mmdet", "config": RETINANET, "weights": str(weights), "score_threshold": 0.1, "max_persons": 5}
    stage = resolve(PERSON_DETECTORS, settings, "person_detector").build("cpu")
    (found,) = stage([frame()])
    assert 0 < len(found) <= 5
    assert (np.diff(found.scores) <= 0).all()
    assert (found.xyxy[:, 2:] <= (160, 120)).all()
    assert stage([]) == []


def test_mmdet_parts_from_a_dumped_config(tmp_path: Path) -> None:
    weights = mmdet_checkpoint(tmp_path / "p.pth", num_classes=10)
    settings = {
        "name": "mmdet",
        "config": str(weights.with_suffix(".yaml")),
        "weights": str(weights),
        "score_threshold": 0.1,
        "crop_px": 96,
    }
    stage = resolve(PART_DETECTORS, settings, "part_detector").build("cpu")
    (parts,) = stage([frame()], [PERSONS])
    assert parts.xyxy.shape == (2, 10, 4)
    assert parts.visible.any()


def test_mmdet_refuses_what_would_execute(tmp_path: Path) -> None:
    weights = mmdet_checkpoint(tmp_path / "r.pth")
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    for config, message in ((str(tmp_path / "evil.py"), "a Python config would be executed"), ("none.yaml", "no such file")):
        with pytest.raises(InputError, match=message):
            resolve(PERSON_DETECTORS, {"name": "mmdet", "config": config, "weights": str(weights)}, "p").build("cpu")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="weights of another model than the config's"):
        resolve(PERSON_DETECTORS, {"name": "mmdet", "config": RETINANET, "weights": str(tmp_path / "other.pth")}, "p").build("cpu")


def test_mmpose(tmp_path: Path) -> None:
    if _missing("mmpose"):
        pytest.skip("mmpose is not installed")
    from parsing.networks.openmmlab import read_config, stand_in_for_imgaug

    stand_in_for_imgaug()
    from mmpose.registry import MODELS
    from mmpose.utils import register_all_modules

    settings = read_config(POSE, "mmpose")
    settings.model.backbone.init_cfg = None
    register_all_modules()
    torch.save({"state_dict": MODELS.build(settings.model).state_dict(), "meta": {}}, tmp_path / "pose.pth")
    stage = resolve(POSE_ESTIMATORS, {"name": "mmpose", "config": POSE, "weights": str(tmp_path / "pose.pth")}, "pose").build("cpu")
    first, second = stage([frame(), frame()], [PERSONS, Detections.empty()])
    assert first.keypoints.shape == (2, 17, 3)
    assert second.keypoints.shape == (0, 17, 3)


@pytest.mark.parametrize(("model", "once"), [("yolo11n", False), ("yolov10n", True), ("yolo26n", True)])
def test_ultralytics_persons(model: str, once: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ultralytics = pytest.importorskip("ultralytics")
    yolo = ultralytics.YOLO(f"{model}.yaml")
    yolo.model.names = dict(enumerate(NAMES))
    yolo.save(tmp_path / "w.pt")
    settings = {"name": "ultralytics", "weights": str(tmp_path / "w.pt"), "score_threshold": 0.0, "input_px": 96, "max_persons": 4}
    stage = resolve(PERSON_DETECTORS, settings, "person_detector").build("cpu")
    (found,) = stage([frame()])
    assert len(found) <= 4
    assert (found.class_ids == 0).all()
    assert stage.model.predictor.model.end2end == once  # the head that finds each object once is the one that runs
    assert not caplog.messages
    resolve(PERSON_DETECTORS, {**settings, "nms_iou": 0.5}, "person_detector").build("cpu")
    assert [message for message in caplog.messages if "nms_iou is not used" in message] == caplog.messages
    assert bool(caplog.messages) == once


def test_ultralytics_pose_and_other_tasks(tmp_path: Path) -> None:
    ultralytics = pytest.importorskip("ultralytics")
    ultralytics.YOLO("yolo11n-pose.yaml").save(tmp_path / "pose.pt")
    ultralytics.YOLO("yolo11n.yaml").save(tmp_path / "boxes.pt")
    settings = {"name": "ultralytics", "weights": str(tmp_path / "pose.pt"), "score_threshold": 0.0, "input_px": 96}
    stage = resolve(POSE_ESTIMATORS, settings, "pose").build("cpu")
    assert stage([frame()], [PERSONS])[0].keypoints.shape == (2, 17, 3)
    with pytest.raises(InputError, match="expected 'pose'"):
        resolve(POSE_ESTIMATORS, {**settings, "weights": str(tmp_path / "boxes.pt")}, "pose").build("cpu")


def test_ultralytics_refuses_other_objects(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics")

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",))

    torch.save({"model": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"evil\.pt: not the weights of a YOLO, or they hold objects that are not loaded"):
        resolve(PERSON_DETECTORS, {"name": "ultralytics", "weights": str(tmp_path / "evil.pt")}, "p").build("cpu")
    assert not (tmp_path / "executed").exists()


def test_missing_extras_are_named(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    for package, table, settings, message in (
        ("onedl-mmdetection", PERSON_DETECTORS, {"name": "mmdet", "config": RETINANET, "weights": "w.pth"}, "extra openmmlab"),
        ("mmpose", POSE_ESTIMATORS, {"name": "mmpose", "config": POSE, "weights": "w.pth"}, "extra openmmlab"),
        ("ultralytics", PERSON_DETECTORS, {"name": "ultralytics", "weights": str(tmp_path / "w.pt")}, "extra ultralytics"),
        ("transformers", PERSON_DETECTORS, {"name": "transformers", "weights": str(tmp_path)}, "extra transformers"),
        ("transformers", POSE_ESTIMATORS, {"name": "transformers", "weights": "none"}, "extra transformers"),
    ):
        if _missing(package):
            with pytest.raises(InputError, match=message):
                resolve(table, settings, "stage").build("cpu")


def test_configs_are_yaml_that_names_no_code() -> None:
    value = yaml.safe_load("{name: mmdet, config: a.py, weights: b.pth, hook: 'os.system'}")
    with pytest.raises(InputError, match="unknown key 'hook'"):
        resolve(PERSON_DETECTORS, value, "person_detector")


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py", 8),
        ("recognition/slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py", 32),
    ],
)
def test_mmaction_recognizers_run_as_they_would_alone(name: str, frames: int, tmp_path: Path) -> None:
    if _missing("mmaction2"):
        pytest.skip("mmaction2 is not installed")
    from parsing.networks.openmmlab import read_config
    from recognizers import RECOGNIZERS
    from recognizers.adapters.mmaction2 import stand_in_for_what_the_wheel_lacks

    stand_in_for_what_the_wheel_lacks()
    from mmaction.registry import MODELS
    from mmaction.utils import register_all_modules

    register_all_modules()
    settings = read_config(name, "mmaction")
    settings.model.backbone.pretrained = None
    torch.manual_seed(0)
    model = MODELS.build(settings.model).eval()
    torch.nn.init.normal_(model.cls_head.fc_cls.weight, std=0.1)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "w.pth")
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(f"action {i}" for i in range(400)))
    component = {"name": "mmaction2", "config": name, "weights": str(tmp_path / "w.pth"), "classes": str(classes), "clips": 2}
    stage = resolve(RECOGNIZERS, component, "here").build("cpu")
    clips = stage.clips(100)
    assert [len(clip) for clip in clips] == [frames] * (1 if frames == 8 else 2)
    random = np.random.default_rng(0)
    pictures = {int(i): Frame("a", int(i), 0.0, random.integers(0, 255, (64, 80, 3), np.uint8)) for i in stage.indices(100)}
    scores = stage(pictures, 100).probabilities
    assert scores.shape == (400,)
    assert scores.sum() == pytest.approx(1, abs=1e-4)
    assert scores == pytest.approx(stage(pictures, 100).probabilities, abs=1e-6)
    classes.write_text("one\ntwo")
    with pytest.raises(InputError, match="400 classes, but 2 names"):
        resolve(RECOGNIZERS, component, "here").build("cpu")
