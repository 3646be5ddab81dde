"""Starts a part of this package as a process of its own.

Rules: the new process has the interpreter, the package and the module path of this one. It takes nothing from the
environment or the working directory, so a ``json.py`` that lies there is not imported. It does without ``site``,
because the module path is complete."""

from __future__ import annotations

import json
import sys
from pathlib import Path

__all__ = ["python_argv"]

_BOOT = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "sys.exit(importlib.import_module(sys.argv.pop(1)).main())"
)


def python_argv(module: str, *arguments: str) -> list[str]:
    """An argument vector that calls ``main()`` of ``module`` with ``arguments`` in ``sys.argv``."""
    package = str(Path(__file__).resolve().parents[2])
    path = [package, *(part for part in sys.path if part and part != package)]
    return [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps(path), module, *arguments]
