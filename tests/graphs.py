"""Small ONNX graphs for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


def constant_graph(path: Path, outputs: Mapping[str, np.ndarray], shape: tuple[Any, ...] = (1, 3, 64, 64), sizes: bool = False) -> Path:
    """A graph that gives constants, whatever its picture; with `sizes` it also takes two whole numbers, as RT-DETR's does."""
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    nodes = [helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0), helper.make_node("Mul", ["sum", "nothing"], ["zero"])]
    nodes.append(helper.make_node("Cast", ["zero"], ["whole_zero"], to=TensorProto.INT64))
    constants = [helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0])]
    infos = []
    for name, value in outputs.items():
        value = value.astype(np.int64 if value.dtype.kind in "iu" else np.float32)
        kind = KINDS[value.dtype]
        constants.append(helper.make_tensor(f"{name}_constant", kind, value.shape, value.ravel()))
        nodes.append(helper.make_node("Add", [f"{name}_constant", "whole_zero" if value.dtype.kind == "i" else "zero"], [name]))
        infos.append(helper.make_tensor_value_info(name, kind, value.shape))
    if sizes:
        inputs.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, (1, 2)))
        nodes.append(helper.make_node("Identity", ["sizes"], ["sizes_seen"]))
        infos.append(helper.make_tensor_value_info("sizes_seen", TensorProto.INT64, (1, 2)))
    return save_graph(path, nodes, inputs, infos, constants)


def picture_graph(path: Path, shape: tuple[int, ...] = (1, 3, 64, 64)) -> Path:
    """A graph that gives back its picture."""
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "seen")]
    return save_graph(path, [helper.make_node("Identity", ["image"], ["seen"])], info[:1], info[1:], [])


def save_graph(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> Path:
    model = helper.make_model(helper.make_graph(nodes, "graph", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())  # onnx.save would look for tensors in other files
    return path
