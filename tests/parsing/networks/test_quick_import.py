"""What a run imports, and what it leaves alone."""

import subprocess
import sys

CODE = """
import sys
from pipelines.parse.parser import VideoParser
from pipelines.parse.config import read_pipeline
read_pipeline("default")
unwanted = {"torch._dynamo", "torch._inductor", "sympy", "pandas", "sklearn", "matplotlib", "lightning_fabric", "transformers"}
assert not unwanted & sys.modules.keys(), unwanted & sys.modules.keys()
assert {"timm", "torchvision"} <= sys.modules.keys()
import torch
from parsing.networks.quick_import import import_networks
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).tolist() == [2, 2]  # the compiler is there for whoever wants it
import_networks()
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


def test_what_is_not_foreseen_comes_from_the_compiler() -> None:
    subprocess.run([sys.executable, "-c", STAND_IN], check=True)
