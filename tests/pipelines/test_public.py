"""The pipelines of public networks, from the download on: files in the real layouts with seeded weights, served from the loopback."""

from __future__ import annotations

import functools
import gzip
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import ramp, write_video
from graphs import constant_graph
from seeded import seeded_tensor

from parsing.label_lists import label_list
from parsing.networks import zoo
from parsing.networks.download import digest
from pipelines import VideoParser
from pipelines.config_files import config_path

DATA = Path(__file__).parents[1] / "data"
SWIN = "swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb"
UNIFORMER = "uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb"
CASCADE = "cascade_rcnn_r50_fpn_1x_coco"
RTMW, RTMPOSE = "rtmw-dw-x-l_simcc-cocktail14_270e-256x192", "rtmpose-m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605"
YOLOX = "yolox_tiny_8xb8-300e_humanart"
SHAPES: dict[str, Any] = {
    CASCADE: json.loads(str(np.load(DATA / "mmdet_cascade_rcnn_r50.npz")["shapes"])),
    SWIN: json.loads(gzip.decompress((DATA / "zoo_layouts.json.gz").read_bytes()))[SWIN],
    UNIFORMER: json.loads(str(np.load(DATA / "mmaction_uniformer_small.npz")["shapes"]))
    | {"cls_head.fc_cls.weight": [400, 512], "cls_head.fc_cls.bias": [400]},
}


def checkpoint(path: Path, name: str) -> None:
    """As OpenMMLab publishes it, in half precision to be small; the detector calls everything a person."""
    tensors = {key: torch.from_numpy(np.asarray(seeded_tensor(key, tuple(shape)))) for key, shape in SHAPES[name].items()}
    for key in (f"roi_head.bbox_head.{stage}.fc_cls.bias" for stage in range(3)):
        if key in tensors:
            tensors[key][0] += 40
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    torch.save({"meta": {"mmengine_version": "0.4.0"}, "state_dict": tensors}, path)


def graph(path: Path, outputs: dict[str, np.ndarray], shape: tuple[int, ...]) -> None:
    """A graph in an archive like those of mmdeploy."""
    content = constant_graph(path.with_suffix(".onnx"), outputs, shape).read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("20230605/rtmpose_onnx/end2end.onnx", content)
        archive.writestr("20230605/rtmpose_onnx/pipeline.json", "{}")
    path.write_bytes(buffer.getvalue())


def poses(path: Path, count: int) -> None:
    """SimCC vectors whose points stand all over the crop."""
    across, down = np.zeros((1, count, 384)), np.zeros((1, count, 512))
    across[0, range(count), np.linspace(60, 320, count).astype(int)] = 0.9
    down[0, range(count), np.linspace(40, 470, count).astype(int)[::-1]] = 0.9
    graph(path, {"simcc_x": across, "simcc_y": down}, (1, 3, 256, 192))


def persons(path: Path) -> None:
    boxes = np.array([[[60, 60, 200, 380, 0.9], [0, 0, 10, 10, 0.1]]])
    graph(path, {"dets": boxes, "labels": np.zeros((1, 2), int)}, (1, 3, 416, 416))


MAKE: dict[str, Any] = {
    CASCADE: functools.partial(checkpoint, name=CASCADE),
    SWIN: functools.partial(checkpoint, name=SWIN),
    UNIFORMER: functools.partial(checkpoint, name=UNIFORMER),
    RTMW: functools.partial(poses, count=133),
    RTMPOSE: functools.partial(poses, count=26),
    YOLOX: persons,
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes the files of some entries, and serves them in the place of the real ones."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def serve(*names: str) -> None:
        found = {name: zoo.find(name) for name in names}
        for name, entry in found.items():
            MAKE[name](folder / entry.file)
            found[name] = replace(entry, url=f"http://127.0.0.1:{server.server_port}/{entry.file}", sha256=digest(folder / entry.file)[:8])
        monkeypatch.setattr(zoo, "entries", lambda: found)

    yield serve
    server.shutdown()
    server.server_close()


SETTINGS = {
    "public": ["person_detector.input_px=256", "recognizers.0.views=[{clips: 1}]"],
    "public_fast": ["recognizers.0.views=[{clips: 1}]"],
}


@pytest.mark.parametrize(
    ("name", "entries", "loaded"),
    [("public", (CASCADE, RTMW, SWIN), "video_swin"), ("public_fast", (YOLOX, RTMPOSE, UNIFORMER), "uniformer")],
)
def test_from_the_download_to_the_parse(
    name: str, entries: tuple[str, ...], loaded: str, served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(*entries)
    clip = write_video(tmp_path / "c.mp4", [ramp(i % 20, (96, 128)) for i in range(40)])
    settings = ["every=20", "max_persons=2", *SETTINGS[name]]
    parse = VideoParser.from_config(name, settings, "cpu")(clip)
    assert all(0 < len(frame.persons) <= 2 for frame in parse.frames)
    assert any(frame.parts.visible.any() for frame in parse.frames)
    assert parse.vocabulary.actions == label_list("kinetics400")
    assert parse.action_windows[0].probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert loaded in [model.name for model in parse.models]
    assert sorted(path.stem for path in (tmp_path / "home" / "zoo").glob("*.sha256")) == sorted(
        zoo.find(entry).weights.name for entry in entries
    )
    monkeypatch.setenv("PARTWISE_OFFLINE", "1")
    assert [zoo.fetch(entry) for entry in entries] == [zoo.find(entry).weights for entry in entries]


@pytest.mark.parametrize("name", SETTINGS)
def test_each_opens_with_what_it_downloads(name: str) -> None:
    text = config_path(name).read_text()
    assert f"# python -m pipelines.run video.mp4 --config {name} --out parse.json" in text
    assert "Apache-2.0" in text
    for entry in MAKE:
        if f"zoo/{entry}" in text and (size := zoo.find(entry).megabytes):
            assert f"about {size} MB" in text
