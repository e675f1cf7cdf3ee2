"""Graphs in the place of methods: the same numbers, kept once, refused where they differ."""

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Event, current_thread

import pytest
import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks import graph_cache, openvino_graphs, pieces, placing, runtimes
from parsing.networks.graph_methods import loaded_when_called
from parsing.networks.pieces import Piece, run_on
from parsing.networks.weights import WeightsHeader, save_weights


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.calls = 0

    def maps(self, images: Tensor) -> tuple[Tensor, ...]:
        self.calls += 1
        found = self.conv(images)
        return found, found.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.conv(images).relu()

    def baked(self, images: Tensor) -> Tensor:
        """A length that tracing makes a constant."""
        return self.conv(images) * float(images.shape[2])


def examples() -> tuple[tuple[Tensor], tuple[Tensor]]:
    return (torch.rand(1, 3, 8, 12),), (torch.rand(2, 3, 6, 10),)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARTWISE_RUNTIME", raising=False)
    return tmp_path / "home" / "graphs"


@pytest.fixture(params=["openvino", "onnxruntime"])
def runtime(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def test_a_graph_gives_what_the_method_gives(runtime: str) -> None:
    network, plain = net(), net()
    assert run_on(network, [Piece("maps", examples()), Piece("forward", examples())], runtime, "cpu") == runtime
    images = torch.rand(3, 3, 20, 14)
    before = network.calls
    with torch.inference_mode():
        maps, means = network.maps(images)
        torch.testing.assert_close(maps, plain.maps(images)[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(means, plain.maps(images)[1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(network(images), plain(images), atol=1e-5, rtol=1e-5)
        assert network.calls == before, "PyTorch ran"
        assert network.maps(images[:0])[0].shape == (0, 4, 20, 14)


def test_maps_come_in_any_order_of_memory(runtime: str) -> None:
    network, plain = net(), net()
    run_on(network, [Piece("maps", examples())], runtime, "cpu")
    images = torch.rand(2, 3, 10, 7)
    with torch.inference_mode():
        for given in (images, images.contiguous(memory_format=torch.channels_last), images.flip(3), images[:, :, ::2]):
            for one, other in zip(network.maps(given), plain.maps(given), strict=True):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_tensors_of_another_type_go_to_the_method(runtime: str) -> None:
    network = net()
    network.conv.double()
    network.maps = lambda images: (images.double() * 2,)  # type: ignore[method-assign, assignment]
    run_on(network, [Piece("maps", pieces.pixels((1, 3, 8, 12), (2, 3, 6, 10)))], runtime, "cpu")
    (whole,), (half,) = network.maps(torch.full((1, 3, 4, 4), 3, dtype=torch.uint8)), network.maps(torch.full((1, 3, 4, 4), 0.5))
    assert (whole.unique().tolist(), half.unique().tolist()) == ([6.0], [1.0])


@pytest.mark.skipif(shutil.which("g++") is None, reason="it makes the code for CPUs")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own modules
def test_compiled_code_gives_what_the_method_gives() -> None:
    network, plain = net(), net()
    network.forward = lambda images: network.conv(images).relu()  # type: ignore[method-assign]
    assert run_on(network, [Piece("forward", examples())], "compile", "cpu") == "compile"
    with torch.inference_mode():
        for images in (torch.rand(3, 3, 20, 14), torch.rand(1, 3, 9, 9).contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(network(images), plain(images), atol=1e-5, rtol=1e-5)


def test_a_method_of_a_module_inside(runtime: str) -> None:
    network = nn.ModuleDict({"inner": net()})
    run_on(network, [Piece("inner.forward", examples())], runtime, "cpu")
    assert network["inner"](torch.rand(1, 3, 4, 4)).shape == (1, 4, 4, 4)


def test_items_go_through_a_graph_one_by_one(runtime: str) -> None:
    network, plain = net(), net()
    piece = Piece("maps", (examples()[0], (torch.rand(2, 3, 8, 12),)), one_by_one=True)
    assert piece.shapes == [(-1, 3, 8, 12)]
    assert piece.graph_shapes == [(1, 3, 8, 12)]
    assert run_on(network, [piece], runtime, "cpu") == runtime
    images = torch.rand(3, 3, 8, 12)
    with torch.inference_mode():
        for one, other in zip(network.maps(images), plain.maps(images), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        assert network.maps(images[:0])[0].shape == (0, 4, 8, 12)


class Deep(nn.Module):
    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.skips = skips

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for conv in self.convs:
            x = conv(x).relu()
        return x + images if self.skips else x


@pytest.mark.parametrize(("skips", "after", "num_graphs"), [(False, 2, 2), (False, 4, 1), (True, 2, 1), (False, 0, 1)])
def test_the_beginning_may_stay_in_float32(skips: bool, after: int, num_graphs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(openvino_graphs, "has_bfloat16", lambda: True)
    torch.manual_seed(0)
    network, asked = Deep(skips).eval(), []
    settings_of = openvino_graphs.OpenVinoGraphs._settings_of
    monkeypatch.setattr(
        openvino_graphs.OpenVinoGraphs, "_settings_of", lambda self, count: asked.append(settings_of(self, count)) or asked[-1]
    )
    plain = network.forward
    assert run_on(network, [Piece("forward", examples())], "openvino", "cpu", "bfloat16", short_after=after) == "openvino"
    assert [settings["INFERENCE_PRECISION_HINT"] for settings in asked[-1]] == ["f32", "bf16"][-num_graphs:]
    images = torch.rand(2, 3, 16, 8)
    with torch.no_grad():
        torch.testing.assert_close(network.forward(images), plain(images), atol=0.05, rtol=0.05)


def images_of(height: int, width: int) -> Piece:
    """A piece that takes images of any size, with a graph for one of its own."""
    return Piece("maps", ((torch.rand(1, 3, 8, 12),), (torch.rand(2, 3, 6, 10),))).with_sizes([(height, width)])


def test_common_sizes_have_graphs_of_their_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(pieces, "pixels", pieces.noise)  # this network takes no bytes
    network, plain = net(), net()
    run_on(network, [images_of(16, 8)], "openvino", "cpu")
    for size, graphs in (((8, 16), 1), ((16, 8), 2), ((16, 8), 2)):
        images = torch.rand(3, 3, *size)
        with torch.autocast("cpu", torch.bfloat16):
            maps = network.maps(images)
        for found, expected in zip(maps, plain.maps(images), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        assert not any(file.read_bytes().startswith(b"refused") for file in cache.iterdir())
        assert len(list(cache.iterdir())) == graphs
    assert network.calls == 6  # two graphs were traced and checked with two examples each; images never went here


def test_a_common_size_that_is_refused_takes_the_graph_of_all(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(pieces, "pixels", pieces.noise)
    networks = [net(), net()]
    for network in networks:
        run_on(network, [images_of(16, 8)], "openvino", "cpu")
    monkeypatch.setattr(pieces, "MOST_DIFFERENCE", -1.0)
    images = torch.rand(1, 3, 16, 8)
    for network in networks:  # the second finds the refusal in the cache
        for found, expected in zip(network.maps(images), net().maps(images), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert sum(file.read_bytes().startswith(b"refused: ") for file in cache.iterdir()) == 1


def test_pieces_of_one_size() -> None:
    free, fixed = Piece("maps", examples()), Piece("maps", (examples()[0], (torch.rand(2, 3, 8, 12),)))
    assert free.of_size(32, 32).graph_shapes == [(1, 3, 32, 32)]
    assert fixed.of_size(32, 32) is fixed
    assert fixed.with_sizes([(32, 32)]) is fixed


def test_files_are_kept_and_depend_on_the_numbers(runtime: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = Piece("forward", examples())
    run_on(net(), [piece], runtime, "cpu")
    assert len(list(cache.iterdir())) == 1
    other = net()
    other.conv.weight.data *= 2
    run_on(other, [piece], runtime, "cpu")
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(pieces, "_check", None)  # what is kept was checked
    network = net()
    run_on(network, [piece], runtime, "cpu")
    torch.testing.assert_close(network(examples()[0][0] * 0 + 1), net()(torch.ones(1, 3, 8, 12)), atol=1e-5, rtol=1e-5)


def test_a_damaged_file_is_made_anew(runtime: str, cache: Path) -> None:
    piece = Piece("forward", examples())
    run_on(net(), [piece], runtime, "cpu")
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    network = net()
    assert run_on(network, [piece], runtime, "cpu") == runtime
    torch.testing.assert_close(network(torch.ones(1, 3, 8, 12)), net()(torch.ones(1, 3, 8, 12)), atol=1e-5, rtol=1e-5)
    assert len(kept.read_bytes()) == pytest.approx(len(whole), rel=0.01)  # nodes are numbered, here with more digits


@pytest.mark.parametrize("when_called", [True, False])
def test_graphs_of_the_cache_are_loaded_meanwhile_or_when_they_are_called(when_called: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    piece, images = Piece("forward", examples()), torch.rand(1, 3, 8, 12)
    run_on(net(), [piece], "openvino", "cpu")
    load, begun, loaded = openvino_graphs.OpenVinoGraphs.load, Event(), []

    def noted(self: openvino_graphs.OpenVinoGraphs, content: bytes) -> runtimes.Run:
        begun.set()
        loaded.append(current_thread())
        return load(self, content)

    monkeypatch.setattr(openvino_graphs.OpenVinoGraphs, "load", noted)
    network = net()
    with loaded_when_called() if when_called else nullcontext():
        assert run_on(network, [piece], "openvino", "cpu") == "openvino"
    assert begun.wait(0 if when_called else 60) is not when_called
    for _ in range(2):
        torch.testing.assert_close(network(images), net()(images), atol=1e-5, rtol=1e-5)
    assert len(loaded) == 1
    assert (loaded[0] is current_thread()) is when_called


def test_what_differs_is_refused_once_and_pytorch_runs(runtime: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        network = net()
        with caplog.at_level(logging.WARNING):
            assert run_on(network, [Piece("baked", examples())], runtime, "cpu", name="person_detector") == "torch"
        assert "person_detector: not on" in caplog.text
        assert "off by" in caplog.text
        assert "PyTorch runs baked" in caplog.text
        torch.testing.assert_close(network.baked(torch.ones(1, 3, 6, 10)), net().baked(torch.ones(1, 3, 6, 10)))


def test_a_cache_that_cannot_be_written_is_told(caplog: pytest.LogCaptureFixture, cache: Path) -> None:
    pytest.importorskip("openvino")
    cache.parent.write_text("no folder")
    network = net()
    assert run_on(network, [Piece("forward", examples())], "openvino", "cpu") == "openvino"
    assert "cannot be kept" in caplog.text
    assert network(examples()[0][0]).shape == (1, 4, 8, 12)


def test_the_cache_is_bounded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(graph_cache, "MOST_KEPT", 1)
    run_on(net(), [Piece("forward", examples()), Piece("maps", examples())], "openvino", "cpu")
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(("off", "serves"), [(0.02, True), (0.5, False)])
def test_short_numbers_are_held_to_the_norm(off: float, serves: bool) -> None:
    expected = torch.randn(100, generator=torch.Generator().manual_seed(0)) * 1e-2  # small values count as much as large ones
    found = expected * (1 + off)
    assert (pieces.relative_difference(expected, found) <= pieces.MOST_RELATIVE) is serves
    assert pieces.difference(expected, found) < 0.02
    assert pieces.relative_difference(expected, expected.log()) == float("inf")


def test_which_precision_auto_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    weights = {}
    for loss in (None, 0.001, 0.004, -0.01):
        weights[loss] = str(tmp_path / f"{loss}.safetensors")
        save_weights(nn.Linear(1, 1), Path(weights[loss]), WeightsHeader("net", {}, {}, bfloat16_loss=loss))
    for has in (True, False):
        monkeypatch.setattr(placing, "has_bfloat16", lambda has=has: has)
        found = [placing.chosen_precision("auto", "auto", "cpu", weights[loss]) for loss in (None, 0.001, 0.004, -0.01)]
        assert found == (["float32", "bfloat16", "float32", "bfloat16"] if has else ["float32"] * 4)
        assert placing.chosen_precision("bfloat16", "auto", "cpu", weights[None]) == "bfloat16"
        assert placing.chosen_precision("auto", "torch", "cpu", weights[0.001]) == "float32"
        assert placing.chosen_precision("auto", "auto", "cuda", weights[0.001]) == "float32"


def test_which_runtime_a_name_means(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing, device, wanted in ((False, "cpu", "openvino"), (True, "cpu", "torch"), (False, "cuda", "torch")):
        monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda _, missing=missing: None if missing else object())
        assert runtimes.chosen_runtime("auto", device) == wanted
    with pytest.raises(InputError, match="openvino runs on CPUs and the device is cuda"):
        runtimes.chosen_runtime("openvino", "cuda")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"partwise\[onnx\]"):
        runtimes.chosen_runtime("onnxruntime", "cpu")


def test_the_environment_decides_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTWISE_RUNTIME", "torch")
    assert run_on(net(), [Piece("forward", examples())], "auto", "cpu") == "torch"
    monkeypatch.setenv("PARTWISE_RUNTIME", "fast")
    with pytest.raises(InputError, match="PARTWISE_RUNTIME: 'fast', expected"):
        run_on(net(), [], "auto", "cpu")


def test_nothing_is_told_to_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """`openvino.convert_model` reports each conversion over the network."""
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino, "convert_model", None)
    telemetry = pytest.importorskip("openvino_telemetry")
    monkeypatch.setattr(telemetry.Telemetry, "send_event", lambda *_, **__: pytest.fail("told"))
    assert run_on(net(), [Piece("forward", examples())], "openvino", "cpu") == "openvino"


def test_calls_have_graphs_of_their_own_and_further_ones_wait() -> None:
    pytest.importorskip("openvino")
    network = net()
    with runtimes.shared_by(2):
        run_on(network, [Piece("forward", examples())], "openvino", "cpu")
    graphs, images = network.forward.run, [torch.rand(1, 3, 8, 12) for _ in range(24)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(network.forward, images))
    for one, image in zip(found, images, strict=True):
        torch.testing.assert_close(one, net()(image), atol=1e-4, rtol=1e-4)
    assert 1 <= graphs._free.qsize() <= 2
    for _ in range(3):  # a call that fails gives its graphs back
        with pytest.raises(RuntimeError):
            network.forward(torch.rand(1, 5, 8, 12))
    torch.testing.assert_close(network.forward(images[0]), found[0])
