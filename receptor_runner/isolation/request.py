"""What isolation a job asks for.

Rules: names, defaults and precedence are ansible-runner's. A value that makes no sense is an error that names it.
Nothing is looked up on this machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ConfigurationError
from ..job.resolved import ResolvedJob
from ..system.arguments import passable
from .kinds import DOCKER, PODMAN, SANDBOX

__all__ = ["Credentials", "IsolationRequest"]

_TRUE = ("true", "yes", "on", "1")
_LONGEST_FLAG = 10
_FALSE = ("false", "no", "off", "0", "")


@dataclass(frozen=True)
class Credentials:
    """For the registry of an image."""

    host: str
    username: str
    password: str
    verify_ssl: bool


@dataclass(frozen=True)
class IsolationRequest:
    """``kind`` is one of ``podman``, ``docker``, ``bwrap``, and empty for none. Paths are as they were given."""

    kind: str
    executable: str = ""
    image: str = ""
    volume_mounts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    workdir: str = ""
    host_cwd: str = ""
    credentials: Credentials | None = None
    temporary: str = ""
    hide: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    project_copies: str = ""
    keep_project_copy: bool = False

    @property
    def container(self) -> bool:
        return self.kind in (PODMAN, DOCKER)

    @property
    def sandbox(self) -> bool:
        return self.kind == SANDBOX

    def with_roles(self, paths: Sequence[str]) -> IsolationRequest:
        """The same with directories of roles on this machine, to be read."""
        absolute = tuple(map(os.path.abspath, paths))
        if self.sandbox:
            return replace(self, read_only=(*self.read_only, *absolute))
        mounts = tuple(f"{path}:{path}:ro" for path in absolute)
        return replace(self, volume_mounts=(*self.volume_mounts, *mounts)) if self.container else self

    @staticmethod
    def may_be_asked_for(value: object) -> bool:
        """Whether ``process_isolation`` with this value is more than a no: what cannot be understood may be a yes."""
        return value is not None and str(value)[:_LONGEST_FLAG].lower() not in _FALSE

    @classmethod
    def of(cls, job: ResolvedJob) -> IsolationRequest:
        """:raises ConfigurationError: a value cannot be used."""
        given = _Given(job)
        if not given.flag("process_isolation", default=False):
            return cls("", **_project_copies(given))
        executable = given.text("process_isolation_executable") or PODMAN
        kind = _kind(executable)
        image = given.text("container_image")
        if kind != SANDBOX and not image:
            raise ConfigurationError(f"container_image required when specifying process_isolation_executable={kind}")
        return cls(
            kind,
            executable,
            image,
            volume_mounts=given.texts("container_volume_mounts"),
            options=given.texts("container_options", split=True),
            workdir=given.text("container_workdir"),
            host_cwd=given.text("host_cwd"),
            credentials=_credentials(given.mapping("container_auth_data")),
            temporary=given.text("process_isolation_path"),
            hide=given.texts("process_isolation_hide_paths"),
            show=given.texts("process_isolation_show_paths"),
            read_only=given.texts("process_isolation_ro_paths"),
            **_project_copies(given),
        )


def _project_copies(given: _Given) -> dict[str, Any]:
    return {
        "project_copies": given.text("directory_isolation_base_path"),
        "keep_project_copy": not given.flag("directory_isolation_cleanup", default=True),
    }


def _kind(executable: str) -> str:
    """A wrapper of an engine has the engine's name in its own. Any other program takes the arguments of ``bwrap``."""
    name = os.path.basename(executable)
    return next((engine for engine in (PODMAN, DOCKER) if engine in name), SANDBOX)


def _credentials(data: Mapping[str, Any]) -> Credentials | None:
    if not data:
        return None
    host = data.get("host")
    if not host:
        raise ConfigurationError("container_auth_data has no host; name the registry that the credentials are for")
    return Credentials(
        _passable("container_auth_data host", str(host)),
        _passable("container_auth_data username", str(data.get("username") or "")),
        _passable("container_auth_data password", str(data.get("password") or "")),
        verify_ssl=_flag("container_auth_data verify_ssl", data.get("verify_ssl", True)),
    )


def _flag(name: str, value: object) -> bool:
    text = type(value).__name__ if isinstance(value, (dict, list)) else str(value).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ConfigurationError(f"{name} must be true or false, not {text[:80]!r}")


class _Given:
    """The settings of a job, each with the type that it must have."""

    def __init__(self, job: ResolvedJob) -> None:
        self._job = job

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._job.setting(name)
        return default if value is None else _flag(name, value)

    def text(self, name: str) -> str:
        value = self._job.setting(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ConfigurationError(f"{name} must be a text, not {type(value).__name__}")
        return _passable(name, value)

    def texts(self, name: str, *, split: bool = False) -> tuple[str, ...]:
        """A list; one text is a list of one, or a command line if ``split``."""
        value = self._job.setting(name)
        if value is None:
            return ()
        if isinstance(value, str):
            _passable(name, value)
            return _words(name, value) if split else (value,)
        if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
            raise ConfigurationError(f"{name} must be a list of texts")
        return tuple(_passable(name, one) for one in value)

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self._job.setting(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ConfigurationError(f"{name} must be a dictionary, not {type(value).__name__}")
        return value


def _passable(name: str, text: str) -> str:
    """:raises ConfigurationError: neither a path nor an argument can be this text."""
    if passable(text):
        return text
    raise ConfigurationError(f"{name} cannot be passed to a program: {text[:80]!r}")


def _words(name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as exc:
        raise ConfigurationError(f"{name} cannot be split into words: {exc}") from exc
