"""From the options of a command to the parameters of a job.

Rules: contradictions are usage errors; variables take the forms that Ansible's own ``-e`` takes.
"""

from __future__ import annotations

import ast
import datetime
import json
import os
import shlex
import uuid
from collections.abc import Sequence
from typing import Any

import click

from ..errors import InputError

__all__ = ["check_ident_option", "job_parameters"]

_LISTS = (
    "container_volume_mounts",
    "container_options",
    "process_isolation_hide_paths",
    "process_isolation_show_paths",
    "process_isolation_ro_paths",
)


def check_ident_option(ident: str | None) -> None:
    if ident and os.path.isfile(ident):
        raise click.UsageError(f"-i is the ident of the job, and {ident} is a file; did you mean --inventory?")


def job_parameters(directory: str, options: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a job from the options of its command.

    :raises click.UsageError: they contradict each other.
    :raises InputError: there is no such directory, or no such file of variables.
    """
    _check(directory, options)
    parameters = {name: value for name, value in options.items() if value not in (None, (), 0, False, "")}
    for name in _LISTS:
        if name in parameters:
            parameters[name] = list(parameters[name])
    parameters.update(private_data_dir=directory, ident=options["ident"] or uuid.uuid4().hex)
    if options["module"] and options["hosts"]:
        parameters["host_pattern"] = parameters.pop("hosts")
    if options["container_image"]:
        parameters["process_isolation"] = True
    if options["container_auth_data"]:
        file = options["container_auth_data"]
        parameters["container_auth_data"] = _load_mapping(_file_text(file), f"--container-auth-data {file}")
    if options["role_vars"]:
        parameters["role_vars"] = _key_values(options["role_vars"])
    if parameters.pop("extra_vars", None):
        parameters["extravars"] = _extra_vars(options["extra_vars"])
    return parameters


def _check(directory: str, options: dict[str, Any]) -> None:
    given = [name for name in ("playbook", "module", "role") if options.get(name)]
    if len(given) > 1:
        raise click.UsageError(f"give one of --{', --'.join(given)}, not {len(given)}")
    if options["hosts"] and not (options["module"] or options["role"]):
        raise click.UsageError("The --hosts option can only be used with -m or -r")
    if not given and not options["binary"] and not os.path.isfile(os.path.join(directory, "args")):
        if not os.path.isdir(directory):
            raise InputError(f"the private data dir {os.path.abspath(directory)} does not exist")
        raise click.UsageError("The -p option must be specified when not using -m or -r, or a file DIR/args")
    check_ident_option(options["ident"])


def _key_values(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{word!r} is not name=value")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values


def _extra_vars(given: Sequence[str]) -> dict[str, Any]:
    """What Ansible's own ``-e`` takes, as one dictionary: the later wins."""
    variables: dict[str, Any] = {}
    for text in given:
        if text.startswith("@"):
            variables.update(_load_mapping(_file_text(text[1:]), f"-e {text}"))
        elif text.lstrip()[:1] in ("{", "[") or ("\n" in text and ":" in text):
            variables.update(_load_mapping(text, f"-e {text[:40]}"))
        else:
            variables.update(_plain_key_values(text))
    return variables


def _plain_key_values(text: str) -> dict[str, str]:
    values = {}
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"-e {word!r} is not name=value, JSON, YAML or @FILE")
        values[name] = value
    return values


def _file_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read the file {path}: {exc}") from exc


def _load_mapping(text: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise click.UsageError(f"{where} is neither JSON nor YAML: {str(exc).splitlines()[0]}") from exc
    if not isinstance(value, dict):
        raise click.UsageError(f"{where} is not a mapping of names to values")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(value, default=_date))
    except TypeError as exc:
        raise click.UsageError(f"{where} cannot travel: {exc}") from exc
    return plain


def _date(value: Any) -> str:
    """YAML's dates travel as text."""
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as exc:
        raise click.UsageError(f"{text[:80]!r} cannot be split into words: {exc}") from exc
