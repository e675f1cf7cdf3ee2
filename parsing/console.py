"""Text for people: names and messages from outside cannot steer the terminal, fake a line, or end a command."""

from __future__ import annotations

import logging
import os
import sys


def printable(text: object) -> str:
    r"""One line without control characters: they, line breaks and bytes that are no UTF-8 are shown as `\x1b`, `\n`, `\udcff`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def say(*lines: object) -> None:
    """Print lines on stdout; a reader that has gone away is no failure of the command."""
    try:
        for line in lines:
            print(printable(line))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(message: object) -> None:
    """Print one line on stderr."""
    print(printable(message), file=sys.stderr)


class PrintableFormatter(logging.Formatter):
    """Log messages as one line; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the standard library's name
        return printable(record.getMessage())


def open_standard_streams() -> None:
    """Give the standard streams that the caller has closed a place that swallows them.

    Otherwise the next file that is opened takes their number, and what a library prints ends up in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115
        elif name != "stdin":
            getattr(sys, name).reconfigure(errors="backslashreplace")  # whatever the encoding, a name can be printed
