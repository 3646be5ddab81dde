"""From parameters and a private data dir to the command that is to run.

Rules: nothing is started here. The job is prepared with the paths that it will see. The isolation puts its own command
around the job's command last."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError, OutputError, ReceptorRunnerError
from ..isolation.choice import isolation_for
from ..isolation.files import make_directory
from ..isolation.isolation import InnerCommand, Isolation
from ..isolation.request import IsolationRequest
from ..job.parameters import Parameters
from ..job.private_data import PrivateDataDir
from ..job.resolved import ResolvedJob
from ..system.arguments import passable
from ..system.files import make_private
from .ansible_version import core_version
from .command_line import command_line, with_ssh_agent
from .environment import KEY_FILE_VARIABLE, Places, bare_environment_filled, job_environment
from .input_files import InputFiles
from .project_copy import copied_project
from .run_spec import RunSpec

__all__ = ["PreparationContext", "prepare"]

#: One text of an environment has 128 KiB on Linux (execve(2)), with the name and what we put before that.
_LONGEST_VARIABLE = 128 * 1024 - 64
#: With these, Ansible runs no task.
_NO_TASKS = ("--syntax-check", "--list-", "--version", "--help")
_PLUGINS = Path(__file__).parents[1] / "callback"


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
    :param sealed: whether nobody but the job may have its words and its environment in a file.
    """

    private_data: PrivateDataDir
    scratch: str
    own: Callable[[str], None]
    tick: Callable[[], None] = lambda: None
    artifacts: Path | None = None
    roles_path: str = ""
    local: bool = False
    fresh: bool = False
    sealed: bool = False


def prepare(parameters: Parameters, context: PreparationContext) -> RunSpec:
    """The command for a job, its files made.

    :raises ConfigurationError: a parameter or a file of ``env`` cannot be used.
    :raises InputError: a file that the job names is missing.
    :raises UnreachableError: the isolation that the job asks for cannot be had here.
    :raises OutputError: a file of it cannot be written.
    """
    try:
        return _prepared(parameters, context)
    except ReceptorRunnerError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as exc:
        raise ConfigurationError(f"a parameter of the job cannot be used: {exc}") from exc
    except OSError as exc:
        raise OutputError(f"the job cannot be made ready: {exc}") from exc


def _prepared(parameters: Parameters, context: PreparationContext) -> RunSpec:
    artifact_dir = (context.artifacts or context.private_data.artifacts) / parameters.ident
    if not context.local and _may_be_isolated(parameters, context.private_data):
        # before anything of it is read, and quoted
        context.private_data.check_closed(artifact_dir, artifact_dir / "job_events")
    job = ResolvedJob.of(parameters, context.private_data, used_again=not (context.local or context.fresh))
    request = IsolationRequest.of(job)
    _make_private(artifact_dir / "job_events")
    isolation = _isolation(request, context, artifact_dir)
    spec = _spec(job, context, artifact_dir, isolation, isolated=bool(request.kind))
    own_env = bare_environment_filled(os.environ, str(context.private_data.path)) if request.kind else {}
    _check_passable(spec)  # its own words may be hidden by what is around them
    _wrap(spec, isolation, own_env, sealed=context.sealed)
    _check_passable(spec)
    return spec


def _may_be_isolated(parameters: Parameters, private_data: PrivateDataDir) -> bool:
    """Whether the job asks for isolation, or says so in a file that is not to be read."""
    if parameters["process_isolation"] or private_data.leads_out(private_data.env / "settings"):
        return True
    return IsolationRequest.may_be_asked_for(private_data.settings(parameters["settings"]).get("process_isolation"))


def _isolation(request: IsolationRequest, context: PreparationContext, artifact_dir: Path) -> Isolation:
    """What will be around the command. If the job asks for a copy of its project, the copy takes the project's
    place."""
    private_data, scratch = context.private_data, context.scratch
    if request.project_copies and os.path.isdir(private_data.project):
        own_copy = context.own if not request.keep_project_copy else lambda _: None
        private_data.project = copied_project(private_data.project, request.project_copies, own_copy, context.tick)
    if request.temporary and request.sandbox:
        scratch = make_directory(request.temporary, "rr-", context.own, "process_isolation_path")
    roles = [path for path in context.roles_path.split(":") if os.path.isdir(path)]
    return isolation_for(request.with_roles(roles), private_data, artifact_dir, scratch, fresh=context.fresh)


