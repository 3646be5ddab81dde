"""Runs our commands on a terminal of the test's own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pexpect

from tests.support.commands import OURS

__all__ = ["CONTROLS", "on_terminal"]

#: What moves a cursor, wipes or colours.
CONTROLS = re.compile(r"\x1b|\r(?!\n)")


def on_terminal(
    *arguments: str | Path, columns: int = 80, shell: str = "", env: dict[str, str] | None = None
) -> pexpect.spawn[str]:
    """Starts a command.

    :param shell: what stands behind it on a shell's line: ``> file``.
    """
    words = [*OURS, *map(str, arguments)]
    if shell:
        words = ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", *words]
    environ = {**os.environ, "TERM": "xterm", **(env or {})}
    child = pexpect.spawn(
        words[0], words[1:], dimensions=(24, columns), encoding="utf-8", env=environ, timeout=60, echo=False
    )
    child.delaybeforesend = None
    return child
