import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graphs import constant_graph, picture_graph, save_graph
from onnx import TensorProto, helper

from parsing.errors import InputError
from parsing.networks.graphs import open_graph


@pytest.fixture(params=["openvino", "onnxruntime"])
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the runtimes, as if the other were not installed."""
    pytest.importorskip(request.param)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name) if name == request.param else None)
    return str(request.param)


def test_a_graph_says_what_it_takes_and_gives(runtime: str, tmp_path: Path) -> None:
    outputs = {"boxes": np.arange(8).reshape(1, 2, 4) / 2, "labels": np.array([[3, 4]])}
    graph = open_graph(constant_graph(tmp_path / "a.onnx", outputs, ("batch", 3, 8, "width"), sizes=True))
    assert type(graph).__name__.lower().strip("_") == {"openvino": "openvinograph", "onnxruntime": "onnxruntimegraph"}[runtime]
    assert [(one.shape, one.dtype) for one in graph.inputs] == [((0, 3, 8, 0), np.float32), ((1, 2), np.int64)]
    assert graph.output_names == ("boxes", "labels", "sizes_seen")
    boxes, labels, sizes = graph(np.ones((1, 3, 8, 6), np.float32), np.array([[6, 8]]))
    np.testing.assert_array_equal(boxes, outputs["boxes"])
    assert labels.tolist() == [[3, 4]]
    assert sizes.tolist() == [[6, 8]]


def test_a_later_run_leaves_earlier_outputs_alone(runtime: str, tmp_path: Path) -> None:
    graph = open_graph(picture_graph(tmp_path / "a.onnx", (1, 3, 2, 2)))
    (first,) = graph(np.zeros((1, 3, 2, 2), np.float32))
    graph(np.ones((1, 3, 2, 2), np.float32))
    assert first.max() == 0, runtime


def test_what_is_no_graph_is_named(runtime: str, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    (tmp_path / "w.pt").write_bytes(b"")
    for name, message in (
        ("none.onnx", "graph not found"),
        ("w.pt", r"expected a file that ends in \.onnx, \.tflite"),
        ("text.onnx", "not a readable ONNX"),
    ):
        with pytest.raises(InputError, match=rf"{name}: .*{message}"):
            open_graph(tmp_path / name)
    graph = open_graph(picture_graph(tmp_path / "fine.onnx"))
    with pytest.raises(InputError, match=r"fine\.onnx: the graph does not run"):
        graph(np.zeros((1, 3, 5, 5), np.float32))
    assert runtime


@pytest.mark.parametrize("absolute", [True, False])
def test_numbers_from_files_elsewhere_are_not_read(runtime: str, absolute: bool, tmp_path: Path) -> None:
    """ONNX may keep tensors in files beside the graph; a path that leaves its folder is refused."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(16))
    (tmp_path / "model").mkdir()
    tensor = TensorProto(name="more", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", str(secret) if absolute else "../secret.bin"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("image", "out")]
    nodes = [helper.make_node("Add", ["image", "more"], ["out"])]
    with pytest.raises(InputError, match=r"a\.onnx: not a readable ONNX"):
        open_graph(save_graph(tmp_path / "model" / "a.onnx", nodes, ports[:1], ports[1:], [tensor]))
    assert runtime


def test_without_a_runtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r'pip install "partwise\[onnx\]"'):
        open_graph(picture_graph(tmp_path / "a.onnx"))


SIGNALS_AFTER_GRAPHS = """
import gc, os, signal, sys, threading
from pathlib import Path
import numpy as np
from parsing.networks.graphs import open_graph

graphs = [open_graph(Path(sys.argv[1])) for _ in range(2)]
for graph in graphs:
    graph(np.zeros((1, 3, 2, 2), np.float32))
threading.Thread(target=lambda: (graphs.pop(0), gc.collect())).run()
del graph
thread = threading.Thread(target=lambda: (graphs.clear(), gc.collect()))
thread.start()
thread.join()
seen = []
signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
for _ in range(20):
    os.kill(os.getpid(), signal.SIGCHLD)
print(len(seen))
"""


def test_signals_find_a_stack_when_graphs_are_gone(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    graph = picture_graph(tmp_path / "a.onnx", (1, 3, 2, 2))
    done = subprocess.run([sys.executable, "-c", SIGNALS_AFTER_GRAPHS, graph], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "20"), done.stderr
