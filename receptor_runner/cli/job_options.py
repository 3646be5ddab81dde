"""The options that say what a job is, and the parameters that they become.

Rules: names and meanings are those of ``ansible-runner transmit``, and short options that it lacks are Ansible's.
Options that contradict each other are a usage error."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from ..errors import ConfigurationError, InputError
from .ansible_options import AnsibleOptions, ansible_option_list
from .options import complete, option, option_group, sections
from .output import complain

if TYPE_CHECKING:
    from ..mesh.job import Job

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["JobOptions", "check_ident_option", "job_options"]

#: ansible/config/base.yml
_TASK_TIMEOUT = "ANSIBLE_TASK_TIMEOUT"


class JobOptions(NamedTuple):
    """What a job is. The names are those of the job's parameters, except for ``exclude``, ``collect``, ``extra_vars``,
    ``ansible`` and ``container_auth_data``, which is a file here.
    """

    playbook: str | None
    module: str | None
    role: str | None
    module_args: str | None
    hosts: str | None
    limit: str | None
    inventory: tuple[str, ...]
    forks: int | None
    cmdline: str | None
    verbosity: int
    ident: str | None
    binary: str | None
    rotate_artifacts: int
    artifact_dir: str | None
    project_dir: str | None
    omit_event_data: bool
    only_failed_event_data: bool
    suppress_env_files: bool
    roles_path: str | None
    role_vars: str | None
    role_skip_facts: bool
    container_image: str | None
    container_volume_mounts: tuple[str, ...]
    container_options: tuple[str, ...]
    process_isolation: bool
    process_isolation_executable: str | None
    process_isolation_path: str | None
    process_isolation_hide_paths: tuple[str, ...]
    process_isolation_show_paths: tuple[str, ...]
    process_isolation_ro_paths: tuple[str, ...]
    directory_isolation_base_path: str | None
    container_workdir: str | None
    container_auth_data: str | None
    tags: tuple[str, ...]
    skip_tags: tuple[str, ...]
    extra_vars: tuple[str, ...]
    exclude: tuple[str, ...]
    collect: tuple[str, ...]
    task_timeout: int | None
    ansible: AnsibleOptions

    def parameters(self, directory: str) -> dict[str, Any]:
        """The parameters of the job in ``directory``.

        :raises click.UsageError: the options contradict each other.
        :raises InputError: there is no such directory, or no such file of variables.
        """
        import uuid

        from .variables import file_text, load_mapping, role_vars

        self._check(directory)
        given = self._asdict()
        for name in ("exclude", "collect", "extra_vars", "ansible", "task_timeout"):
            del given[name]
        parameters = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value not in (None, (), 0, False, "")
        }
        for name in ("tags", "skip_tags"):
            if name in parameters:
                parameters[name] = ",".join(parameters[name])
        if len(self.inventory) == 1:
            parameters["inventory"] = self.inventory[0]
        parameters.update(private_data_dir=directory, ident=self.ident or uuid.uuid4().hex)
        if self.module and self.hosts:
            parameters["host_pattern"] = parameters.pop("hosts")
        if self.container_image:
            parameters["process_isolation"] = True
        if self.container_auth_data:
            file = self.container_auth_data
            parameters["container_auth_data"] = load_mapping(file_text(file), f"--container-auth-data {file}")
        if self.role_vars:
            parameters["role_vars"] = role_vars(self.role_vars)
        if self.forks:
            parameters["forks"] = str(self.forks)
        parameters.update(self._timeout(directory))
        self.ansible.apply(parameters, directory)
        self._remark(directory)
        return parameters

    def job(self, directory: str, *, in_place: bool = False) -> Job:
        """The job in ``directory``, for a mesh."""
        from ..mesh.job import Job

        parameters = self.parameters(directory)
        del parameters["private_data_dir"]
        return Job(
            directory,
            exclude=self.exclude,
            collect=self.collect,
            extra_vars=self.extra_vars,
            typed=True,
            in_place=in_place,
            **parameters,
        )

    def _timeout(self, directory: str) -> dict[str, Any]:
        """Ansible's own limit for each task, as a parameter; what is in ``env/envvars`` would win.

        :raises click.UsageError: it says something else.
        """
        if not self.task_timeout:
            return {}
        from ..job.private_data import PrivateDataDir

        there = (PrivateDataDir(directory).mapping("env/envvars") or {}).get(_TASK_TIMEOUT)
        if there is not None and str(there) != str(self.task_timeout):
            raise click.UsageError(
                f"--task-timeout is {self.task_timeout}, and DIR/env/envvars has {_TASK_TIMEOUT}: {there}"
            )
        return {"envvars": {_TASK_TIMEOUT: str(self.task_timeout)}}

    def _check(self, directory: str) -> None:
        if not directory:
            raise click.UsageError("name a private data dir")
        if os.path.isfile(directory):
            raise InputError(f"{directory} is a file, and a private data dir is wanted", hint=_meant(directory))
        given = [name for name in ("playbook", "module", "role") if getattr(self, name)]
        if len(given) > 1:
            raise click.UsageError(f"give one of --{', --'.join(given)}, not {len(given)}")
        if self.hosts and not (self.module or self.role):
            raise click.UsageError("The --hosts option can only be used with -m or -r")
        if self.module and not self.hosts:
            raise click.UsageError("-m needs --hosts: the hosts to run the module on")
        if not given and not self.binary and not os.path.isfile(os.path.join(directory, "args")):
            if not os.path.isdir(directory):
                raise InputError(f"the private data dir {os.path.abspath(directory)} does not exist")
            raise click.UsageError("The -p option must be specified when not using -m or -r, or a file DIR/args")
        check_ident_option(self.ident)
        self.ansible.check_together()

    def _remark(self, directory: str) -> None:
        """What is probably not what was meant."""
        here, there = str(self.ident or ""), os.path.join(directory, "inventory", str(self.ident or ""))
        if here and (os.path.isdir(here) or os.path.exists(there)):
            complain(f"-i is the ident of the job, and {here} looks like an inventory; --inventory names one")
        parts = ("project", "inventory", "env", "args")
        runs = not self.playbook or os.path.isfile(os.path.join(directory, self.playbook))
        named = self.project_dir or self.inventory or not runs
        if not named and not any(os.path.exists(os.path.join(directory, part)) for part in parts):
            complain(f"{os.path.abspath(directory)} has neither project/ nor inventory/; is it a private data dir?")


def _meant(file: str) -> str | None:
    """What somebody may have meant who named a playbook."""
    directory, project, playbook = file.rpartition("project/")
    return f"-p {playbook} runs that playbook of {directory or '.'}" if project else None


def check_ident_option(ident: str | None) -> None:
    """:raises click.UsageError: it was meant as an inventory, or cannot be one."""
    if ident and (os.path.isfile(ident) or ident.endswith(",")):
        what = "is a list of hosts" if ident.endswith(",") else "is a file"
        raise click.UsageError(f"-i is the ident of the job, and {ident} {what}; did you mean --inventory?")
    from ..job.parameters import check_ident

    try:
        check_ident(ident or "-")
    except ConfigurationError as exc:
        raise click.UsageError(str(exc)) from exc


_what = sections(
    "Job",
    option(
        "-p",
        "--playbook",
        shell_complete=complete("playbooks"),
        metavar="FILE",
        envvar=["RUNNER_PLAYBOOK"],
        help="The playbook to run, in the project directory.",
    ),
    option("-m", "--module", metavar="NAME", envvar=["RUNNER_MODULE"], help="The module to run, without a playbook."),
    option("-r", "--role", metavar="NAME", envvar=["RUNNER_ROLE"], help="The role to run, without a playbook."),
    option("-a", "--args", "module_args", metavar="ARGS", help="Arguments for the module."),
    option("--hosts", metavar="PATTERN", help="The hosts to run a module or role on."),
    option("-l", "--limit", metavar="PATTERN", help="Run on these hosts of the inventory only."),
    option(
        "--inventory",
        metavar="SOURCE",
        multiple=True,
        help="An inventory file, directory or script, or host1,host2. They add up.",
    ),
    option("-f", "--forks", type=click.IntRange(min=1), metavar="N", help="How many hosts at once."),
    option("--cmdline", metavar="OPTIONS", help="Options for ansible-playbook or ansible."),
    option("-v", "verbosity", "--verbosity", count=True, help="More output of Ansible; up to five times."),
)

_runner = sections(
    "More about the job",
    option(
        "-b",
        "--binary",
        metavar="PATH",
        envvar=["RUNNER_BINARY"],
        help="Full path of the command to run instead of Ansible's.",
    ),
    option(
        "--rotate-artifacts",
        metavar="N",
        type=int,
        default=0,
        help="Accepted as ansible-runner does; nothing is removed.",
    ),
    option("--artifact-dir", metavar="DIR", help="Directory of artifacts. [default: DIR/artifacts]"),
    option("--project-dir", metavar="DIR", help="Directory of playbooks; travels as DIR/project."),
    option("--omit-event-data", is_flag=True, help="Leave the data out of events."),
    option("--only-failed-event-data", is_flag=True, help="Leave the data out of events that are not failures."),
    option("--omit-env-files", "suppress_env_files", is_flag=True, help="Have no files of the env directory written."),
    option(
        "--roles-path", metavar="DIRS", envvar=["ANSIBLE_ROLES_PATH"], help="Directories of roles; they travel along."
    ),
    option("--role-vars", metavar="VARS", help="Variables for the role: 'name=value name2=value2'."),
    option("--role-skip-facts", is_flag=True, help="Gather no facts for the role."),
)

_containers = sections(
    "Isolation",
    option("--container-image", metavar="IMAGE", help="Run the job in a container of this image."),
    option(
        "--container-volume-mount",
        "container_volume_mounts",
        metavar="MOUNT",
        multiple=True,
        help="HOST_DIR:CONTAINER_DIR[:OPTIONS].",
    ),
    option(
        "--container-option",
        "container_options",
        metavar="OPTION",
        multiple=True,
        help="An option for the container engine.",
    ),
)

# what ansible-runner transmit lacks

_isolation = sections(
    "Isolation",
    option("--process-isolation", is_flag=True, help="Isolate the job in a container or sandbox."),
    option("--process-isolation-executable", metavar="NAME", help="podman, docker or bwrap."),
    option("--process-isolation-path", metavar="DIR", help="Where a sandbox keeps its files."),
    option(
        "--process-isolation-hide-paths", metavar="PATH", multiple=True, help="A path that the sandbox does not show."
    ),
    option("--process-isolation-show-paths", metavar="PATH", multiple=True, help="A path that the sandbox shows."),
    option(
        "--process-isolation-ro-paths", metavar="PATH", multiple=True, help="A path that the sandbox shows read-only."
    ),
    option(
        "--directory-isolation-base-path", metavar="DIR", help="Run on a copy of the project, below this directory."
    ),
    option(
        "--container-workdir", metavar="DIR", help="Where the command runs in the container. [default: /runner/project]"
    ),
    option(
        "--container-auth-data",
        metavar="FILE",
        help="Credentials for the registry: host, username, password, verify_ssl.",
    ),
)

_more = sections(
    "Job",
    option("-t", "--tags", metavar="TAGS", multiple=True, help="Only tasks with these tags. Several add up."),
    option("--skip-tags", metavar="TAGS", multiple=True, help="No tasks with these tags. Several add up."),
    option("-e", "--extra-vars", metavar="VARS", multiple=True, help="Variables: name=value, JSON, YAML, or @FILE."),
    option(
        "-i", "--ident", metavar="NAME", help="Name of the job, and of its directory of artifacts. [default: random]"
    ),
    option(
        "--task-timeout",
        type=click.IntRange(min=1),
        metavar="SECONDS",
        help="A task fails for a host that takes longer. It is Ansible's own timeout.",
    ),
    option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches, by path in DIR or by name."),
    option(
        "--collect",
        multiple=True,
        metavar="GLOB",
        help="Bring back the files that match and that the job makes or changes, into artifacts/IDENT/collected.",
    ),
)

_job_options = option_group(JobOptions, "what", [*_what, *_more, *_runner, *_containers, *_isolation])
_ansible_options = option_group(AnsibleOptions, "ansible", ansible_option_list)


def job_options(function: F) -> F:
    """A job's own options, and Ansible's."""
    return _ansible_options(_job_options(function))
