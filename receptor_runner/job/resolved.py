"""A job as its parameters and the files of its private data dir say together.

Rules: nothing is written. The rule of precedence is here: what is in ``env`` wins over a parameter of the same name,
except for ``cmdline`` and ``ssh_key``, where the parameter wins (ansible_runner/config). What cannot be used is an
error that names it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from .parameters import Parameters
from .private_data import PrivateDataDir

__all__ = ["SETTINGS", "ResolvedJob"]

#: What ``env/settings`` may say, here or for ansible-runner.
SETTINGS = (
    "job_timeout", "idle_timeout", "pexpect_timeout", "pexpect_use_poll", "suppress_output_file",
    "suppress_ansible_output", "directory_isolation_cleanup", "fact_cache", "fact_cache_type", "ssh_key",
    "process_isolation", "process_isolation_executable", "process_isolation_path", "process_isolation_hide_paths",
    "process_isolation_show_paths", "process_isolation_ro_paths", "directory_isolation_base_path", "container_image",
    "container_volume_mounts", "container_options", "container_workdir", "container_auth_data", "cli_execenv_cmd",
    "subprocess_timeout", "omit_event_data", "only_failed_event_data",
)  # fmt: skip


#: What is in the artifact directory beside the fact cache.
_ARTIFACTS = ("stdout", "stderr", "rc", "status", "command", "job_events", "fact_cache_modified.json", "ssh_key_data")


@dataclass(frozen=True)
class ResolvedJob:
    """One job. Times are seconds, None for no limit."""

    parameters: Parameters
    settings: Mapping[str, Any]
    #: What the job asks to have in its environment.
    envvars: Mapping[str, Any]
    #: Pairs of a regular expression and the answer to what matches it, in the user's order.
    prompts: list[tuple[str, str]]
    ssh_key: str | None
    #: Options for Ansible's command.
    cmdline: str
    job_timeout: float | None
    idle_timeout: float | None
    #: Whether the command's output is kept as an artifact.
    output_files: bool
    #: The fact cache below the artifact directory; None if the job has none, or one that is configured elsewhere.
    fact_cache: str | None
    #: Whether the job names a fact cache itself, and not by default.
    fact_cache_asked: bool = False
    #: Whether an earlier job may have left the files. Then the isolation that the caller asked for is not weakened.
    used_again: bool = False

    @classmethod
    def of(cls, parameters: Parameters, private_data: PrivateDataDir, *, used_again: bool = False) -> ResolvedJob:
        """:param used_again: whether an earlier job may have left the files.
        :raises ConfigurationError: a parameter or a file of ``env`` cannot be used.
        :raises InputError: a file cannot be read.
        """
        settings = private_data.settings(parameters["settings"])
        return cls(
            parameters,
            settings,
            envvars={**parameters["envvars"], **(private_data.mapping("env/envvars") or {})},
            prompts=_prompts({**parameters["passwords"], **(private_data.mapping("env/passwords") or {})}),
            ssh_key=parameters["ssh_key"] or private_data.text("env/ssh_key") or None,
            cmdline=private_data.cmdline(parameters["cmdline"]),
            job_timeout=_seconds("timeout", parameters["timeout"])
            or _seconds("job_timeout", settings.get("job_timeout")),
            idle_timeout=_seconds("idle_timeout", settings.get("idle_timeout")),
            output_files=not _over("suppress_output_file", settings, parameters),
            fact_cache=_fact_cache(settings, parameters),
            fact_cache_asked=bool(parameters["fact_cache"])
            or not {"fact_cache", "fact_cache_type"}.isdisjoint(settings),
            used_again=used_again,
        )

    @property
    def ident(self) -> str:
        return self.parameters.ident

    def setting(self, name: str) -> Any:
        """What ``env/settings`` says, else the parameter of that name; None if neither is there."""
        given = self.parameters.values.get(name)
        if self.used_again and self.parameters["process_isolation"] and name != "container_image":
            return given
        return self.settings.get(name, given)


def _over(name: str, settings: Mapping[str, Any], parameters: Parameters) -> Any:
    return settings.get(name, parameters[name])


def _fact_cache(settings: Mapping[str, Any], parameters: Parameters) -> str | None:
    if _over("fact_cache_type", settings, parameters) != "jsonfile":
        return None
    name = _over("fact_cache", settings, parameters) or "fact_cache"
    if not isinstance(name, str):
        raise ConfigurationError(f"fact_cache must be a text, not {type(name).__name__}")
    if name.strip("/").split("/")[0] in _ARTIFACTS:
        raise ConfigurationError(f"fact_cache cannot be {name[:80]!r}: an artifact has that name")
    return name


def _prompts(passwords: Mapping[str, Any]) -> list[tuple[str, str]]:
    prompts = []
    for pattern, answer in passwords.items():
        try:
            re.compile(pattern, re.M)
        except (re.error, TypeError, OverflowError, RecursionError) as exc:
            raise ConfigurationError(
                f"the password prompt {str(pattern)[:80]!r} is not a regular expression: {exc}"
            ) from exc
        prompts.append((pattern, "" if answer is None else str(answer)))
    return prompts


def _seconds(name: str, value: Any) -> float | None:
    if isinstance(value, (dict, list)):
        raise ConfigurationError(f"{name} must be a number of seconds, not a {type(value).__name__}")
    if value in (None, "", 0):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not seconds >= 0:
        raise ConfigurationError(f"{name} must be a number of seconds, not {str(value)[:80]!r}")
    return None if math.isinf(seconds) else seconds
