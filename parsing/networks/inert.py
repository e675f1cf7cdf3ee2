"""Tensors out of PyTorch files that also hold objects of other libraries, of which nothing executes.

A pickle is a program that names functions and calls them. Here no name is ever looked up: each becomes an `Inert`, and so
does whatever the program makes of it. Three names alone have a meaning, which is written here: ordered dictionaries, a
tensor over a storage, and a parameter. The machine is Python's own, its instructions that call something replaced.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import torch
from torch import Tensor

_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16, "CharStorage": torch.int8,
    "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_OLD_MAGIC, _OLD_VERSION = 0x1950A86A20F9469CFC6C, 1001  # what files from before PyTorch 1.6 begin with
StorageOf = Callable[[str, torch.dtype, int], Tensor | None]  # key, kind and number of values -> the values


class Inert:
    """Stands for an object of a class that is not known here, or for the class; what is put into it is dropped."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    add = extend = append


class InertUnpickler(pickle._Unpickler):
    """Python's unpickler without a call to anything that a file names.

    Args:
        storage_of: gives the values of a storage; None stands for values that are not read yet.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    del dispatch[pickle.BYTEARRAY8[0]]  # it allocates whatever it is told to

    def __init__(self, file: IO[bytes], storage_of: StorageOf) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.storage_of, self.passed_over = storage_of, set[str]()

    def find_class(self, module_name: str, global_name: str) -> Inert:
        return Inert(f"{module_name}.{global_name}")

    def get_extension(self, code: int) -> None:
        self.append(Inert(f"extension {code}"))

    def persistent_load(self, pid: Any) -> Tensor | Inert | None:
        if pid[0] == "module":  # a class with its source, in files from before 1.6
            return Inert(pid[1].name)
        _storage, kind, key, _place, count = pid[:5]
        dtype = _DTYPES.get(kind.name.rpartition(".")[2])
        if dtype is None or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError(f"storage {pid!r:.80}")
        return self.storage_of(str(key), dtype, count)

    def _made(self, maker: Any, arguments: Any) -> Any:
        """What a call gives."""
        name = maker.name if isinstance(maker, Inert) else type(maker).__name__
        if name in ("collections.OrderedDict", "collections.defaultdict"):
            return dict(arguments[0]) if name.endswith("OrderedDict") and arguments else {}
        if name in _TENSORS:
            return _tensor(*arguments[:4])
        if name == "torch._utils._rebuild_parameter":
            return arguments[0]
        self.passed_over.add(name)
        return Inert(name)

    def _instantiate(self, maker: Any, arguments: Any) -> None:  # INST and OBJ
        self.append(self._made(maker, arguments))

    def _call(self) -> None:  # REDUCE and NEWOBJ
        arguments = self.stack.pop()
        self.stack[-1] = self._made(self.stack[-1], arguments)

    def _call_with_keywords(self) -> None:  # NEWOBJ_EX
        self.stack.pop()
        self._call()

    def _ignore_state(self) -> None:  # BUILD
        self.stack.pop()

    dispatch |= dict.fromkeys((pickle.REDUCE[0], pickle.NEWOBJ[0]), _call)
    dispatch |= {pickle.NEWOBJ_EX[0]: _call_with_keywords, pickle.BUILD[0]: _ignore_state}


def _tensor(storage: Tensor | None, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor | Inert:
    if storage is None:
        return Inert("torch.Tensor")
    if offset < 0 or min((*size, *stride), default=0) < 0:
        raise pickle.UnpicklingError(f"tensor of size {size} and stride {stride}")
    return storage.as_strided(size, stride, offset)  # refuses what lies outside


def read_pytorch(path: Path) -> tuple[Any, set[str]]:
    """What a PyTorch file holds, and the names of the classes that were passed over; of either form, before and after 1.6.

    PyTorch reads it itself where there are tensors and plain values alone.

    Raises:
        Exception: of many kinds, where the file is damaged or made to do harm.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True), set()
    except pickle.UnpicklingError:
        return _read_zip(path) if zipfile.is_zipfile(path) else _read_old(path)


def _read_zip(path: Path) -> tuple[Any, set[str]]:
    with zipfile.ZipFile(path) as archive:
        program = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = program.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise pickle.UnpicklingError("numbers in big-endian order")
        found: dict[str, Tensor] = {}

        def storage_of(key: str, dtype: torch.dtype, count: int) -> Tensor:
            if key not in found:
                found[key] = _values(archive.read(f"{folder}data/{key}"), dtype, count)
            return found[key]

        machine = InertUnpickler(io.BytesIO(archive.read(program)), storage_of)
        return machine.load(), machine.passed_over


def _read_old(path: Path) -> tuple[Any, set[str]]:
    """Storages stand behind the program that uses them, so it runs twice: to learn what they are, and with them."""
    kinds: dict[str, tuple[torch.dtype, int]] = {}
    size = path.stat().st_size

    def note(key: str, dtype: torch.dtype, count: int) -> None:
        kinds[key] = dtype, count

    with path.open("rb") as file:
        magic, version, _ = (InertUnpickler(file, note).load() for _ in range(3))
        if (magic, version) != (_OLD_MAGIC, _OLD_VERSION):
            raise pickle.UnpicklingError("no PyTorch file")
        start = file.tell()
        InertUnpickler(file, note).load()
        found = {}
        for key in map(str, InertUnpickler(file, note).load()):
            dtype, count = kinds[key]
            if struct.unpack("<q", file.read(8)) != (count,) or count > size:
                raise pickle.UnpicklingError(f"storage {key:.40} has another length than the file says")
            found[key] = _values(file.read(count * dtype.itemsize), dtype, count)
        file.seek(start)
        machine = InertUnpickler(file, lambda key, _dtype, _count: found[key])
        return machine.load(), machine.passed_over


def _values(data: bytes, dtype: torch.dtype, count: int) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise pickle.UnpicklingError(f"storage of {len(data)} bytes, expected {count * dtype.itemsize}")
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
