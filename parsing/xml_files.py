"""XML files, read from strangers: no entities and no document types, bounded depth and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from parsing.errors import InputError
from parsing.memory import memory_budget, read_bounded

MAX_DEPTH = 100
_MEMORY_OF_ELEMENT = 600  # bytes that `<a b="c"/>` takes as an object, about


def read_xml(path: Path) -> Element:
    """The root element of a file.

    Raises:
        InputError: it cannot be read, is no XML, declares a document type (and with it entities), nests deeper than 100, or
            would not fit into half of the free memory.
    """
    data, free = read_bounded(path, memory_budget()), memory_budget()
    needed = 4 * len(data) + _MEMORY_OF_ELEMENT * data.count(b"<")
    if needed > free:
        sizes = f"up to {needed / 2**20:.0f} MiB in memory, of which {free / 2**20:.0f} MiB may be used now"
        raise InputError(f"{path}: {sizes}; split the file")
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise InputError(f"{path}: nests deeper than {MAX_DEPTH} elements")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: Any) -> NoReturn:
        raise InputError(f"{path}: declares a document type, which may hold entities; expected plain XML")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter of encodings
        raise InputError(f"{path}: not XML, or cut off ({error})") from None
    return builder.close()
