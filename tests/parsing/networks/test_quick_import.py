"""What a run imports, and what it leaves alone."""

import subprocess
import sys

CODE = """
import sys
from pipelines.parse.parser import VideoParser
from pipelines.parse.config import read_pipeline
read_pipeline("default")
unwanted = {"torch._dynamo", "torch._inductor", "sympy", "pandas", "sklearn", "matplotlib", "lightning_fabric", "transformers", "scipy"}
assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()
assert {"timm", "torchvision"} <= sys.modules.keys()
import torch
from parsing.networks.quick_import import import_networks
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).tolist() == [2, 2]  # the compiler is there for whoever wants it
import_networks()
"""
TRACKERS = """
import sys
from parsing.networks.quick_import import import_networks
import_networks()
import numpy as np
import supervision.annotators.core
import trackers.core.bytetrack.tracker
costs = 1 - np.eye(3)[[2, 0, 1]]
assert "scipy" not in sys.modules
assert trackers.core.bytetrack.tracker.linear_sum_assignment(costs)[1].tolist() == [2, 0, 1]
assert "scipy" not in sys.modules
line = np.arange(9.0)
supervision.annotators.core.splprep([line, line])  # which loads what it is of
from scipy.optimize import linear_sum_assignment, minimize
assert linear_sum_assignment(costs)[1].tolist() == [2, 0, 1]
assert minimize(lambda x: (x[0] - 1) ** 2, [0.0]).success
"""
STAND_IN = """
import sys
from parsing.networks import quick_import
sys.modules.update({name: quick_import._StandIn(name) for name in (quick_import.COMPILER, quick_import.UTILITIES)})
from torch._dynamo.utils import counters, is_compile_supported  # one that the stand-in has not, and one that it has
assert isinstance(counters, dict)
assert is_compile_supported("cpu") is True
"""


def test_a_run_imports_no_compiler() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", CODE], check=True)


def test_trackers_load_scipy_when_they_need_more_of_it_than_an_assignment() -> None:
    subprocess.run([sys.executable, "-c", TRACKERS], check=True)


def test_what_is_not_foreseen_comes_from_the_compiler() -> None:
    subprocess.run([sys.executable, "-c", STAND_IN], check=True)
