"""From parameters and a private data dir to the command that is to run.

Rules: nothing is started here. Precedence is ansible-runner's (ansible_runner/config): files of ``env`` win over
parameters of the same name, except for ``cmdline`` and ``ssh_key``, where the parameter wins. What an isolated job
sees of this machine goes through its view; the command around it is made last."""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, OutputError
from ..isolation.files import make_directory
from ..isolation.request import IsolationRequest
from ..isolation.wrapper import Inside, Isolated, Wrapper, wrapper_for
from ..job.parameters import Parameters
from ..job.private_data import PrivateDataDir
from ..system.files import make_private
from .ansible_version import core_version
from .command_line import command_line, with_ssh_agent
from .environment import CALLBACK_PLUGIN, KEY_FILE_VARIABLE, bare_environment_filled, job_environment
from .input_files import InputFiles
from .masking import Masker
from .project_copy import copied_project

__all__ = ["PreparationContext", "RunSpec", "prepare"]

#: One text of an environment has 128 KiB on Linux (execve(2)), with the name and what we put before that.
_LONGEST_VARIABLE = 128 * 1024 - 64


@dataclass
class RunSpec:
    """Everything that the guard needs to run a job. Times are seconds, None for no limit."""

    ident: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    artifact_dir: str
    isolated: Isolated | None = None
    #: Pairs of a regular expression and the answer to what matches it, in the user's order.
    prompts: list[tuple[str, str]] = field(default_factory=list)
    job_timeout: float | None = None
    idle_timeout: float | None = None
    #: Whether ``stdout`` and ``stderr`` are kept as artifacts.
    output_files: bool = True
    ssh_key: str | None = None
    ssh_key_path: str | None = None
    event_key: str = ""
    event_key_path: str = ""
    #: The directory of the fact cache, empty if the job has none of its own, and the version of ansible-core if it is
    #: known.
    fact_cache: str = ""
    core: str | None = None
    #: Files and directories that were made for this job beside the user's, and go when it is over.
    made: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def masked(self) -> dict[str, Any]:
        """``command``, ``env`` and ``cwd`` as they may be sent and stored."""
        masker = Masker([answer for _, answer in self.prompts] + ([self.ssh_key] if self.ssh_key else []))
        return {"command": masker.argv(self.argv), "env": masker.env(self.env), "cwd": self.cwd}


@dataclass(frozen=True)
class PreparationContext:
    """Where a job is made ready, and for whom.

    :param scratch: the job's ``TMPDIR``: a module that is killed leaves its files there.
    :param own: told of each tree that must go with the guard, before it is made.
    :param tick: called now and then when this takes long; what it raises ends it.
    :param artifacts: the directory that holds one directory for each ident; None: that of the private data dir.
    :param roles_path: directories of roles, before those that the job knows.
    :param local: whether the parameters were written on this machine, and their paths are its.
    :param fresh: whether the private data dir was made for this job.
    """

    private_data: PrivateDataDir
    scratch: str
    own: Callable[[str], None]
    tick: Callable[[], None] = lambda: None
    artifacts: Path | None = None
    roles_path: str = ""
    local: bool = False
    fresh: bool = False


def prepare(parameters: Parameters, context: PreparationContext) -> RunSpec:
    """The command for a job, its files made.

    :raises ConfigurationError: a parameter or a file of ``env`` cannot be used.
    :raises InputError: a file that the job names is missing.
    :raises UnreachableError: the isolation that the job asks for cannot be had here.
    """
    private_data = context.private_data
    settings = private_data.settings(parameters["settings"])
    artifact_dir = (context.artifacts or private_data.artifacts) / parameters.ident
    _make_private(artifact_dir / "job_events")
    request = IsolationRequest.of(parameters, settings)
    wrapper = _wrapper(request, context, artifact_dir)
    runtime = private_data.path / f".receptor-runner-{secrets.token_hex(4)}"
    context.own(str(runtime))
    _make_runtime(runtime)
    input_files = InputFiles(parameters, private_data, runtime, wrapper.path_map, context.local)
    fact_cache = _fact_cache(parameters, settings, artifact_dir)
    asked = _asked(wrapper.base, parameters, input_files, context.roles_path)
    env = job_environment(asked, parameters, private_data, wrapper.path_map, runtime, artifact_dir)
    if fact_cache:
        env["ANSIBLE_CACHE_PLUGIN"] = "jsonfile"
        env["ANSIBLE_CACHE_PLUGIN_CONNECTION"] = wrapper.path_map.inside(fact_cache)
    command = RunSpec(
        ident=parameters.ident,
        argv=command_line(parameters, private_data, input_files),
        env=env,
        cwd=str(private_data.path if "AD_HOC_COMMAND_ID" in env else private_data.cwd),
        artifact_dir=str(artifact_dir),
        prompts=_prompts({**parameters["passwords"], **(private_data.mapping("env/passwords") or {})}),
        job_timeout=_seconds("timeout", parameters["timeout"]) or _seconds("job_timeout", settings.get("job_timeout")),
        idle_timeout=_seconds("idle_timeout", settings.get("idle_timeout")),
        output_files=not settings.get("suppress_output_file", parameters["suppress_output_file"]),
        fact_cache=_own_fact_cache(fact_cache, artifact_dir),
        ssh_key=parameters["ssh_key"] or private_data.text("env/ssh_key") or None,
        event_key=secrets.token_hex(32),
        event_key_path=str(runtime / "event-key"),
        made=[*wrapper.mount_points, *input_files.made],
    )
    _finish(command, wrapper, bare_environment_filled(os.environ, str(private_data.path)) if request.kind else {})
    return command


