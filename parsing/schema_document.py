"""docs/parse.md: parse.json field by field, made from its JSON Schema.

`python -m parsing.schema_document > docs/parse.md`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parsing.document import json_schema
from parsing.entries import SCHEMA_VERSION

_HEAD = f"""# parse.json

Made by `python -m parsing.schema_document > docs/parse.md` from `parsing/parse.schema.json`, version {SCHEMA_VERSION}.

Boxes are pixels of the displayed frame: upright, mirrored where the file asks for it, with square pixels. Times are seconds from
the first frame. Frames count from 0 in the order in which they are shown. There are no other keys than these. `VideoParse.load`
reads every version that `schema_version` names.
"""
Node = Mapping[str, Any]


def markdown() -> str:
    """The whole document."""
    schema = json_schema()
    sections = [("The document", schema), *((name, schema["$defs"][name]) for name in _order(schema))]
    return "\n".join([_HEAD, *(line for name, node in sections for line in _section(name, node))])


def _order(schema: Node) -> list[str]:
    """The entries in the order in which one comes to them from the document."""
    found: dict[str, None] = {}

    def visit(node: Any) -> None:
        for name in _named(node):
            if name not in found:
                found[name] = None
                visit(schema["$defs"][name])

    visit({key: value for key, value in schema.items() if key != "$defs"})
    return list(found)


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)


def _section(name: str, node: Node) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{node['description']}\n"
    yield "| field | type | values |"
    yield "|---|---|---|"
    required = node.get("required", ())
    for field, kind in node["properties"].items():
        limits = [*_limits(kind)]
        if field not in required:
            limits.append(f"may be absent: {_shown(kind.get('default'))}" if "default" in kind else "may be absent")
        yield f"| `{field}` | {_type(kind)} | {'; '.join(limits)} |"
    yield ""


def _type(node: Node) -> str:
    """What a value is, in words."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in node:
        return " or ".join(_type(one) for one in node["anyOf"])
    if "const" in node:
        return _shown(node["const"])
    if "enum" in node:
        return " or ".join(map(_shown, node["enum"]))
    if node["type"] == "array":
        items = node.get("prefixItems")
        return f"list of {len(items)}: {_type(items[0])}" if items else f"list of {_type(node['items'])}"
    if node["type"] == "object":
        return f"object by name: {_type(node['additionalProperties'])}"
    return str(node["type"])


def _limits(node: Node) -> Iterator[str]:
    """The bounds of a number, of one inside too."""
    if "minimum" in node or "maximum" in node:
        yield f"{_number(node.get('minimum', '…'))} to {_number(node.get('maximum', '…'))}"
    inner = [*node.get("anyOf", ()), *node.get("prefixItems", ())[:1], *(node[key] for key in ("items",) if key in node)]
    if isinstance(node.get("additionalProperties"), Mapping):
        inner.append(node["additionalProperties"])
    for one in inner:
        yield from _limits(one)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    return "null" if value is None else f'`"{value}"`' if isinstance(value, str) else f"`{value}`".lower()


if __name__ == "__main__":
    print(markdown(), end="")
