"""Copies a project for one job, so that several jobs of one project do not meet in its directory.

Rules: links stay links. If something cannot be copied, that is an error that names it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import ConfigurationError, OutputError
from ..isolation.files import make_directory

__all__ = ["copied_project"]


def copied_project(project: Path, base: str, own: Callable[[str], None], tick: Callable[[], None]) -> Path:
    """A new directory below ``base`` with what is in ``project``.

    :param own: told of it before it is made.
    :param tick: called for each file; what it raises ends the copying.
    :raises ConfigurationError: ``base`` is in the project.
    :raises InputError: there is no directory ``base`` to write to.
    :raises OutputError: the copy cannot be made.
    """
    if Path(os.path.realpath(base)).is_relative_to(os.path.realpath(project)):
        raise ConfigurationError(
            f"directory_isolation_base_path {base} is in the project, which would be copied into itself"
        )
    copy = make_directory(base, "receptor-runner-project-", own, "directory_isolation_base_path")

    def copy_file(source: str, target: str) -> None:
        tick()
        shutil.copy2(source, target)

    try:
        shutil.copytree(project, copy, symlinks=True, copy_function=copy_file, dirs_exist_ok=True)
    except (OSError, shutil.Error) as exc:
        raise OutputError(f"cannot copy the project {project} to {copy}: {_reason(exc)}") from exc
    return Path(copy)


def _reason(exc: Exception) -> str:
    if isinstance(exc, shutil.Error):
        source, _, reason = exc.args[0][0]
        return f"{source}: {reason}"
    return str(exc)
