"""How to start a part of this package as a process of its own.

Rules: the same interpreter, package and module path as this process, nothing from the environment or the working
directory: a ``json.py`` lying there is not imported. ``site`` is not needed, because the module path is complete."""

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
