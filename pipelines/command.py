"""What the command lines share: options, devices, what a config reads, and errors a person can read."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsing.console import PrintableFormatter, complain, open_standard_streams
from parsing.errors import InputError
from parsing.files import claim_outputs
from parsing.folders import claim_folder

if TYPE_CHECKING:
    from parsing.media.addresses import Address

PROGRAM = "partwise"
USAGE_ERROR = 2
_WRITTEN = ("out", "save", "sheet", "fit_thresholds")  # arguments that name outputs
INTERRUPTED = 130  # as shells tell a process that a signal ended: 128 and the number of the signal
_ASSIGNMENT = re.compile(r"[A-Za-z_][\w.]*=")


class CommandParser(argparse.ArgumentParser):
    """The parser of the command `partwise NAME`; several settings may follow one `--set`.

    Args:
        settings: as of `argparse.ArgumentParser`.
    """

    def __init__(self, name: str = "", **settings: Any) -> None:
        super().__init__(**({"prog": f"{PROGRAM} {name}"} | settings))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_known_args(_one_each(sys.argv[1:] if args is None else args), namespace)


def _one_each(words: Iterable[str]) -> list[str]:
    """`--set a=1 b=2` as `--set a=1 --set b=2`: argparse would take the sources that follow for settings, too."""
    result: list[str] = []
    place = ""  # of the word before: the option, or one of its settings
    for word in words:
        if word == "--set":
            place = "option"
        elif place == "option" or word.startswith("--set="):
            place = "setting"
        elif place == "setting" and _ASSIGNMENT.match(word):
            result.append("--set")
        else:
            place = ""
        result.append(word)
    return result


def add_output_options(parser: argparse._ActionsContainer) -> None:
    """The options of every command that writes files."""
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    add_message_options(parser)


def add_message_options(parser: argparse._ActionsContainer) -> None:
    """The options of every command."""
    parser.add_argument("--quiet", action="store_true", help="no progress, errors only")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--offline", action="store_true", help="download nothing, as PARTWISE_OFFLINE=1 does")


def add_set_option(parser: argparse._ActionsContainer, example: str) -> None:
    """The option of every command that reads a config; see `parsing.configs.override`."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"override settings, one or several, e.g. {example}"
    )


def add_device_option(parser: argparse._ActionsContainer) -> None:
    """The option of every command that runs networks; see `torch_device`."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the networks run (default: auto)")


def claim(
    arguments: argparse.Namespace,
    outputs: Iterable[Path],
    *settings: Any,
    inputs: Iterable[Path] = (),
    going_on: bool = False,
    folders: bool = False,
) -> None:
    """Claim the outputs of a command, see `claim_outputs`.

    Args:
        settings: configs; what they name is read, as is every path among the arguments that is not written.
        inputs: further files that are read.
        going_on: the command goes on with outputs of its own that exist.
        folders: the outputs are folders, see `claim_folder`.
    """
    given = [value for name, value in vars(arguments).items() if name not in _WRITTEN]
    paths = [value for value in given if isinstance(value, Path) or (isinstance(value, list) and all(isinstance(v, Path) for v in value))]
    read = [*inputs, *files_named([paths, *settings])]
    if not folders:
        claim_outputs(outputs, read, overwrite=arguments.overwrite or going_on)
    for folder in outputs if folders else ():
        claim_folder(folder, read, overwrite=arguments.overwrite)


def files_named(settings: Any) -> list[Path]:
    """Files that a config names: weights, annotations, lists, recordings.

    A name counts by itself and below every `root` that the config names; a folder stands for the files in it, but a `root`
    does not, as what is read of it is named beside it.

    Args:
        settings: a typed config, or plain data.
    """
    from parsing.networks.weights import weights_path  # late: it loads PyTorch

    named = list(_strings(settings))
    roots = [Path(text) for key, text in named if key == "root"]
    paths = [weights_path(text) for key, text in named if key != "root"]
    return [file for path in paths for base in (Path(), *roots) for file in files_in(base / path)]


def files_in(path: Path) -> list[Path]:
    """The file itself, or the files of a folder; nothing where there is neither."""
    try:
        return [entry for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path] if path.is_file() else []
    except (OSError, ValueError):  # a setting that is no name of a file: too long, or with a null byte
        return []


def _strings(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a config, with the key that it stands under."""
    if isinstance(settings, (str, Path)):
        yield key, str(settings)
    elif dataclasses.is_dataclass(settings):
        for field in dataclasses.fields(settings):
            yield from _strings(getattr(settings, field.name), field.name)
    elif isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from _strings(value, str(name))
    elif isinstance(settings, (list, tuple)):
        for value in settings:
            yield from _strings(value, key)


def torch_device(name: str) -> str:
    """`cpu` or `cuda`; `auto` takes a GPU where there is one.

    Raises:
        InputError: CUDA is asked for and is not there.
    """
    import torch  # late: help and usage errors need not wait for it

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; use auto or cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def run_command(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], int]) -> None:
    """Run a command line and exit: one line on stderr for whatever goes wrong, a traceback only with `--debug`."""
    open_standard_streams()
    arguments = parser.parse_args()
    log_to_stderr(logging.WARNING if arguments.quiet else logging.INFO)
    if arguments.offline:
        os.environ |= {"PARTWISE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}  # the latter is of timm's weights
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # so that blocks end, and with them temporary files
    try:
        sys.exit(main(arguments))
    except KeyboardInterrupt:
        if arguments.debug:
            raise
        complain("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if arguments.debug:
            traceback.print_exc()
        complain(f"error: {describe(error)}")
        sys.exit(USAGE_ERROR if isinstance(error, InputError) else 1)


def log_to_stderr(level: int) -> None:
    """Send messages from this level on to stderr, each as one printable line; every process that parses calls it once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter())
    logging.basicConfig(level=level, handlers=[handler])


def _leave(number: int, _frame: object) -> None:
    complain("terminated")
    sys.exit(128 + number)


def complain_of(source: Path | Address, error: Exception, debug: bool) -> str:
    """Say in one line on stderr that a source failed, with the traceback before it where it is asked for; the line."""
    if debug:
        traceback.print_exception(error)
    text = describe(error)
    line = text if source.name in text or (isinstance(error, OSError) and error.filename) else f"{source}: {text}"
    complain(f"error: {line}")
    return line


def describe(error: Exception) -> str:
    """One line for an error; names the file of an operating system's refusal, and the kind of what nobody expected."""
    if isinstance(error, OSError) and error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, (InputError, OSError, FloatingPointError)):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (--debug shows where)"
