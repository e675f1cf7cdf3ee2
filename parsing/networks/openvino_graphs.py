"""Graphs of OpenVINO on CPUs."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from queue import Empty, LifoQueue
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parsing.extras import import_extra
from parsing.networks.runtimes import Precision, Run, Shape
from parsing.networks.tracing import traced
from parsing.types import Array

MAPS = 4  # axes of images and features
LENGTH = 8  # bytes that say how long a graph is


@functools.cache
def openvino_core() -> Any:
    """The one `openvino.Core` of this process, which stays until its end.

    A core gives the thread that compiles first an alternate signal stack, and frees it when it goes. Where it goes in another
    thread, or before a younger core, the thread is left with a stack that is no longer there, and the next signal, Ctrl-C
    or the end of a child, kills the process.

    Raises:
        InputError: OpenVINO is not installed.
    """
    return import_extra("openvino").Core()


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor.

    Raises:
        InputError: OpenVINO is not installed.
    """
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoGraphs:
    """OpenVINO as an `Engine`.

    Args:
        short_after: of bfloat16, how many convolutions at the beginning compute in float32 all the same.
        calls: that share the cores, each in graphs of its own.
    """

    name, suffix = "openvino", ".blob"

    def __init__(self, precision: Precision, short_after: int = 0, calls: int = 1) -> None:
        openvino, core = import_extra("openvino"), openvino_core()
        can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        hint = "bf16" if precision == "bfloat16" and has_bfloat16() else "f32"
        self.settings = {
            "INFERENCE_NUM_THREADS": max(1, torch.get_num_threads() // calls),
            "NUM_STREAMS": 1,  # which computes in the thread that calls; several have threads of their own and leave cores idle
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # or calls of different graphs meet on one core while another is free
        }
        self.short_after, self.calls = short_after if hint == "bf16" else 0, calls
        name = core.get_property("CPU", "FULL_DEVICE_NAME")
        self.identity = (
            f"openvino, channels last, {openvino.__version__} {torch.__version__} {name} {can} {self.settings} {self.short_after}"
        )

    def build(self, function: nn.Module, example: tuple[Tensor, ...], shapes: Sequence[Shape]) -> bytes:
        """One graph, or two that follow each other, each behind its length."""
        pair = split_after(openvino_model(function, example, shapes), self.short_after) if self.short_after else None
        models = pair or (openvino_model(function, example, shapes),)
        blobs = [self._blob(channels_last(model), settings) for model, settings in zip(models, self._settings_of(len(models)), strict=True)]
        return b"".join(len(blob).to_bytes(LENGTH, "little") + blob for blob in blobs)

    def load(self, content: bytes) -> Run:
        whole, begin = np.array(np.frombuffer(content, np.uint8)), 0
        blobs: list[Array] = []
        while begin < len(whole):
            first, end = begin + LENGTH, begin + LENGTH + int.from_bytes(content[begin : begin + LENGTH], "little")
            if len(whole) < end:
                raise ValueError("the file of a graph is cut short")
            blobs.append(whole[first:end])
            begin = end
        return _Graphs(list(zip(blobs, self._settings_of(len(blobs)), strict=True)), self.calls)

    def _settings_of(self, count: int) -> list[dict[str, Any]]:
        """Of each of one or two graphs, the first of two in float32."""
        return [self.settings] if count == 1 else [self.settings | {"INFERENCE_PRECISION_HINT": "f32"}, self.settings]

    def _blob(self, model: Any, settings: dict[str, Any]) -> bytes:
        stream = openvino_core().compile_model(model, "CPU", settings).export_model()
        return bytes(stream.getvalue() if isinstance(stream, io.BytesIO) else stream)


class _Graphs:
    """Compiled graphs of OpenVINO that follow each other, each of which takes what the one before it gives, where it lies.

    Args:
        blobs: of the graphs, (N,) uint8, with their settings. They stay, as all copies of a graph compute with the weights in there.
        calls: how many calls may compute at a time, each in graphs of its own; a further one waits.
    """

    def __init__(self, blobs: Sequence[tuple[Array, dict[str, Any]]], calls: int) -> None:
        self._blobs, self._unmade, self._making = blobs, calls, Lock()
        self._free: LifoQueue[list[Any]] = LifoQueue()
        self._tensor = import_extra("openvino").Tensor
        self._free.put(self._requests())

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        requests = self._requests()
        try:
            return self._computed(requests, [to_channels_last(array) for array in inputs])
        finally:
            self._free.put(requests)

    def _requests(self) -> list[Any]:
        """One of each graph that nobody else uses."""
        with suppress(Empty):
            return self._free.get_nowait()
        with self._making:
            if self._unmade:
                self._unmade -= 1
                return [self._request(*blob) for blob in self._blobs]
        return self._free.get()

    def _request(self, blob: Array, settings: dict[str, Any]) -> Any:
        return openvino_core().import_model(self._tensor(blob, shared_memory=True), "CPU", settings).create_infer_request()

    def _computed(self, requests: Sequence[Any], given: Sequence[Array]) -> list[Array]:
        for number, array in enumerate(given):
            requests[0].set_input_tensor(number, self._tensor(array, shared_memory=True))
        for one, other in pairwise(requests):
            one.infer(share_outputs=True)
            other.set_input_tensor(one.get_output_tensor())
        found = requests[-1].infer(share_outputs=False).values()
        return [array.transpose(0, 3, 1, 2) if array.ndim == MAPS else array for array in found]


def openvino_model(function: nn.Module, example: tuple[Tensor, ...], shapes: Sequence[Shape]) -> Any:
    """An `openvino.Model` of a function.

    It is made by OpenVINO's own reader of traced functions, as `openvino.convert_model` does, but that reports each use
    to its authors over the network.
    """
    openvino = import_extra("openvino")
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    reader = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced(function, example))  # it has to outlive the conversion
    model = reader.convert(reader.load(decoder))
    model.reshape({port: openvino.PartialShape(list(shape)) for port, shape in zip(model.inputs, shapes, strict=True)})
    return model


