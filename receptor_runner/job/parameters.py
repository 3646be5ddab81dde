"""The parameters of a job: which there are, which travel, and what they must look like.

Rules: names and defaults are those of ansible-runner's ``RunnerConfig`` and ``BaseConfig`` (ansible_runner/config),
because ansible-runner's worker dies on a name that it does not know. Only what differs from its default travels. A
name that we do not know is reported and ignored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ConfigurationError
from ..stream.messages import JSONObject

__all__ = ["DEFAULTS", "LOCAL", "Parameters", "check_ident", "is_collection_playbook", "to_wire", "unknown_names"]

#: Every parameter that may travel, with the default that need not.
DEFAULTS: dict[str, Any] = {
    "ident": None,
    "playbook": None,
    "module": None,
    "module_args": None,
    "host_pattern": None,
    "role": None,
    "role_vars": None,
    "role_skip_facts": False,
    "hosts": None,
    "inventory": None,
    "limit": None,
    "forks": None,
    "tags": None,
    "skip_tags": None,
    "verbosity": None,
    "binary": None,
    "cmdline": None,
    "extravars": None,
    "envvars": None,
    "passwords": None,
    "ssh_key": None,
    "settings": None,
    "timeout": None,
    "host_cwd": None,
    "fact_cache": None,
    "fact_cache_type": "jsonfile",
    "omit_event_data": False,
    "only_failed_event_data": False,
    "check_job_event_data": False,
    "suppress_env_files": False,
    "suppress_output_file": False,
    "suppress_ansible_output": False,
    "process_isolation": False,
    "process_isolation_executable": None,
    "process_isolation_path": None,
    "process_isolation_hide_paths": None,
    "process_isolation_show_paths": None,
    "process_isolation_ro_paths": None,
    "directory_isolation_base_path": None,
    "container_image": None,
    "container_volume_mounts": None,
    "container_options": None,
    "container_workdir": None,
    "container_auth_data": None,
}

#: Known, but of no use to a worker: they say where things are here, or how this end behaves.
LOCAL = frozenset(
    {
        "private_data_dir", "project_dir", "artifact_dir", "roles_path", "rotate_artifacts", "quiet", "json_mode",
        "only_transmit_kwargs", "keepalive_seconds", "debug", "logfile", "ignore_logging", "streamer",
        "event_handler", "status_handler", "artifacts_handler", "cancel_callback", "finished_callback",
        "_input", "_output", "payload",
    }
)  # fmt: skip

_LONGEST_NAME = 255
_EMPTY: tuple[object, ...] = (None, "", [], {}, ())
_MAPPINGS = ("envvars", "passwords", "settings", "container_auth_data")
_TEXTS = ("module", "module_args", "limit", "tags", "skip_tags", "cmdline", "host_pattern", "role", "forks")
_STRICT_TEXTS = ("binary", "ssh_key", "fact_cache", "fact_cache_type")


def to_wire(parameters: Mapping[str, Any]) -> JSONObject:
    """The parameters that travel: those that we know, and that are not the default."""
    wire: JSONObject = {}
    for name, default in DEFAULTS.items():
        value = parameters.get(name, default)
        if value == default or (default is None and value in _EMPTY):
            continue
        wire[name] = value.hex if isinstance(value, uuid.UUID) else value
    return wire


def unknown_names(parameters: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in parameters if name not in DEFAULTS and name not in LOCAL)


def check_ident(ident: object) -> str:
    """The ident as text. It must be able to name a directory.

    :raises ConfigurationError: it cannot.
    """
    text = ident.hex if isinstance(ident, uuid.UUID) else str(ident)
    if not text.isprintable() or text in ("", ".", "..") or "/" in text or len(text.encode()) > _LONGEST_NAME:
        raise ConfigurationError(f"the ident {text[:80]!r} cannot be the name of a directory; use letters and digits")
    return text


def is_collection_playbook(name: str) -> bool:
    """``namespace.collection.playbook``: found by Ansible, not in the project."""
    parts = name.split(".")
    return len(parts) >= 3 and all(part.isidentifier() for part in parts) and parts[-1] not in ("yml", "yaml", "json")


def _check_texts(values: Mapping[str, Any]) -> None:
    for name in (*_TEXTS, *_STRICT_TEXTS, "playbook", "inventory"):
        value = values[name]
        try:
            str(value).encode()
        except UnicodeEncodeError as exc:
            raise ConfigurationError(f"the parameter {name!r} cannot be written in UTF-8") from exc
        kinds = {**dict.fromkeys(_TEXTS, (str, int, float)), **dict.fromkeys(_STRICT_TEXTS, (str,))}.get(name)
        if kinds is not None and value is not None and not isinstance(value, kinds):
            raise ConfigurationError(f"the parameter {name!r} must be a text, not {_kind(value)}")


def _check_kinds(values: Mapping[str, Any]) -> None:
    variables = values["extravars"]
    texts = isinstance(variables, list) and all(isinstance(one, str) for one in variables)
    if variables not in _EMPTY and not texts and not isinstance(variables, (dict, str)):
        raise ConfigurationError(f"the parameter 'extravars' must be a dictionary, not {_kind(variables)}")
    if values["verbosity"] not in _EMPTY and type(values["verbosity"]) is not int:
        raise ConfigurationError(f"the parameter 'verbosity' must be a number, not {_kind(values['verbosity'])}")
    inventory = values["inventory"]
    for source in inventory if isinstance(inventory, list) else [inventory or ""]:
        if not isinstance(source, (str, dict)):
            raise ConfigurationError(f"an inventory must be a text or a dictionary, not {_kind(source)}")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a worker was told to do. Attributes have the names and types of the parameters."""

    ident: str
    values: Mapping[str, Any]
    #: Names that were sent and that we do not know.
    ignored: list[str] = field(default_factory=list)

    @classmethod
    def from_wire(cls, kwargs: Any) -> Parameters:
        """Checked parameters.

        :raises ConfigurationError: a value has the wrong type.
        """
        if not isinstance(kwargs, dict):
            raise ConfigurationError(f"the parameters of the job are not an object but {type(kwargs).__name__}")
        values = {**DEFAULTS, **{name: value for name, value in kwargs.items() if name in DEFAULTS}}
        for name in _MAPPINGS:
            if values[name] in _EMPTY:
                values[name] = {}
            elif not isinstance(values[name], dict):
                raise ConfigurationError(f"the parameter {name!r} must be a dictionary, not {_kind(values[name])}")
        _check_texts(values)
        _check_kinds(values)
        ident = values["ident"]
        ident = uuid.uuid4().hex if ident in (None, "") else check_ident(ident)
        return cls(ident, values, unknown_names(kwargs))

    def with_envvars(self, more: Mapping[str, str]) -> Parameters:
        """The same with more variables for the job's environment."""
        if not more:
            return self
        return replace(self, values={**self.values, "envvars": {**self.values["envvars"], **more}})

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def _kind(value: object) -> str:
    return type(value).__name__
