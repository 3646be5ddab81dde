"""What is put around a job's command: nothing, a sandbox, or a container.

Rules: the job is made ready inside of it first, with the paths of its path_map, and put into it last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..job.private_data import PrivateDataDir
from .container import Container
from .container_env import container_environment
from .files import make_file
from .kinds import PODMAN
from .path_map import PathMap
from .request import IsolationRequest
from .sandbox import Sandbox

__all__ = ["Inside", "Isolated", "Wrapper", "wrapper_for"]


@dataclass
class Isolated:
    """What is around a command: ``kind`` is that of :class:`receptor_runner.isolation.request.IsolationRequest`,
    ``program`` what runs inside.

    ``env`` and ``cwd`` are those that an engine is started with; None if the command's own are meant. The other
    attributes are a container's, empty for a sandbox.
    """

    kind: str
    program: str
    env: dict[str, str] | None = None
    cwd: str | None = None
    name: str = ""
    #: Whether an earlier run may have left a container of that name.
    may_be_stale: bool = False
    engine: str = ""
    image: str = ""
    id_file: str = ""
    label: str = ""


class Inside(NamedTuple):
    """A command as it is inside. ``program`` is what of ``argv`` is Ansible's; ``answers``: whether prompts will be
    answered.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    program: str
    answers: bool


class Wrapper:
    """Nothing: the job runs on this machine as it is."""

    def __init__(self, scratch: str) -> None:
        self.path_map = PathMap()
        #: What will be made in the private data dir beside the user's files.
        self.mount_points: list[str] = []
        #: What the job's environment begins with.
        self.base: dict[str, str] = {**os.environ, "TMPDIR": scratch}

    def put(self, job: Inside, env: Mapping[str, str]) -> tuple[list[str], str, Isolated | None]:
        """The command with what is around it, where it runs, and what that is.

        :param env: what an engine is started with.
        :raises ReceptorRunnerError: the job's wishes cannot be met here.
        """
        return job.argv, job.cwd, None


class _InSandbox(Wrapper):
    def __init__(
        self, request: IsolationRequest, private_data: PrivateDataDir, artifact_dir: Path, scratch: str
    ) -> None:
        super().__init__(scratch)
        own = private_data.path.resolve()
        elsewhere = [str(path) for path in (private_data.cwd, artifact_dir) if not path.resolve().is_relative_to(own)]
        self._scratch = scratch
        empty = Path(scratch, ".hidden")
        make_file(empty)
        self._kind = request.kind
        self._sandbox = Sandbox(request, [str(private_data.path), *elsewhere, scratch], str(empty))
        self.path_map = self._sandbox.path_map()

    def put(self, job: Inside, env: Mapping[str, str]) -> tuple[list[str], str, Isolated | None]:
        known = {**env, "TMPDIR": self._scratch}
        carried, shell = container_environment(job.env, known, answers=False)
        argv = self._sandbox.run([*shell, *job.argv], job.program, job.env, job.cwd, env.get("PATH", ""))
        return argv, job.cwd, Isolated(self._kind, job.program, env={**known, **carried})


class _InContainer(Wrapper):
    def __init__(
        self, request: IsolationRequest, private_data: PrivateDataDir, artifact_dir: Path, scratch: str, *, fresh: bool
    ) -> None:
        super().__init__(scratch)
        self._fresh = fresh
        self._request = request
        self._container = Container(request, private_data, artifact_dir, Path(scratch))
        self._cwd = str(private_data.path)
        self.mount_points = self._container.mount_points()
        self.path_map = self._container.path_map()
        # overlay file systems of older kernels refuse what a module's atomic move needs
        self.base = {"ANSIBLE_UNSAFE_WRITES": "1"} if request.kind == PODMAN else {}

    def put(self, job: Inside, env: Mapping[str, str]) -> tuple[list[str], str, Isolated | None]:
        container = self._container
        run = container.run(job.argv, job.env, env, answers=job.answers)
        isolated = Isolated(
            self._request.kind,
            job.program,
            env=run.env,
            cwd=self._cwd,
            name=container.name,
            may_be_stale=not self._fresh,
            engine=run.engine,
            image=self._request.image,
            id_file=container.id_file,
            label=run.label,
        )
        return run.argv, container.workdir, isolated


def wrapper_for(
    request: IsolationRequest, private_data: PrivateDataDir, artifact_dir: Path, scratch: str, *, fresh: bool
) -> Wrapper:
    """:param scratch: a directory for the job's temporary files.
    :param fresh: whether the private data dir was made for this job.
    :raises OutputError: a file for it cannot be written.
    """
    if request.container:
        return _InContainer(request, private_data, artifact_dir, scratch, fresh=fresh)
    return _InSandbox(request, private_data, artifact_dir, scratch) if request.sandbox else Wrapper(scratch)
