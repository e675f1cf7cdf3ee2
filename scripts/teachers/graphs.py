"""MoveNet's weights out of the graphs that Google published for TensorFlow.js (Apache-2.0)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from parsing.types import Array

HEADS = ("center_0", "kpt_heatmap_0", "kpt_regress_0", "kpt_offset_0", "box_scale_0", "box_offset_0")
NUM_BLOCKS = 17
_TRUNK = "center_net_mobile_net_v2fpn_feature_extractor/model_1/"
_MOBILENET = _TRUNK + "model/"
# Ends of the names of the feature pyramid's nodes, finest level first.
_LATERALS = ("conv2d_3", "conv2d_2", "conv2d_1", "conv2d")
_SMOOTH = (("separable_conv2d_2", "re_lu_2"), ("separable_conv2d_1", "re_lu_1"), ("separable_conv2d", "re_lu"))


def read_graph(path: Path) -> tuple[dict[str, list[str]], dict[str, Array]]:
    """The graph of `path` + `.json` and `.bin`: inputs of each node, and values of its constants, by name.

    Weights that are stored in half precision become float32. The prefix that some of the nodes carry is left off.
    """
    document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    stored = path.with_suffix(".bin").read_bytes()
    values, at = {}, 0
    for row in (row for group in document["weightsManifest"] for row in group["weights"]):
        kind, count = np.dtype(row.get("quantization", row)["dtype"]), math.prod(row["shape"])
        value = np.frombuffer(stored, kind, count, at).reshape(row["shape"])
        values[_plain(row["name"])] = value.astype(np.float32) if kind == np.float16 else value
        at += kind.itemsize * count
    inputs = {_plain(node["name"]): [_plain(name) for name in node.get("input", [])] for node in document["modelTopology"]["node"]}
    return inputs, values


def read_movenet(path: Path) -> dict[str, Tensor]:
    """All convolutions of MoveNet as PyTorch's; the norms are folded into them already.

    Returns:
        `stem`, `blocks.N.{expand,depthwise,project}`, `last`, `laterals.N`, `smooth.N.{depthwise,pointwise}`, and for each head
        `HEAD.separable.{depthwise,pointwise}` and `HEAD.out`; each `weight` and, but for depthwise ones after the blocks, `bias`.
    """
    inputs, values = read_graph(path)
    found: dict[str, Tensor] = {}
    for name, node in (_trunk_nodes() | _head_nodes(list(inputs))).items():
        weight, *bias = (values[source] for source in inputs[node][1:])
        found[f"{name}.weight"] = torch.from_numpy(_kernel(weight, depthwise=name.endswith("depthwise")).copy())
        if bias:
            found[f"{name}.bias"] = torch.from_numpy(bias[0].copy())
    return found


def _plain(name: str) -> str:
    return name.replace("StatefulPartitionedCall/", "").split(":")[0]


def _kernel(weight: Array, depthwise: bool) -> Array:
    """From height, width, inputs, outputs to outputs, inputs, height, width."""
    if depthwise:
        return weight.transpose(2, 3, 0, 1).reshape(-1, 1, *weight.shape[:2])
    return weight.transpose(3, 2, 0, 1)


def _trunk_nodes() -> dict[str, str]:
    nodes = {"stem": "Conv1_relu/Relu6", "last": "out_relu/Relu6"}
    for i in range(NUM_BLOCKS):
        block = f"block_{i}" if i else "expanded_conv"
        if i:
            nodes[f"blocks.{i}.expand"] = f"{block}_expand_relu/Relu6"
        nodes[f"blocks.{i}.depthwise"] = f"{block}_depthwise/depthwise"
        nodes[f"blocks.{i}.project"] = f"{block}_project_BN/FusedBatchNormV3"
    nodes = {name: _MOBILENET + node for name, node in nodes.items()}
    nodes |= {f"laterals.{i}": f"{_TRUNK}{node}/BiasAdd" for i, node in enumerate(_LATERALS)}
    for i, (depthwise, pointwise) in enumerate(_SMOOTH):
        nodes[f"smooth.{i}.depthwise"] = f"{_TRUNK}{depthwise}/separable_conv2d/depthwise"
        nodes[f"smooth.{i}.pointwise"] = f"{_TRUNK}{pointwise}/Relu"
    return nodes


def _head_nodes(names: list[str]) -> dict[str, str]:
    """Thunder has no heads for boxes. The numbers in the nodes' names differ from graph to graph."""
    nodes = {}
    for head in HEADS:
        of_head = [name for name in names if name.startswith(f"{head}/")]
        if of_head:
            nodes[f"{head}.separable.depthwise"] = next(name for name in of_head if name.endswith("separable_conv2d/depthwise"))
            nodes[f"{head}.separable.pointwise"] = next(name for name in of_head if name.endswith("/Relu"))
            nodes[f"{head}.out"] = next(name for name in of_head if name.startswith(f"{head}/conv2d") and name.endswith("/BiasAdd"))
    return nodes
