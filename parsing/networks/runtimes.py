"""The runtimes that networks run on beside PyTorch: what each makes of a function of tensors, and how it is loaded again."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.networks.tracing import as_traced
from parsing.types import Array

Runtime = Literal["auto", "torch", "compile", "openvino", "onnxruntime"]
Precision = Literal["float32", "bfloat16"]
Shape = tuple[int, ...]  # -1 where any length fits
Run = Callable[[Sequence[Array]], list[Array]]
EXTRAS = {"openvino": "", "onnxruntime": "onnx"}
ENVIRONMENT = "PARTWISE_RUNTIME"  # what `auto` means, where it is set
_CALLS: ContextVar[int] = ContextVar("_CALLS", default=1)


@contextmanager
def shared_by(calls: int) -> Iterator[None]:
    """Networks that are put on a runtime in this block serve so many calls at a time, among which the cores are divided.

    One thread a call wastes none of them: threads that work on one image wait for each other after each layer.
    """
    token = _CALLS.set(calls)
    try:
        yield
    finally:
        _CALLS.reset(token)


def calls() -> int:
    """How many calls share the cores in this block."""
    return _CALLS.get()


def chosen_runtime(runtime: Runtime, device: str) -> Literal["torch", "compile", "openvino", "onnxruntime"]:
    """What a config's `runtime` means here: `auto` is what the environment says, or OpenVINO on CPUs where it is installed, else PyTorch.

    Raises:
        InputError: it is not installed, or does not run on this device; or the environment names no runtime.
    """
    runtime = _meant(runtime)
    if runtime == "auto":
        return "openvino" if device == "cpu" and importlib.util.find_spec("openvino") is not None else "torch"
    if runtime in EXTRAS:
        if device != "cpu":
            raise InputError(f"runtime: {runtime} runs on CPUs and the device is {device}; expected torch, compile or auto")
        import_extra(runtime, EXTRAS[runtime])
    return runtime


def _meant(runtime: Runtime) -> Runtime:
    """A config's runtime; in place of `auto` what the environment says."""
    given, known = os.environ.get(ENVIRONMENT, "auto"), get_args(Runtime)
    if given not in known:
        raise InputError(f"{ENVIRONMENT}: {given!r:.40}, expected {', '.join(known)}")
    return cast(Runtime, given) if runtime == "auto" else runtime


class Engine(Protocol):
    """A runtime of exported graphs on CPUs.

    `identity` says what its files depend on beside the network: versions, the kind of processor, the precision.
    """

    name: str
    suffix: str
    identity: str

    def build(self, function: nn.Module, example: tuple[Tensor, ...], shapes: Sequence[Shape]) -> bytes:
        """The file of a function that takes the example's tensors, of these shapes, and gives a tuple of tensors."""

    def load(self, content: bytes) -> Run:
        """What a file computes; it may be called in several threads at a time, with arrays of any strides."""


def engine(runtime: Literal["openvino", "onnxruntime"], precision: Precision, short_after: int = 0) -> Engine:
    """A runtime.

    Args:
        short_after: of bfloat16, how many convolutions at the beginning compute in float32 all the same.
    """
    if runtime == "onnxruntime":
        return _OnnxRuntime(precision)
    from parsing.networks.openvino_graphs import OpenVinoGraphs  # late: both files know what an engine is

    return OpenVinoGraphs(precision, short_after, calls())


class _OnnxRuntime:
    name, suffix = "onnxruntime", ".onnx"

    def __init__(self, precision: Precision) -> None:
        if precision != "float32":
            raise InputError(f"runtime: onnxruntime computes in float32 on CPUs, and precision is {precision}")
        self.identity = f"onnx {torch.__version__}"
        self._threads = max(1, torch.get_num_threads() // calls())  # now: a file may be loaded in another thread

    def build(self, function: nn.Module, example: tuple[Tensor, ...], shapes: Sequence[Shape]) -> bytes:
        return onnx_bytes(function, example, shapes)

    def load(self, content: bytes) -> Run:
        runtime = import_extra("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, self._threads
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        names = [port.name for port in session.get_inputs()]
        return lambda inputs: list(session.run(None, dict(zip(names, map(np.ascontiguousarray, inputs), strict=True))))


def onnx_bytes(function: nn.Module, example: tuple[Tensor, ...], shapes: Sequence[Shape]) -> bytes:
    """An ONNX file of a function; inputs are called `input0`, …, outputs `output0`, …

    Raises:
        InputError: `onnx` is not installed.
    """
    import_extra("onnx", "onnx")
    names = [f"input{i}" for i in range(len(example))]
    axes = {
        name: {axis: f"{name}_{axis}" for axis, length in enumerate(shape) if length < 0} for name, shape in zip(names, shapes, strict=True)
    }
    stream = io.BytesIO()
    with as_traced():
        outputs = [f"output{i}" for i in range(len(function(*example)))]
        torch.onnx.export(
            function,
            example,
            stream,  # type: ignore[arg-type]  # files are taken too
            dynamo=False,
            opset_version=17,
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: found for name, found in axes.items() if found},
        )
    return stream.getvalue()
