"""What this installation has and lacks: `partwise doctor`."""

from __future__ import annotations

import argparse
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from importlib import metadata

from parsing.console import say
from parsing.networks.shipped import SHIPPED, shipped_path
from parsing.networks.zoo import home
from pipelines.command import CommandParser, add_message_options, run_command

PACKAGES = ("torch", "torchvision", "openvino", "av", "opencv-python", "timm", "numpy", "onnxruntime")
OWN = ("parsing", "detectors", "recognizers", "pipelines")  # names so common that another distribution may bring them
CODECS = ("h264", "hevc", "vp9", "av1", "mjpeg")
ENCODERS = ("libx264", "h264", "mpeg4", "aac")


class Findings:
    """Lines of what was found, and how many of them are problems."""

    def __init__(self) -> None:
        self.problems = 0

    def line(self, name: str, text: str, problem: bool = False) -> None:
        self.problems += problem
        say(f"{'!' if problem else ' '} {name:<22} {text}")


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        "doctor",
        description="Say what this installation has and lacks.",
        epilog="exit codes: 0 all good, 1 something is wrong, which a line with ! names",
    )
    add_message_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    found = Findings()
    check_versions(found)
    check_devices(found)
    check_codecs(found)
    check_files(found)
    check_names(found)
    for extra, missing in extras():
        found.line(f"extra [{extra}]", "installed" if not missing else f'pip install "partwise[{extra}]" adds {", ".join(missing)}')
    return 1 if found.problems else 0


def check_versions(found: Findings) -> None:
    found.line("python", platform.python_version())
    for name in PACKAGES:
        version = version_of(name)
        found.line(name, version or "not installed", problem=version is None and name != "onnxruntime")


def check_devices(found: Findings) -> None:
    import torch

    cuda = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found.line("processor", f"{platform.machine()}, {cores} cores")
    found.line("cuda", ", ".join(cuda) or "no device")
    try:
        import openvino

        found.line("openvino devices", ", ".join(openvino.Core().available_devices))
    except Exception as error:  # a runtime that does not start, for whatever reason
        found.line("openvino devices", str(error).partition("\n")[0], problem=True)


def check_codecs(found: Findings) -> None:
    import av
    from av.codec import Codec

    found.line("ffmpeg", ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in av.library_versions.items()))
    for mode, names in (("r", CODECS), ("w", ENCODERS)):
        missing = []
        for name in names:
            try:
                Codec(name, mode)
            except ValueError:  # av.codec.codec.UnknownCodecError is one
                missing.append(name)
        text = f"without {', '.join(missing)}" if missing else ", ".join(names)
        found.line("decoders" if mode == "r" else "encoders", text, problem=bool(missing))


def check_files(found: Findings) -> None:
    missing = [name for name in SHIPPED if not shipped_path(name).is_file()]
    found.line("shipped weights", f"missing: {', '.join(missing)}" if missing else f"{len(SHIPPED)} files", bool(missing))
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            found.line("cache", f"{folder}, can be written")
    except OSError as error:
        found.line("cache", f"{folder}: {error.strerror}; PARTWISE_HOME names another", problem=True)


def check_names(found: Findings) -> None:
    """Whether another distribution brings packages of the names that this one uses."""
    owners = metadata.packages_distributions()
    for name in OWN:
        others = sorted(set(owners.get(name, ())) - {"partwise"})
        if others:
            found.line(name, f"the package of this name comes with {', '.join(others)}, too; one hides the other", problem=True)


def extras() -> Iterator[tuple[str, list[str]]]:
    """Each extra, and what of it is not installed."""
    try:
        package = metadata.metadata("partwise")
    except metadata.PackageNotFoundError:
        return
    required = [text.partition(";") for text in metadata.requires("partwise") or ()]
    for extra in package.get_all("Provides-Extra") or ():
        condition = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
        names = [re.split(r"[^\w.-]", text)[0] for text, _, marker in required if condition.search(marker)]
        yield extra, [name for name in names if version_of(name) is None]


def version_of(distribution: str) -> str | None:
    """Of an installed distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    run_command(build_parser(), main)
