"""The packages import in one direction, and nothing that comes from outside can execute."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each room may import the ground `parsing` and what is listed; the order is that of the path of data.
MEDIA, NETWORKS, MEASURES = "parsing.media", "parsing.networks", "parsing.measures"
LEARNING, DATASETS, RECORDED, STATES = "parsing.learning", "parsing.datasets", "parsing.recorded", "parsing.states"
GROUND = {MEDIA, NETWORKS, MEASURES, LEARNING, DATASETS, RECORDED}
MAY_IMPORT: dict[str, set[str]] = {
    "parsing": set(),
    MEDIA: set(),
    NETWORKS: set(),
    MEASURES: set(),
    LEARNING: {MEDIA, NETWORKS},
    DATASETS: {MEDIA},
    RECORDED: {DATASETS, NETWORKS},
    STATES: GROUND,
    "detectors.networks": {NETWORKS, MEASURES},
    "detectors": GROUND | {"detectors.networks"},
    "detectors.labelling": GROUND | {"detectors", "detectors.networks"},
    "detectors.adapters": GROUND | {"detectors", "detectors.networks"},
    "recognizers.clips": GROUND,
    "recognizers.networks": GROUND | {"recognizers.clips"},
    "recognizers.superres": GROUND | {"recognizers.clips"},
    "recognizers": GROUND | {"recognizers.clips", "recognizers.networks", "recognizers.superres"},
    "recognizers.parts": GROUND | {"recognizers"},
    "recognizers.adapters": GROUND | {"recognizers", "recognizers.clips"},
}
STAGES_OF_ALL = {*MAY_IMPORT} - {"parsing"}
MAY_IMPORT |= {
    "pipelines.shared": STAGES_OF_ALL,
    "pipelines.drawing": {MEDIA},
    "pipelines.viewer": {MEDIA, MEASURES, "pipelines.drawing"},
    "pipelines.parse": STAGES_OF_ALL | {"pipelines.shared", "pipelines.drawing"},
    "pipelines.benchmarks": STAGES_OF_ALL | {"pipelines.shared"},
    "pipelines.exporters": STAGES_OF_ALL | {"pipelines.shared", "pipelines.benchmarks"},
    "pipelines": STAGES_OF_ALL
    | {"pipelines.shared", "pipelines.parse", "pipelines.drawing", "pipelines.viewer", "pipelines.benchmarks", "pipelines.exporters"},
}
SHARED = ("pipelines.command", "pipelines.config_files", "pipelines.options")  # what the command lines of all rooms use
PACKAGES = ("parsing", "detectors", "recognizers", "pipelines")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
FORBIDDEN_MODULES = {"pickle", "dill", "joblib", "marshal", "shelve"}
NETWORK = {"requests", "urllib", "urllib3", "http", "socket", "ssl", "ftplib", "smtplib", "asyncio", "aiohttp", "httpx", "huggingface_hub"}
FORBIDDEN_CALLS = {"eval", "exec", "VideoCapture", "unsafe_load", "full_load"}


def room(module: str) -> str:
    """The package or sub-package that a module lies in, by its own name."""
    if module in SHARED:
        return "pipelines.shared"
    inner = ".".join(module.split(".")[:2])
    return inner if inner in MAY_IMPORT else module.split(".")[0]


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_and_calls(path: Path) -> None:
    own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {name.partition(".")[0] for name in imported(tree)}
    rooms = {room(name) for name in imported(tree) if name.partition(".")[0] in PACKAGES}
    assert rooms <= MAY_IMPORT[own] | {own, "parsing"}
    assert not modules & FORBIDDEN_MODULES or path.name == "inert.py"  # its unpickler calls nothing that a file names
    # One listens, on loopback by default; one asks whether the cluster that the user named answers; one reads a playlist's own host.
    assert not modules & NETWORK or path.name in ("download.py", "serve.py", "ray_engine.py", "playlists.py")
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
        # `network.eval()` is PyTorch's switch and harmless; the builtin has no owner.
        assert name not in FORBIDDEN_CALLS or (name == "eval" and isinstance(function, ast.Attribute))
        if (owner, name) == ("torch", "load"):
            assert any(k.arg == "weights_only" and getattr(k.value, "value", False) is True for k in call.keywords)
        assert owner != "hub"  # of torch
        if owner == "yaml":
            assert name in {"load", "safe_dump", "MarkedYAMLError"}
        if (owner, name) == ("yaml", "load"):  # one place, whose loader adds bounds to PyYAML's safe one
            assert path.name == "yaml_files.py"
            assert [k.value.id for k in call.keywords if isinstance(k.value, ast.Name)] == ["_Loader"]


def test_no_two_rooms_import_each_other() -> None:
    assert not [(one, other) for one, others in MAY_IMPORT.items() for other in others if one in MAY_IMPORT[other]]


def test_tables_name_classes_that_exist() -> None:
    import importlib

    from detectors import POSE_ESTIMATORS, TRACKERS
    from pipelines.benchmarks import REPORTS
    from pipelines.exporters import EXPORTERS
    from pipelines.stages import COMPONENTS, STAGES

    assert COMPONENTS.keys() == STAGES.keys()
    for table in (*COMPONENTS.values(), TRACKERS, POSE_ESTIMATORS, STAGES, REPORTS, EXPORTERS):
        for target in table.values():
            module, _, attribute = target.partition(":")
            assert hasattr(importlib.import_module(module), attribute), target
