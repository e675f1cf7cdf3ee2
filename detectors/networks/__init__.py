"""The detection networks by name, and how their weights are read and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from detectors.networks.architectures import (
    Candidates,
    CascadeArchitecture,
    DetectorArchitecture,
    FasterRCNNArchitecture,
    GFLArchitecture,
    RetinaNetArchitecture,
    Targets,
)
from detectors.networks.calibration import ScoreCalibration
from detectors.networks.cascade_rcnn import CascadeRCNN
from detectors.networks.faster_rcnn import FasterRCNN
from detectors.networks.gfl import GFL
from detectors.networks.retinanet import RetinaNet
from parsing.configs import Table, parse_config
from parsing.errors import InputError
from parsing.networks.backbones import Pretrained
from parsing.networks.initial import NamedRows
from parsing.networks.pieces import Piece
from parsing.networks.weights import WeightsHeader, read_header, restore, weights_path
from parsing.threads import in_threads

NetworkName = Literal["cascade_rcnn", "faster_rcnn", "retinanet", "gfl"]
NETWORKS: dict[str, tuple[type[DetectorArchitecture], type[nn.Module]]] = {
    "cascade_rcnn": (CascadeArchitecture, CascadeRCNN),
    "faster_rcnn": (FasterRCNNArchitecture, FasterRCNN),
    "retinanet": (RetinaNetArchitecture, RetinaNet),
    "gfl": (GFLArchitecture, GFL),
}
ARCHITECTURES: Table = {name: f"{kind.__module__}:{kind.__qualname__}" for name, (kind, _) in NETWORKS.items()}


class DetectionNetwork(Protocol):
    """What every network of the table is, beside a `torch.nn.Module`."""

    architecture: DetectorArchitecture
    calibration: ScoreCalibration | None
    named_rows: ClassVar[NamedRows]

    def __call__(self, images: Tensor, sizes: list[tuple[int, int]], targets: list[Targets]) -> dict[str, Tensor]: ...

    def candidates(self, images: Tensor, sizes: list[tuple[int, int]]) -> Candidates: ...

    def pieces(self) -> Sequence[Piece]: ...

    def eval(self) -> Any: ...


def build_network(name: str, architecture: DetectorArchitecture, pretrained: Pretrained = "none", frozen_level: int = -1) -> nn.Module:
    network: nn.Module = NETWORKS[name][1](architecture, pretrained, frozen_level)
    return network


def parse_architecture(name: str, value: Any, where: str) -> DetectorArchitecture:
    """The typed architecture of a network from plain data."""
    return parse_config(NETWORKS[name][0], value, where)


@in_threads(1)
def load_network(name: str, weights: str, class_names: Sequence[str] | None, device: str) -> DetectionNetwork:
    """The network that a weights file describes, ready to run.

    Raises:
        InputError: the file is not of this network, or its classes are not `class_names`.
    """
    header = read_header(weights, name)
    architecture = parse_architecture(name, header.architecture, str(weights_path(weights)))
    if class_names is not None and architecture.class_names != tuple(class_names):
        raise InputError(f"{weights_path(weights)}: detects {', '.join(architecture.class_names)}; expected {', '.join(class_names)}")
    network = restore(lambda: build_network(name, architecture), weights)
    if header.calibration:
        network.calibration = read_calibration(header, len(architecture.class_names), str(weights_path(weights)))  # type: ignore[assignment]
    return cast(DetectionNetwork, network.eval().to(device).to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def read_calibration(header: WeightsHeader, num_classes: int, where: str) -> ScoreCalibration:
    """The calibration that a weights file carries.

    Raises:
        InputError: it is malformed or of another number of classes.
    """
    calibration = parse_config(ScoreCalibration, header.calibration, f"{where}: calibration")
    if not len(calibration.scale) == len(calibration.shift) == num_classes:
        found = f"{len(calibration.scale)} scales and {len(calibration.shift)} shifts"
        raise InputError(f"{where}: calibration: {found}, expected one for each of {num_classes} classes")
    return calibration
