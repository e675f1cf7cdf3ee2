"""What takes the place of methods and networks, and when it is loaded."""

from threading import Event

import pytest
import torch

from parsing.networks import runtimes
from parsing.networks.graph_methods import GraphMethod, LateGraph, late, loaded_when_called
from parsing.types import Array


def test_late_networks_are_built_once_by_their_first_call() -> None:
    built: list[bool] = []

    def build() -> torch.nn.Module:
        built.append(torch.is_inference_mode_enabled() or torch.is_autocast_enabled("cpu"))
        return torch.nn.Conv2d(3, 4, 3)

    with loaded_when_called():
        network = late(build)
    assert not built
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        network(torch.rand(1, 3, 8, 12))
    network(torch.rand(1, 3, 8, 12))
    assert built == [False]
    assert isinstance(late(build), torch.nn.Module)


def test_the_graph_of_an_expected_size_loads_before_it_is_called() -> None:
    loaded = Event()

    def load() -> runtimes.Run:
        loaded.set()
        return lambda arrays: [array * 2 for array in arrays]

    with loaded_when_called():
        graph = LateGraph(load, load)
    method = GraphMethod(list, lambda images: images, (torch.rand(1, 3, 8, 12),), of_sizes={(4, 6): graph})
    method.expect(8, 6)
    assert not loaded.is_set()
    method.expect(4, 6)
    assert loaded.wait(10)
    images = torch.rand(2, 3, 4, 6)
    assert torch.equal(method(images), images * 2)


def test_a_graph_that_memory_does_not_hold_is_loaded_by_a_later_call() -> None:
    tries: list[bool] = []

    def load() -> runtimes.Run:
        tries.append(len(tries) > 0)
        if not tries[-1]:
            raise MemoryError
        return lambda arrays: [array * 2 for array in arrays]

    def otherwise() -> runtimes.Run:
        raise MemoryError

    with loaded_when_called():
        graph = LateGraph(load, otherwise)
    given: list[Array] = [torch.ones(2).numpy()]
    with pytest.raises(MemoryError):
        graph(given)
    assert graph(given)[0].tolist() == [2, 2]
