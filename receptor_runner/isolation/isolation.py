"""How a job is isolated: not at all, in a sandbox, or in a container; one interface for all three.

Rules: a job is prepared for the inside first, with the paths that it will see, and wrapped last. Nothing is started
here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from .isolated import Isolated
from .path_map import PathMap

__all__ = ["InnerCommand", "Isolation", "NoIsolation", "WrappedCommand"]


class InnerCommand(NamedTuple):
    """A command as the job sees it.

    :param program: what of ``argv`` is Ansible's.
    :param answers: whether prompts will be answered.
    :param hidden_in: a file that the job will see, not there yet, in the private data dir; the engine is to learn the
        words and the environment from there, because it writes down what it is told. Empty if it may be told.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    program: str
    answers: bool
    hidden_in: str = ""


class WrappedCommand(NamedTuple):
    """The command that is started. ``isolated`` is None for one that is not isolated."""

    argv: list[str]
    cwd: str
    isolated: Isolated | None


class Isolation(Protocol):
    """What is around one job."""

    #: How the job sees the paths of this machine.
    path_map: PathMap
    #: What will be made in the private data dir beside the user's files.
    mount_points: list[str]
    #: What the job's environment begins with.
    base_env: dict[str, str]

    def wrap(self, command: InnerCommand, env: Mapping[str, str]) -> WrappedCommand:
        """``command`` with what is around it.

        :param env: the environment that an engine or a sandbox is started with.
        :raises ReceptorRunnerError: the job cannot be isolated here as it asks for.
        """


class NoIsolation:
    """The job runs on this machine as it is.

    :param scratch: a directory for the job's temporary files.
    """

    def __init__(self, scratch: str) -> None:
        self.path_map = PathMap()
        self.mount_points: list[str] = []
        self.base_env: dict[str, str] = {**os.environ, "TMPDIR": scratch}

    def wrap(self, command: InnerCommand, env: Mapping[str, str]) -> WrappedCommand:
        return WrappedCommand(command.argv, command.cwd, None)
