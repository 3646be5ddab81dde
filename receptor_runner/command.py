"""From parameters and a private data dir to the command that is to run.

Rules: nothing is started here. Precedence is the peer's (ansible_runner/config): files of ``env`` win over parameters
of the same name, except for ``cmdline`` and ``ssh_key``, where the parameter wins."""

from __future__ import annotations

import math
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .artifacts import make_private
from .coreversion import core_version
from .environment import CALLBACK_PLUGIN, KEY_FILE_VARIABLE, bare_environment_filled, callback_path
from .errors import ConfigurationError, OutputError
from .masking import Masker
from .materials import Materials
from .parameters import Parameters
from .privatedata import PrivateDataDir

#: Ansible tells nothing more beyond this many.
_MOST_VERBOSE = 6

__all__ = ["Command", "prepare", "runtime_directory"]


@dataclass
class Command:
    """Everything that the guard needs to run a job. Times are seconds, None for no limit."""

    ident: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    artifact_dir: str
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


def prepare(
    parameters: Parameters, place: PrivateDataDir, runtime: Path, artifacts: Path | None = None, *, scratch: str
) -> Command:
    """The command for a job, its files made.

    :param runtime: a name from :func:`runtime_directory`; the directory is made here and removed by the guard.
    :param artifacts: the directory that holds one directory for each ident; default: that of the private data dir.
    :param scratch: the job's ``TMPDIR``: a module that is killed leaves its files there.
    :raises ConfigurationError: a parameter or a file of ``env`` cannot be used.
    :raises InputError: a file that the job names is missing.
    """
    settings = place.settings(parameters["settings"])
    _refuse_isolation(parameters, settings)
    artifact_dir = (artifacts or place.artifacts) / parameters.ident
    _make_private(artifact_dir / "job_events")
    _make_runtime(runtime)
    materials = Materials(parameters, place, runtime)
    asked = {**os.environ, "TMPDIR": scratch, **parameters["envvars"], **(place.mapping("env/envvars") or {})}
    fact_cache = _fact_cache(parameters, settings, artifact_dir)
    env = _environment(asked, parameters, place, materials, artifact_dir)
    if fact_cache:
        env.update(ANSIBLE_CACHE_PLUGIN="jsonfile", ANSIBLE_CACHE_PLUGIN_CONNECTION=fact_cache)
    command = Command(
        ident=parameters.ident,
        argv=_argv(parameters, place, materials),
        env=env,
        cwd=str(place.path if "AD_HOC_COMMAND_ID" in env else place.cwd),
        artifact_dir=str(artifact_dir),
        prompts=_prompts({**parameters["passwords"], **(place.mapping("env/passwords") or {})}),
        job_timeout=_seconds("timeout", parameters["timeout"]) or _seconds("job_timeout", settings.get("job_timeout")),
        idle_timeout=_seconds("idle_timeout", settings.get("idle_timeout")),
        output_files=not settings.get("suppress_output_file", parameters["suppress_output_file"]),
        fact_cache=_own_fact_cache(fact_cache, artifact_dir),
        ssh_key=parameters["ssh_key"] or place.text("env/ssh_key") or None,
        event_key=secrets.token_hex(32),
        event_key_path=str(runtime / "event-key"),
        made=materials.made,
    )
    command.env[KEY_FILE_VARIABLE] = command.event_key_path
    if command.fact_cache:
        command.core = core_version(command.argv[0], env["PATH"])
    _check_passable(command)
    if command.ssh_key:
        command.ssh_key_path = str(artifact_dir / "ssh_key_data")
        command.argv = _with_ssh_agent(command.argv, command.ssh_key_path)
    return command


def _check_passable(command: Command) -> None:
    """What an operating system cannot pass to a program."""
    for name, value in command.env.items():
        if not name or "=" in name or "\0" in name + value or not _encodable(name + value):
            raise ConfigurationError(f"the environment variable {name[:80]!r} cannot be passed to a program")
    for argument in command.argv:
        if "\0" in argument or not _encodable(argument):
            raise ConfigurationError(f"the argument {argument[:80]!r} cannot be passed to a program")


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _refuse_isolation(parameters: Parameters, settings: Mapping[str, Any]) -> None:
    if settings.get("process_isolation", parameters["process_isolation"]):
        raise ConfigurationError(
            "process isolation was asked for and this worker cannot isolate: "
            "run the job without process_isolation, or on a worker that can"
        )


def _make_private(directory: Path) -> None:
    try:
        make_private(directory)
    except OSError as exc:
        raise OutputError(f"cannot make the directory {directory}: {exc.strerror}") from exc


def runtime_directory(place: PrivateDataDir) -> Path:
    """A new name for the directory where a run keeps what only it needs; removed when it is over."""
    return place.path / f".receptor-runner-{secrets.token_hex(4)}"


