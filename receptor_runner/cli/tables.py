"""How records and lists are printed, for people and for machines.

Rules: what comes from a mesh is a stranger's, and no escape sequence of it reaches a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["print_json", "print_table"]


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from ..results.printer import safe_for_terminal

    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        click.echo(safe_for_terminal(line.rstrip()))


def print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=1))
