"""A job as handlers and callers of ansible_runner know it: ``runner_config``.

Rules: every parameter of a job is an attribute. Paths are absolute. What is known only when the command starts is None
or empty until then."""

from __future__ import annotations

import os
import uuid
from typing import Any

from ..stream.messages import JSONObject
from .parameters import DEFAULTS, Parameters, check_ident

__all__ = ["RunnerConfig"]


class RunnerConfig:
    """:param private_data_dir: a directory; None if it is not known.
    :param parameters: those of a job, and ``ident``, ``artifact_dir``, ``project_dir``, ``roles_path`` and
        ``rotate_artifacts``.
    :raises ConfigurationError: the ident cannot name a directory.
    """

    def __init__(self, private_data_dir: str | os.PathLike[str] | None = None, **parameters: Any) -> None:
        ident = parameters.get("ident")
        self.ident = uuid.uuid4().hex if ident in (None, "") else check_ident(ident)
        self.private_data_dir = absolute(private_data_dir) if private_data_dir is not None else None
        self.parameters: JSONObject = {**parameters, "ident": self.ident}
        root = absolute(parameters.get("artifact_dir") or os.path.join(self.private_data_dir or "", "artifacts"))
        self.artifact_dir = os.path.join(root, self.ident)
        self.settings: JSONObject = parameters.get("settings") or {}
        self.command: list[str] | None = None
        #: What a caller puts here before the job starts is in its environment. Then it is the whole environment,
        #: masked.
        self.env: dict[str, str] = {}
        self.cwd: str | None = None

    @property
    def inventory(self) -> Any:
        """The parameter, else the inventory of the private data dir if there is one."""
        own = os.path.join(self.private_data_dir or "", "inventory")
        return self.parameters.get("inventory") or (own if self.private_data_dir and os.path.exists(own) else None)

    @property
    def fact_cache(self) -> str:
        """The directory of the fact cache."""
        name = self.settings.get("fact_cache") or self.parameters.get("fact_cache") or "fact_cache"
        return os.path.join(self.artifact_dir, str(name))

    def prepare(self) -> None:
        """Checks the parameters.

        :raises ConfigurationError: one cannot be used.
        """
        Parameters.from_wire(self.parameters)

    def __getattr__(self, name: str) -> Any:
        if name in DEFAULTS:
            return self.parameters.get(name, DEFAULTS[name])
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")


def absolute(path: str | os.PathLike[str]) -> str:
    """``path`` with its ``~`` filled in, from the root."""
    return os.path.abspath(os.path.expanduser(path))
