"""Checks of this machine: what runs here, where it keeps what it knows, and whether there is room."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata

from .. import __version__
from ..errors import ConfigurationError, OutputError, ReceptorRunnerError
from ..preparation.ansible_version import core_version
from ..preparation.environment import bare_environment_filled
from ..records.state_dir import jobs_directory
from ..system.places import temporary_place
from .finding import Finding, fault, ok, room

__all__ = ["machine_findings"]

_GROUP = "This machine"


def machine_findings(*, runs_jobs: bool) -> Iterator[Finding]:
    """:param runs_jobs: whether jobs run on this machine, because no mesh is named."""
    client = metadata.version("receptorctl")
    text = f"receptor-runner {__version__}, Python {platform.python_version()}, receptorctl {client}"
    yield ok(_GROUP, "versions", text)
    yield from _state_directory()
    yield _room("the directory of temporary files", temporary_place())
    if runs_jobs:
        yield _ansible()


def _state_directory() -> Iterator[Finding]:
    try:
        directory = str(jobs_directory())
        with tempfile.NamedTemporaryFile(dir=directory, prefix="."):
            pass
    except ReceptorRunnerError as exc:
        yield fault(_GROUP, "state-directory", str(exc), exc.exit_code)
        return
    except OSError as exc:
        text = f"cannot write to {exc.filename or 'the state directory'}: {exc.strerror}"
        yield fault(_GROUP, "state-directory", text, OutputError.exit_code)
        return
    yield ok(_GROUP, "state-directory", f"jobs are noted in {directory}")
    yield _room("the state directory", directory)


def _room(what: str, directory: str) -> Finding:
    try:
        free = shutil.disk_usage(directory).free
    except OSError as exc:
        return fault(_GROUP, "disk", f"{what}, {directory}, cannot be used: {exc.strerror}", OutputError.exit_code)
    return room(_GROUP, "disk", f"in {what}, {directory}", free)


def _ansible() -> Finding:
    version = core_version("ansible-playbook", bare_environment_filled(os.environ, "/")["PATH"])
    if version is None:
        text = "no mesh is named, so jobs run here, and there is no ansible-playbook on PATH or beside this program"
        return fault(_GROUP, "ansible-here", text, ConfigurationError.exit_code)
    return ok(_GROUP, "ansible-here", f"ansible-core {version}")
