"""Tracing of networks, which sets what belongs to the whole process."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest
import torch
from torch import nn

from parsing.networks.graph_methods import Function
from parsing.networks.runtimes import onnx_bytes
from parsing.networks.tracing import as_traced


def test_one_thread_traces_at_a_time() -> None:
    inside: list[bool] = []

    def trace(_: int) -> int:
        with as_traced():
            inside.append(torch.backends.mha.get_fastpath_enabled())
            sleep(0.01)  # the other thread comes meanwhile
            found = len(inside)
            assert inside.pop() is False
        return found

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(trace, range(4))) == [1] * 4
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_network_does_not_train_after_its_export_to_onnx() -> None:
    pytest.importorskip("onnx")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).eval()
    onnx_bytes(Function(network, network.forward), (torch.rand(1, 3, 8, 8),), [(1, 3, 8, 8)])
    assert not any(module.training for module in network.modules())
