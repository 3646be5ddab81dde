"""Where this user's jobs and private nodes are kept: ``$XDG_STATE_HOME/receptor-runner``.

Rules: each path is written once, here; directories are private. Nothing here is ever reached by the files of a job.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from ..errors import ConfigurationError, OutputError
from ..system.files import make_private

__all__ = ["jobs_directory", "nodes_directory", "owner", "state_directory"]


def state_directory() -> Path:
    """After the XDG base directory specification; relative values are ignored, as it says.

    :raises ConfigurationError: this user has no home directory, and nothing else is named.
    :raises OutputError: it cannot be made.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
    except RuntimeError as exc:
        text = "this user has no home directory, so there is no place for what is known of jobs"
        raise ConfigurationError(text, hint="set HOME or XDG_STATE_HOME") from exc
    return _made(base / "receptor-runner")


def jobs_directory() -> Path:
    return _made(state_directory() / "jobs")


def nodes_directory() -> Path:
    return _made(state_directory() / "nodes")


def owner() -> str:
    """A name for this state directory that no other has; our work units carry it."""
    path = state_directory() / "owner"
    with contextlib.suppress(FileNotFoundError):
        return _read_owner(path)
    aside = path.with_name(f".owner.{uuid.uuid4().hex}")
    try:
        aside.write_text(uuid.uuid4().hex + "\n", encoding="ascii")
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror}") from exc
    return _read_owner(path)


def _read_owner(path: Path) -> str:
    """:raises FileNotFoundError: there is none yet.
    :raises ConfigurationError: it is damaged.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text.isalnum():
        raise ConfigurationError(f"the file {path} is damaged", hint="remove it; prune then finds no older units")
    return text


def _made(directory: Path) -> Path:
    try:
        make_private(directory)
    except OSError as exc:
        raise OutputError(f"cannot make the state directory {directory}: {exc.strerror}") from exc
    return directory
