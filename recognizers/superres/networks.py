"""The networks of video super-resolution and what they have in common."""

from __future__ import annotations

from typing import Any, Literal, Protocol, cast

from torch import nn

from parsing.configs import Table, chosen_class, parse_config
from parsing.networks.weights import read_header, restore, weights_path

NetworkName = Literal["basicvsr", "realbasicvsr"]
# Name in a config -> its architecture, imported only when chosen.
NETWORKS: Table = {
    "basicvsr": "recognizers.superres.basicvsr:BasicVSRArchitecture",
    "realbasicvsr": "recognizers.superres.realbasicvsr:RealBasicVSRArchitecture",
}


class Architecture(Protocol):
    """What every network's architecture can say."""

    @property
    def scale(self) -> int:
        """How many times larger each side becomes."""

    def build(self) -> nn.Module:
        """The network with new weights."""


def parse_architecture(name: str, value: Any, where: str) -> Architecture:
    """The typed architecture of a network.

    Raises:
        InputError: a key or value does not fit; names it.
    """
    return cast(Architecture, parse_config(chosen_class(NETWORKS, name), value, where))


def load_network(name: NetworkName, weights: str, device: str) -> tuple[nn.Module, Architecture]:
    """The network that a weights file describes, ready to run, and its architecture.

    Raises:
        InputError: the file is not of this network, or its header is not whole.
    """
    header = read_header(weights, name)
    architecture = parse_architecture(name, header.architecture, str(weights_path(weights)))
    network = restore(architecture.build, weights)
    return network.eval().to(device), architecture
