"""Chooses the isolation that a job asks for."""

from __future__ import annotations

from pathlib import Path

from ..job.private_data import PrivateDataDir
from .container import ContainerIsolation
from .isolation import Isolation, NoIsolation
from .request import IsolationRequest
from .sandbox import SandboxIsolation

__all__ = ["isolation_for"]


def isolation_for(
    request: IsolationRequest, private_data: PrivateDataDir, artifact_dir: Path, scratch: str, *, fresh: bool
) -> Isolation:
    """:param scratch: a directory for the job's temporary files.
    :param fresh: whether the private data dir was made for this job.
    :raises OutputError: a file for it cannot be written.
    """
    if request.container:
        return ContainerIsolation(request, private_data, artifact_dir, scratch, fresh=fresh)
    if request.sandbox:
        return SandboxIsolation(request, private_data, artifact_dir, scratch)
    return NoIsolation(scratch)
