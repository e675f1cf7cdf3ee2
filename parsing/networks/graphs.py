"""Exported graphs (ONNX, TFLite) on OpenVINO or ONNX Runtime, whichever is installed. They hold operators of these alone, no code."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from parsing.batching import is_out_of_memory
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.networks.openvino_graphs import openvino_core
from parsing.types import Array

SUFFIXES = (".onnx", ".tflite")


@dataclass(frozen=True)
class GraphInput:
    """An input: its shape, 0 where any length fits, and its kind of numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Graph(Protocol):
    """A graph that is ready to run on the CPU."""

    path: Path
    inputs: tuple[GraphInput, ...]
    output_names: tuple[str, ...]

    def __call__(self, *tensors: Array) -> list[Array]:
        """Outputs in the graph's own order, from one tensor for each input."""


def open_graph(path: Path) -> Graph:
    """A graph on OpenVINO where that is installed, else on ONNX Runtime, which does not read TFLite.

    Raises:
        InputError: the file is missing, it is no graph that can be run, or no runtime is installed.
    """
    without_openvino = importlib.util.find_spec("openvino") is None
    runtime = _OnnxRuntimeGraph if without_openvino and path.suffix == ".onnx" else _OpenVinoGraph
    if not path.is_file() or path.suffix not in SUFFIXES:
        raise InputError(f"{path}: graph not found; expected a file that ends in {', '.join(SUFFIXES)}")
    return runtime(path)


@contextmanager
def _named(path: Path, what: str) -> Iterator[None]:
    """The errors of a runtime, which share no class, in one line."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise InputError(f"{path}: {what} ({last:.200})") from None


class _OpenVinoGraph:
    def __init__(self, path: Path) -> None:
        core = openvino_core()
        self.path = path
        with _named(path, "not a readable ONNX or TFLite graph"):
            model = core.read_model(path)
            self._run = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            self.inputs = tuple(
                GraphInput(
                    tuple(side.get_length() if side.is_static else 0 for side in port.partial_shape), np.dtype(port.element_type.to_dtype())
                )
                for port in model.inputs
            )
        self.output_names = tuple(min(port.names, default="") for port in model.outputs)

    def __call__(self, *tensors: Array) -> list[Array]:
        with _named(self.path, "the graph does not run"):
            return [np.array(value) for value in self._run(list(tensors)).values()]


_DTYPES = {f"tensor({name})": np.dtype(name) for name in ("uint8", "int32", "int64", "float16")} | {"tensor(float)": np.dtype("float32")}


class _OnnxRuntimeGraph:
    def __init__(self, path: Path) -> None:
        runtime = import_extra("onnxruntime", "onnx")
        self.path = path
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is told by the exception
        with _named(path, "not a readable ONNX graph"):
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            ports = self._session.get_inputs()
            self.inputs = tuple(
                GraphInput(tuple(side if isinstance(side, int) else 0 for side in port.shape), _DTYPES[port.type]) for port in ports
            )
        self._input_names = tuple(port.name for port in ports)
        self.output_names = tuple(port.name for port in self._session.get_outputs())

    def __call__(self, *tensors: Array) -> list[Array]:
        with _named(self.path, "the graph does not run"):
            return list(self._session.run(None, dict(zip(self._input_names, tensors, strict=True))))
