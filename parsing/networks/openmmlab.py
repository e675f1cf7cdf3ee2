"""What the adapters of mmdet, mmpose and mmaction2 share: configs and weights that cannot execute anything."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.networks.checkpoints import read_checkpoint


def read_config(config: str, package: str) -> Any:
    """An OpenMMLab config: one that the installed package ships, or a YAML or JSON dump.

    Python configs from elsewhere are refused, because reading one runs it.

    Raises:
        InputError: there is no such config, or it is a Python file that the package does not ship.
    """
    engine = import_extra("mmengine.config", "openmmlab")
    shipped = Path(str(metadata.distribution(_distribution(package)).locate_file(package))) / ".mim" / "configs"
    path = shipped / config
    if not (path.is_file() and path.resolve().is_relative_to(shipped.resolve())):
        path = Path(config)
        if path.suffix == ".py":
            raise InputError(f"{config}: a Python config would be executed; dump it with mmengine's Config.dump to .yaml or .json")
        if not path.is_file():
            raise InputError(f"{config}: no such file, and no config that {package} ships")
    try:
        return engine.Config.fromfile(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{config}: not an OpenMMLab config ({error})") from None


def _distribution(package: str) -> str:
    names = metadata.packages_distributions().get(package)
    if not names:
        raise InputError(f"{package} is not installed; it comes with the extra openmmlab: make .venv-openmmlab/installed")
    return names[0]


def fill(model: nn.Module, weights: str) -> dict[str, Any]:
    """Load a checkpoint's tensors into a model, and give its `meta`.

    Raises:
        InputError: it holds pickled objects, or the tensors are not the model's.
    """
    tensors, meta = read_checkpoint(Path(weights))
    expected = model.state_dict()
    both = expected.keys() & tensors.keys()
    computed = {name for name in expected.keys() - tensors.keys() if name.endswith(("relative_position_index", "project"))}
    wrong = sorted((expected.keys() ^ tensors.keys()) - computed) + [name for name in both if tensors[name].shape != expected[name].shape]
    if wrong:
        raise InputError(f"{weights}: weights of another model than the config's: {len(wrong)} tensors differ, first {wrong[0]!r}")
    model.load_state_dict(tensors, strict=False)
    return dict(meta)


def stand_in_for_imgaug() -> None:
    """onedl-mmdetection imports imgaug for lane data sets, and imgaug has no release that runs on NumPy 2."""
    for name in ("imgaug", "imgaug.augmenters", "imgaug.augmentables", "imgaug.augmentables.lines", "imgaug.augmentables.segmaps"):
        if name not in sys.modules:
            module = _Anything(name)
            sys.modules[name] = module
            parent, _, last = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], last, module)


class _Anything(ModuleType):
    """A module in which every name is a class that nobody uses."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []  # a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})