def _make_runtime(runtime: Path) -> None:
    """With a copy of the callback plugin: an upgrade of the package may come before Ansible reads it. What its
    installation compiled goes along, so that Ansible need not, on each run.
    """
    target = runtime / "callback"
    _make_private(target / "__pycache__")
    shutil.copy2(CALLBACK_PLUGIN, target / CALLBACK_PLUGIN.name)
    for compiled in (CALLBACK_PLUGIN.parent / "__pycache__").glob(f"{CALLBACK_PLUGIN.stem}.*.pyc"):
        shutil.copy2(compiled, target / "__pycache__" / compiled.name)


def _environment(
    asked: Mapping[str, Any],
    parameters: Parameters,
    place: PrivateDataDir,
    materials: Materials,
    artifact_dir: Path,
) -> dict[str, str]:
    """``asked`` completed with what Ansible needs and what we need."""
    env = bare_environment_filled(asked, str(place.path))
    roles_path = materials.roles_path(env.get("ANSIBLE_ROLES_PATH", ""))
    if roles_path:
        env["ANSIBLE_ROLES_PATH"] = roles_path
    env["ANSIBLE_CALLBACK_PLUGINS"] = f"{callback_path(env, place.cwd)}:{materials.runtime / 'callback'}"
    env["ANSIBLE_RETRY_FILES_ENABLED"] = "False"
    env.setdefault("ANSIBLE_HOST_KEY_CHECKING", "False")
    env["AWX_ISOLATED_DATA_DIR"] = str(artifact_dir)
    if parameters["module"] and not parameters["binary"]:
        env["ANSIBLE_LOAD_CALLBACK_PLUGINS"] = "1"
        env.setdefault("AD_HOC_COMMAND_ID", "1")
    env["RUNNER_OMIT_EVENTS"] = str(bool(parameters["omit_event_data"]))
    env["RUNNER_ONLY_FAILED_EVENTS"] = str(bool(parameters["only_failed_event_data"]))
    return env


def _fact_cache(parameters: Parameters, settings: Mapping[str, Any], artifact_dir: Path) -> str:
    """The directory of the job's fact cache; empty if it has none, or one that is configured elsewhere."""
    if settings.get("fact_cache_type", parameters["fact_cache_type"]) != "jsonfile":
        return ""
    return str(artifact_dir / (settings.get("fact_cache", parameters["fact_cache"]) or "fact_cache"))


def _own_fact_cache(fact_cache: str, artifact_dir: Path) -> str:
    """``fact_cache`` if it is this job's alone: a directory of its own among its artifacts."""
    below = os.path.relpath(fact_cache, artifact_dir) if fact_cache else "."
    return fact_cache if below != "." and not below.startswith("..") else ""


def _argv(parameters: Parameters, place: PrivateDataDir, materials: Materials) -> list[str]:
    raw = place.text("args")
    if raw is not None:
        argv = _split(raw, str(place.args))
        if not argv:
            raise ConfigurationError(f"{place.args} is empty; it must contain a whole command line")
        return argv
    binary, module = parameters["binary"], parameters["module"]
    playbook = materials.playbook()
    if module and playbook:
        raise ConfigurationError("Only one of playbook and module options are allowed")
    if not (binary or module or playbook):
        raise ConfigurationError(
            "Runner playbook required when running ansible-playbook; give a playbook, module or role"
        )
    argv = [str(binary or ("ansible" if module else "ansible-playbook"))]
    cmdline = parameters["cmdline"] or place.text("env/cmdline") or ""
    argv += _split(str(cmdline), "the command line options")
    argv += _ansible_options(parameters, materials)
    if not binary:
        argv += _module_arguments(parameters) if module else [str(playbook)]
    return argv


def _ansible_options(parameters: Parameters, materials: Materials) -> list[str]:
    argv: list[str] = []
    for inventory in materials.inventories():
        argv += ["-i", inventory]
    if parameters["limit"] is not None:
        argv += ["--limit", str(parameters["limit"])]
    for variables in materials.extravars():
        argv += ["-e", variables]
    if parameters["verbosity"]:
        argv.append("-" + "v" * min(parameters["verbosity"], _MOST_VERBOSE))
    for option, name in (("--tags", "tags"), ("--skip-tags", "skip_tags"), ("--forks", "forks")):
        if parameters[name]:
            argv += [option, str(parameters[name])]
    return argv


def _module_arguments(parameters: Parameters) -> list[str]:
    argv = ["-m", str(parameters["module"])]
    if parameters["module_args"] is not None:
        argv += ["-a", str(parameters["module_args"])]
    if parameters["host_pattern"] is not None:
        argv.append(str(parameters["host_pattern"]))
    return argv


def _split(text: str, where: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as exc:
        raise ConfigurationError(f"{where} cannot be split into words: {exc}") from exc


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


def _with_ssh_agent(argv: list[str], key_path: str) -> list[str]:
    """``argv`` under an agent that holds the key; the fifo goes as soon as it has been read."""
    key = shlex.quote(key_path)
    return ["ssh-agent", "sh", "-c", f"ssh-add {key} && rm -f {key} && exec {shlex.join(argv)}"]
