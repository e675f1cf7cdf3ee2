"""What the command lines share: devices, and errors a person can read."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable

from parsing.errors import InputError

USAGE_ERROR = 2
INTERRUPTED = 130


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
    """Run a command line and exit: one line on stderr for an error that a user can mend, a traceback only with `--debug`."""
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING if arguments.quiet else logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        sys.exit(main(arguments))
    except KeyboardInterrupt:
        if arguments.debug:
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (InputError, OSError, FloatingPointError) as error:
        if arguments.debug:
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        sys.exit(USAGE_ERROR if isinstance(error, InputError) else 1)


def describe(error: Exception) -> str:
    """One line for an error; names the file of an operating system's refusal."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
