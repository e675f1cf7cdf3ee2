"""Graphs in the place of methods: the same numbers, kept once, refused where they differ."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks import pieces, runtimes
from parsing.networks.pieces import Piece, run_on


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


def test_a_method_of_a_module_inside(runtime: str) -> None:
    network = nn.ModuleDict({"inner": net()})
    run_on(network, [Piece("inner.forward", examples())], runtime, "cpu")
    assert network["inner"](torch.rand(1, 3, 4, 4)).shape == (1, 4, 4, 4)


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
    assert run_on(net(), [piece], runtime, "cpu") == runtime
    assert len(kept.read_bytes()) == len(whole)


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
    monkeypatch.setattr(pieces, "MOST_KEPT", 1)
    run_on(net(), [Piece("forward", examples()), Piece("maps", examples())], "openvino", "cpu")
    assert len(list(cache.iterdir())) == 1


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
