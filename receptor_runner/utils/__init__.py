"""Helpers that controllers call by the names they have in ``ansible_runner.utils``.

``capacity`` is also used by this package. Nothing else of it belongs here."""

from __future__ import annotations

import importlib
import shlex
from typing import Any

__all__ = ["args2cmdline"]


def args2cmdline(*args: str) -> str:
    """The arguments as one line for a shell."""
    return " ".join(shlex.quote(argument) for argument in args)


def __getattr__(name: str) -> Any:
    if name == "capacity":
        return importlib.import_module(f"{__name__}.capacity")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
