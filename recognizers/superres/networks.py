"""The networks of video super-resolution by name; their architectures share the fields of BasicVSR's."""

from __future__ import annotations

from typing import Any, Literal, cast

from torch import nn

from parsing.configs import Table, chosen_class, parse_config
from parsing.networks.weights import read_header, restore, weights_path
from recognizers.superres.basicvsr import BasicVSRArchitecture

NetworkName = Literal["basicvsr", "realbasicvsr"]
# Name in a config -> its architecture, imported only when chosen.
NETWORKS: Table = {
    "basicvsr": "recognizers.superres.basicvsr:BasicVSRArchitecture",
    "realbasicvsr": "recognizers.superres.realbasicvsr:RealBasicVSRArchitecture",
}


def parse_architecture(name: str, value: Any, where: str) -> BasicVSRArchitecture:
    """The typed architecture of a network.

    Raises:
        InputError: a key or value does not fit; names it.
    """
    return cast(BasicVSRArchitecture, parse_config(chosen_class(NETWORKS, name), value, where))


def load_network(name: NetworkName, weights: str, device: str) -> tuple[nn.Module, BasicVSRArchitecture]:
    """The network that a weights file describes, ready to run, and its architecture.

    Raises:
        InputError: the file is not of this network, or its header is not whole.
    """
    header = read_header(weights, name)
    architecture = parse_architecture(name, header.architecture, str(weights_path(weights)))
    network = restore(architecture.build, weights)
    return network.eval().to(device), architecture
