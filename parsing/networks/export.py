"""Networks as files for other programs: ONNX, OpenVINO's IR, or PyTorch's exported programs, each run after it was written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks.graph_methods import Function
from parsing.networks.graphs import open_graph
from parsing.networks.openvino_graphs import openvino_core, openvino_model
from parsing.networks.pieces import MOST_DIFFERENCE, Piece, difference, owner_of
from parsing.networks.runtimes import onnx_bytes

Format = Literal["onnx", "openvino", "torch_export"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "torch_export": ".pt2"}


@dataclass(frozen=True)
class Exported:
    """A piece of a network in a file.

    Args:
        method: of the network, which the file computes.
        inputs, outputs: shapes in their order, -1 where any length fits.
        difference: largest from PyTorch's outputs, as a share of their range, on two inputs of noise.
    """

    file: str
    method: str
    inputs: list[list[int]]
    outputs: list[list[int]]
    difference: float


def files_of(pieces: Sequence[Piece], kind: Format, folder: Path) -> list[Path]:
    """What `export` writes."""
    files = [folder / f"{_stem(piece)}{SUFFIXES[kind]}" for piece in pieces]
    return files + [file.with_suffix(".bin") for file in files if kind == "openvino"]


def export(network: nn.Module, piece: Piece, kind: Format, folder: Path) -> Exported:
    """Write a piece into a folder that is there, and run what was written.

    Raises:
        InputError: the piece cannot be written in this form, or computes something else there.
    """
    owner, method = owner_of(network, piece.method)
    function = Function(owner, getattr(owner, method)).eval()
    file = folder / f"{_stem(piece)}{SUFFIXES[kind]}"
    try:
        run = WRITERS[kind](function, piece, file)
        off, outputs = _compare(run, function, piece)
    except InputError:
        raise
    except Exception as error:  # of a library, and no two are of one kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file.name}: {piece.method} cannot be written as {kind} ({reason:.200})") from None
    if not off <= MOST_DIFFERENCE:
        raise InputError(f"{file.name}: off by {off:.2g} of its range from PyTorch, at most {MOST_DIFFERENCE:g} is taken")
    return Exported(file.name, piece.method, [list(shape) for shape in piece.shapes], outputs, off)


def _stem(piece: Piece) -> str:
    return piece.method.removesuffix(".forward").replace(".", "_")


Outputs = Sequence[Tensor]
Running = Callable[[Sequence[Tensor]], Outputs]


def _onnx(function: nn.Module, piece: Piece, file: Path) -> Running:
    file.write_bytes(onnx_bytes(function, piece.examples[0], piece.shapes))
    graph = open_graph(file)
    return lambda inputs: [torch.from_numpy(array) for array in graph(*(tensor.numpy() for tensor in inputs))]


def _openvino(function: nn.Module, piece: Piece, file: Path) -> Running:
    import openvino

    openvino.save_model(openvino_model(function, piece.examples[0], piece.shapes), file, compress_to_fp16=False)
    compiled = openvino_core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: [torch.from_numpy(array) for array in compiled([tensor.numpy() for tensor in inputs]).values()]


def _torch_export(function: nn.Module, piece: Piece, file: Path) -> Running:
    axes = tuple({axis: torch.export.Dim.AUTO for axis, length in enumerate(shape) if length < 0} for shape in piece.shapes)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # The second example: PyTorch takes a length of 1 for a constant.
        program = torch.export.export(function, piece.examples[1], dynamic_shapes={"tensors": axes})
        torch.export.save(program, file)
        module: Any = torch.export.load(file).module()
    return lambda inputs: module(*inputs)


WRITERS: dict[Format, Callable[[nn.Module, Piece, Path], Running]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torch_export": _torch_export,
}


@torch.no_grad()
def _compare(run: Running, function: nn.Module, piece: Piece) -> tuple[float, list[list[int]]]:
    """The largest difference over both examples, and the shapes of the outputs."""
    expected = [function(*inputs) for inputs in piece.examples]
    found = [run(inputs) for inputs in piece.examples]
    pairs = [pair for one, other in zip(expected, found, strict=True) for pair in zip(one, other, strict=True)]
    off = max(difference(one, other) if one.shape == other.shape else float("inf") for one, other in pairs)
    shapes = [[a if a == b else -1 for a, b in zip(one.shape, other.shape, strict=True)] for one, other in zip(*expected, strict=True)]
    return off, shapes
