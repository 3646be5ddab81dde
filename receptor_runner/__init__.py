"""Run Ansible across a Receptor mesh: transmit a job, work on it elsewhere, process what comes back.

``run``, ``run_async``, ``interface`` and ``utils`` have the shape of ``ansible_runner``'s. Everything is loaded on
first use, so that a command pays only for what it needs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import cleanup, errors, interface, utils
    from .interface import run, run_async
    from .mesh.client import Mesh
    from .mesh.job import Job
    from .mesh.submitted import Outcome, SubmittedJob

__version__ = "0.1.0"
__all__ = [
    "Job",
    "Mesh",
    "Outcome",
    "SubmittedJob",
    "__version__",
    "cleanup",
    "errors",
    "interface",
    "run",
    "run_async",
    "utils",
]

_MODULES = ("cleanup", "errors", "interface", "utils")
_NAMES = {
    "run": "interface",
    "run_async": "interface",
    "Job": "mesh.job",
    "Mesh": "mesh.client",
    "Outcome": "mesh.submitted",
    "SubmittedJob": "mesh.submitted",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