def _spec(
    job: ResolvedJob, context: PreparationContext, artifact_dir: Path, isolation: Isolation, *, isolated: bool
) -> RunSpec:
    """The command as the job sees it, and the files that it needs."""
    private_data, path_map = context.private_data, isolation.path_map
    runtime = private_data.path / f".receptor-runner-{secrets.token_hex(4)}"
    context.own(str(runtime))
    _make_runtime(runtime)
    input_files = InputFiles(job.parameters, private_data, runtime, path_map, context.local, isolated)
    asked = _asked(isolation.base_env, job, input_files)
    env = job_environment(
        asked,
        job,
        private_data,
        path_map,
        lambda own: input_files.roles_path(":".join(filter(None, (context.roles_path, own)))),
        Places(runtime, artifact_dir),
    )
    argv = command_line(job, private_data, input_files)
    return RunSpec(
        ident=job.ident,
        argv=argv,
        env=env,
        cwd=str(private_data.path if "AD_HOC_COMMAND_ID" in asked else private_data.cwd),
        artifact_dir=str(artifact_dir),
        prompts=job.prompts,
        job_timeout=job.job_timeout,
        idle_timeout=job.idle_timeout,
        output_files=job.output_files,
        fact_cache=_own_fact_cache(path_map.outside(env.get("ANSIBLE_CACHE_PLUGIN_CONNECTION", "")), artifact_dir),
        ssh_key=job.ssh_key,
        event_key=secrets.token_hex(32),
        event_key_path=str(runtime / "event-key"),
        made=[*isolation.mount_points, *input_files.made],
        warnings=_odd_variables(env),
        tells_events=_tells_events(argv, job),
    )


def _odd_variables(env: Mapping[str, str]) -> list[str]:
    value = env.get("MAX_EVENT_RES")
    if value is None or re.fullmatch(r"\s*[+-]?\d+\s*", value):
        return []
    return [f"MAX_EVENT_RES is {value[:80]!r} and not a number of bytes; the limit is 700000"]


def _tells_events(argv: list[str], job: ResolvedJob) -> bool:
    """Whether the command is one of Ansible's that runs tasks."""
    if job.parameters["binary"] or os.path.basename(argv[0]) not in ("ansible", "ansible-playbook"):
        return False
    return not any(word.startswith(_NO_TASKS) or word == "-h" for word in argv)


def _asked(base: Mapping[str, str], job: ResolvedJob, input_files: InputFiles) -> dict[str, str]:
    """The environment that the job asks for, over ``base``."""
    asked = {str(name): str(value) for name, value in {**base, **job.envvars}.items()}
    if input_files.path_map.own_root:
        return asked
    return bare_environment_filled(asked, str(input_files.private_data.path))


def _wrap(spec: RunSpec, isolation: Isolation, own_env: Mapping[str, str], *, sealed: bool) -> None:
    """Puts an agent for the ssh key, and what isolates the job, around its command.

    :param own_env: what an engine or a sandbox is started with.
    """
    program = spec.argv[0]
    spec.env[KEY_FILE_VARIABLE] = isolation.path_map.inside(spec.event_key_path)
    if spec.fact_cache and not isolation.path_map.own_root:
        spec.core = core_version(program, spec.env["PATH"])
    if spec.ssh_key:
        spec.ssh_key_path = os.path.join(spec.artifact_dir, "ssh_key_data")
        spec.argv = with_ssh_agent(spec.argv, isolation.path_map.inside(spec.ssh_key_path))
    hidden_in = str(Path(spec.event_key_path).with_name("command")) if sealed else ""
    inner = InnerCommand(spec.argv, spec.env, spec.cwd, program, bool(spec.prompts), hidden_in)
    spec.argv, spec.cwd, spec.isolated = isolation.wrap(inner, own_env)


def _check_passable(spec: RunSpec) -> None:
    """Refuses what an operating system cannot pass to a program."""
    for name, value in spec.env.items():
        if not name or "=" in name or not passable(name + value):
            raise ConfigurationError(f"the environment variable {name[:80]!r} cannot be passed to a program")
        if len(os.fsencode(name + value)) > _LONGEST_VARIABLE:
            raise ConfigurationError(f"the environment variable {name[:80]!r} is longer than a program can be given")
    for argument in spec.argv:
        if not passable(argument):
            raise ConfigurationError(f"the argument {argument[:80]!r} cannot be passed to a program")


def _make_private(directory: Path) -> None:
    try:
        make_private(directory)
    except OSError as exc:
        raise OutputError(f"cannot make the directory {directory}: {exc.strerror}") from exc


def _make_runtime(runtime: Path) -> None:
    """Makes the runtime directory, with a copy of the callback plugins, because an upgrade of the package may come
    before Ansible reads them. The compiled ones are copied, too, so that Ansible need not compile them for each run.
    """
    target = runtime / "callback"
    _make_private(target / "__pycache__")
    try:
        for source in (*_PLUGINS.glob("*.py"), *_PLUGINS.glob("__pycache__/*.pyc")):
            shutil.copy2(source, target / source.relative_to(_PLUGINS))
    except OSError as exc:
        raise OutputError(f"cannot write to {runtime.parent}: {exc.strerror}") from exc


def _own_fact_cache(fact_cache: str, artifact_dir: Path) -> str:
    """``fact_cache`` if it is this job's alone: a directory of its own among its artifacts."""
    below = os.path.relpath(fact_cache, artifact_dir) if fact_cache else "."
    return fact_cache if below != "." and not below.startswith("..") else ""
