"""No number of a config is without bounds: one that is too large is refused before anything is allocated."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pydantic.dataclasses
import pytest

PACKAGES = ("parsing", "detectors", "recognizers", "pipelines")


def configs() -> Iterator[type]:
    """Every config class of the packages."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and hasattr(value, "__pydantic_config__") and value.__module__ == module.name:
                    yield value


def unbounded(schema: Any, place: str = "") -> Iterator[str]:
    """Places of whole numbers, in the schema that pydantic checks a config by, that lack a lower or upper bound."""
    if isinstance(schema, dict):
        if schema.get("type") == "int" and not (schema.keys() & {"ge", "gt"} and schema.keys() & {"le", "lt"}):
            yield place
        for key, value in schema.items():
            yield from unbounded(value, f"{place}.{schema.get('name', key)}" if key == "schema" else place)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from unbounded(value, place)


@pytest.mark.parametrize("config", list(configs()), ids=lambda config: config.__qualname__)
def test_every_whole_number_has_bounds(config: Any) -> None:
    assert list(unbounded(config.__pydantic_core_schema__)) == []


def test_numbers_without_bounds_are_found() -> None:
    config = pydantic.dataclasses.dataclass(type("Config", (), {"__annotations__": {"size": int, "sizes": tuple[int, ...], "name": str}}))
    assert len(list(unbounded(config.__pydantic_core_schema__))) == 2  # type: ignore[attr-defined]
