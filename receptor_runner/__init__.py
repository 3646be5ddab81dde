"""Run Ansible across a Receptor mesh: transmit a job, work on it elsewhere, process what comes back.

``run``, ``run_async``, ``interface`` and ``utils`` have the shape of ``ansible_runner``'s. Everything is loaded on
first use, so that a command pays only for what it needs."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 10):  # noqa: UP036 - a node may start a worker with any Python
    found = ".".join(map(str, sys.version_info[:2]))
    raise SystemExit("receptor-runner needs Python 3.10 or newer, and " + sys.executable + " is " + found)

if TYPE_CHECKING:
    from . import cleanup, errors, exceptions, interface, utils
    from .errors import ConfigurationError
    from .exceptions import AnsibleRunnerException, CallbackError
    from .interface import run, run_async
    from .job.runner_config import RunnerConfig
    from .mesh.client import Mesh
    from .mesh.context import Following
    from .mesh.job import Job
    from .mesh.outcome import Outcome
    from .mesh.sending import PayloadWish
    from .mesh.submitted import SubmittedJob
    from .stages.local import Runner

__version__ = "0.1.0"
__all__ = [
    "AnsibleRunnerException",
    "CallbackError",
    "ConfigurationError",
    "Following",
    "Job",
    "Mesh",
    "Outcome",
    "PayloadWish",
    "Runner",
    "RunnerConfig",
    "SubmittedJob",
    "__version__",
    "cleanup",
    "errors",
    "exceptions",
    "interface",
    "run",
    "run_async",
    "utils",
]

_MODULES = ("cleanup", "errors", "exceptions", "interface", "utils")
_NAMES = {
    "AnsibleRunnerException": "exceptions",
    "CallbackError": "exceptions",
    "ConfigurationError": "errors",
    "Runner": "stages.local",
    "RunnerConfig": "job.runner_config",
    "run": "interface",
    "run_async": "interface",
    "Following": "mesh.context",
    "Job": "mesh.job",
    "Mesh": "mesh.client",
    "Outcome": "mesh.outcome",
    "PayloadWish": "mesh.sending",
    "SubmittedJob": "mesh.submitted",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
