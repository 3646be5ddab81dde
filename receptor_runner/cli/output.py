"""What the commands print: lists and records on standard output, complaints on standard error.

Rules: what comes from a mesh or a job is a stranger's. All of it passes the gate in ``results/terminal.py``, and no
other module of the command line prints what a stranger said."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ..errors import OutputError
from .context import about

if TYPE_CHECKING:
    from ..results.printer import JobPrinter
    from .options import PrintOptions, ShowOptions

__all__ = ["complain", "job_printer", "print_json", "print_table", "printed", "say", "table_lines", "text_of"]


def complain(text: str) -> None:
    """One line on standard error."""
    from ..results.terminal import one_line

    about.wipe()
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"receptor-runner: {one_line(text)}\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """One line on standard output."""
    from ..results.terminal import one_line

    click.echo(one_line(text))


def text_of(exc: BaseException) -> str:
    """An error with its hint."""
    hint = getattr(exc, "hint", None)
    return f"{str(exc).rstrip('.')}; {hint}" if hint else str(exc)


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    for line in table_lines(head, rows):
        say(line)


def table_lines(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The lines of a table, its columns as wide as what is in them."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()


def print_json(data: object) -> None:
    click.echo(json.dumps(data, indent=1, default=str))


def printed(printer: JobPrinter | None, code: int) -> int:
    """``code``, unless it is that of a success whose output could not be printed."""
    if printer is None or printer.error is None:
        return code
    complain(f"cannot write to standard output: {printer.error}; the artifacts have all of it")
    return code or OutputError.exit_code


def job_printer(options: PrintOptions | ShowOptions, output: str = "text") -> JobPrinter | None:
    """What prints the output of a job; None if nothing is to be printed.

    :param output: with ``json`` the one object at the end is all that is printed.
    """
    from ..results.printer import JSONPrinter, TextPrinter

    if options.quiet or sys.stdout is None or output == "json":
        return None
    terminal = sys.stdout.isatty()
    if options.json_mode:
        return JSONPrinter(sys.stdout.buffer, terminal=terminal)
    return TextPrinter(sys.stdout.buffer, terminal=terminal, colour=_colour(options.color, terminal=terminal))


def _colour(wanted: str, *, terminal: bool) -> bool:
    if wanted == "auto":
        return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted == "always"