def channels_last(model: Any) -> Any:
    """An `openvino.Model` that takes and gives maps (B, C, H, W) as (B, H, W, C), the order in which convolutions are computed."""
    steps = import_extra("openvino").preprocess.PrePostProcessor(model)
    layout = import_extra("openvino").Layout
    for ports, find in ((model.inputs, steps.input), (model.outputs, steps.output)):
        for number, port in enumerate(ports):
            if len(port.get_partial_shape()) == MAPS:
                find(number).tensor().set_layout(layout("NHWC"))
                find(number).model().set_layout(layout("NCHW"))
    return steps.build()


def to_channels_last(array: Array) -> Array:
    """Maps (B, C, H, W) as (B, H, W, C), which costs nothing where they lie in memory so; other arrays as they are; without gaps."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if array.ndim == MAPS else array)


def split_after(model: Any, convolutions: int) -> tuple[Any, Any] | None:
    """An `openvino.Model` as two that follow each other, or None where what comes later needs more than one tensor of the beginning.

    Args:
        model: is changed.
        convolutions: of the first; its output is what the next one sees.
    """
    openvino = import_extra("openvino")
    from openvino import opset13 as operators

    found = [op for op in model.get_ordered_ops() if op.get_type_name() in ("Convolution", "GroupConvolution")]
    if len(found) <= convolutions:
        return None
    cut = found[convolutions].input(0).get_source_output()
    if cut.get_node().get_type_name() == "Pad":  # it belongs to the convolution
        cut = cut.get_node().input(0).get_source_output()
    users = cut.get_target_inputs()
    first = openvino.Model([operators.result(cut)], model.get_parameters())
    given = operators.parameter(cut.get_partial_shape(), cut.get_element_type())
    for user in users:
        user.replace_source_output(given.output(0))
    try:
        return first, openvino.Model(model.get_results(), [given])
    except RuntimeError:  # it still asks for the inputs
        return None