def _wrapper(request: IsolationRequest, context: PreparationContext, artifact_dir: Path) -> Wrapper:
    """What will be around the command. A copy of the project, if one is request, takes the project's private_data."""
    private_data, scratch = context.private_data, context.scratch
    if request.project_copies and private_data.project.is_dir():
        own_copy = context.own if not request.keep_project_copy else lambda _: None
        private_data.project = copied_project(private_data.project, request.project_copies, own_copy, context.tick)
    if request.temporary and request.sandbox:
        scratch = make_directory(request.temporary, "rr-", context.own, "process_isolation_path")
    roles = [path for path in context.roles_path.split(":") if os.path.isdir(path)]
    return wrapper_for(request.with_roles(roles), private_data, artifact_dir, scratch, fresh=context.fresh)


def _asked(base: Mapping[str, str], parameters: Parameters, input_files: InputFiles, roles_path: str) -> dict[str, str]:
    """The environment that the job asks for, over ``base``."""
    private_data = input_files.private_data
    env: dict[str, Any] = {**base, **parameters["envvars"], **(private_data.mapping("env/envvars") or {})}
    configured = ":".join(filter(None, (roles_path, str(env.get("ANSIBLE_ROLES_PATH") or ""))))
    roles = input_files.roles_path(configured)
    if roles:
        env["ANSIBLE_ROLES_PATH"] = roles
    asked = {str(name): str(value) for name, value in env.items()}
    return asked if input_files.path_map.own_root else bare_environment_filled(asked, str(private_data.path))


def _finish(command: RunSpec, wrapper: Wrapper, engine_env: Mapping[str, str]) -> None:
    """Puts an agent for the ssh key, and what isolates the job, around its command."""
    program = command.argv[0]
    command.env[KEY_FILE_VARIABLE] = wrapper.path_map.inside(command.event_key_path)
    if command.fact_cache and not wrapper.path_map.own_root:
        command.core = core_version(program, command.env["PATH"])
    if command.ssh_key:
        command.ssh_key_path = os.path.join(command.artifact_dir, "ssh_key_data")
        command.argv = with_ssh_agent(command.argv, wrapper.path_map.inside(command.ssh_key_path))
    inside = Inside(command.argv, command.env, command.cwd, program, answers=bool(command.prompts))
    command.argv, command.cwd, command.isolated = wrapper.put(inside, engine_env)
    _check_passable(command)


def _check_passable(command: RunSpec) -> None:
    """What an operating system cannot pass to a program."""
    for name, value in command.env.items():
        if not name or "=" in name or "\0" in name + value or not _encodable(name + value):
            raise ConfigurationError(f"the environment variable {name[:80]!r} cannot be passed to a program")
        if len(os.fsencode(name + value)) > _LONGEST_VARIABLE:
            raise ConfigurationError(f"the environment variable {name[:80]!r} is longer than a program can be given")
    for argument in command.argv:
        if "\0" in argument or not _encodable(argument):
            raise ConfigurationError(f"the argument {argument[:80]!r} cannot be passed to a program")


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _make_private(directory: Path) -> None:
    try:
        make_private(directory)
    except OSError as exc:
        raise OutputError(f"cannot make the directory {directory}: {exc.strerror}") from exc


def _make_runtime(runtime: Path) -> None:
    """With a copy of the callback plugin: an upgrade of the package may come before Ansible reads it. What its
    installation compiled goes along, so that Ansible need not, on each run.
    """
    target = runtime / "callback"
    _make_private(target / "__pycache__")
    shutil.copy2(CALLBACK_PLUGIN, target / CALLBACK_PLUGIN.name)
    for compiled in (CALLBACK_PLUGIN.parent / "__pycache__").glob(f"{CALLBACK_PLUGIN.stem}.*.pyc"):
        shutil.copy2(compiled, target / "__pycache__" / compiled.name)


def _fact_cache(parameters: Parameters, settings: Mapping[str, Any], artifact_dir: Path) -> str:
    """The directory of the job's fact cache; empty if it has none, or one that is configured elsewhere."""
    if settings.get("fact_cache_type", parameters["fact_cache_type"]) != "jsonfile":
        return ""
    return str(artifact_dir / (settings.get("fact_cache", parameters["fact_cache"]) or "fact_cache"))


def _own_fact_cache(fact_cache: str, artifact_dir: Path) -> str:
    """``fact_cache`` if it is this job's alone: a directory of its own among its artifacts."""
    below = os.path.relpath(fact_cache, artifact_dir) if fact_cache else "."
    return fact_cache if below != "." and not below.startswith("..") else ""


def _prompts(passwords: Mapping[str, Any]) -> list[tuple[str, str]]:
    prompts = []
    for pattern, answer in passwords.items():
        try:
            re.compile(pattern, re.M)
        except (re.error, TypeError) as exc:
            raise ConfigurationError(
                f"the password prompt {str(pattern)[:80]!r} is not a regular expression: {exc}"
            ) from exc
        prompts.append((pattern, "" if answer is None else str(answer)))
    return prompts


def _seconds(name: str, value: Any) -> float | None:
    if value in (None, "", 0):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not seconds >= 0:
        raise ConfigurationError(f"{name} must be a number of seconds, not {str(value)[:80]!r}")
    return None if math.isinf(seconds) else seconds
