"""What is around a command that runs isolated, as plain data: the guard needs it to stop the command.

Rules: loads next to nothing, because each guard has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .kinds import DOCKER, PODMAN

__all__ = ["Isolated"]


@dataclass
class Isolated:
    """``kind`` is ``podman``, ``docker`` or ``bwrap``; ``program`` is what runs inside.

    ``env`` and ``cwd`` are those that an engine or sandbox is started with; None if the command's own are meant. The
    other attributes are a container's, empty for a sandbox."""

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

    @property
    def container(self) -> bool:
        return self.kind in (PODMAN, DOCKER)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Isolated:
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})
