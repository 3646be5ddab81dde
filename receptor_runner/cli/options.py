"""Options that several commands share.

Rules: names and meanings are those of ``ansible-runner transmit``; what it lacks is below the line that says so.
Every option can be given as ``RECEPTOR_RUNNER_<OPTION>``, and the variables of ansible-runner are read, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from ..limits import LOST_AFTER_SECONDS, StreamLimits

__all__ = [
    "JOB_OPTIONS",
    "job_options",
    "limit_options",
    "log_options",
    "lost_after_option",
    "mesh_options",
    "option",
    "output_options",
    "record_options",
    "socket_options",
    "stream_limits",
]

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, envvar: Sequence[str] = (), **attributes: Any) -> Callable[[F], F]:
    """A click option that also reads its variable."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "RECEPTOR_RUNNER_" + long.lstrip("-").replace("-", "_").upper()
    return click.option(*names, envvar=[variable, *envvar], **attributes)


def _all(decorators: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


log_options = _all(
    [
        option("--debug/--no-debug", default=False, help="Log what happens, to standard error or the log file."),
        option("--log-file", "--logfile", "log_file", metavar="FILE", help="Append the log to FILE."),
    ]
)

output_options = _all(
    [
        option("-q", "--quiet", is_flag=True, help="Print nothing of the job's output."),
        option("-j", "--json", "json_mode", is_flag=True, help="Print the job's events as JSON lines."),
        option("--exit-zero", is_flag=True, help="Exit 0 however the job ended, as ansible-runner process does."),
    ]
)

record_options = _all(
    [
        click.option(
            "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print. [default: text]"
        )
    ]
)

_socket = [
    option("--socket", envvar=["RECEPTORCTL_SOCKET"], help="The control socket of a node: a path, tcp:// or tls://."),
    option("-c", "--config", envvar=["RECEPTORCTL_CONFIG"], help="Receptor's configuration, for socket and TLS."),
    option("--tls-client", envvar=["RECEPTORCTL_TLSCLIENT"], help="Name of a tls-client of that configuration."),
    option("--rootcas", help="Root certificates for a tls:// socket."),
    option("--key", help="Client key for a tls:// socket."),
    option("--cert", help="Client certificate for a tls:// socket."),
    option("--insecureskipverify", is_flag=True, help="Accept any certificate of a tls:// socket."),
]
socket_options = _all(_socket)

lost_after_option = option(
    "--lost-after",
    type=float,
    default=LOST_AFTER_SECONDS,
    metavar="SECONDS",
    help="Detach when the mesh was away so long.",
)

mesh_options = _all(
    [
        option("--node", help="The node to run on. [default: the node of the socket]"),
        option("--worktype", help="The worktype there. [default: receptor-runner, else ansible-runner]"),
        option("--ttl", metavar="TIME", help="Permit a node that is absent now, for so long: 30s, 10m, 1h."),
        option("--signwork/--no-signwork", default=None, help="Sign the work. [default: as the node advertises]"),
        lost_after_option,
        *_socket,
    ]
)

_limits = {
    "max_line": ("line", "Longest line of a stream, in bytes."),
    "max_archive": ("archive", "Largest archive in a stream, in bytes."),
    "max_unpacked": ("unpacked", "Most that an archive may grow to, in bytes."),
    "max_members": ("members", "Most files in an archive."),
}
#: Plain options: a worker's must not come from the environment of a daemon.
limit_options = _all(
    [
        click.option(f"--{name.replace('_', '-')}", name, type=click.IntRange(min=1), metavar="N", help=text)
        for name, (_, text) in _limits.items()
    ]
)


def stream_limits(options: dict[str, Any]) -> StreamLimits:
    """The limits that were given, and the defaults of the others."""
    given = {field: options[name] for name, (field, _) in _limits.items() if options[name] is not None}
    return StreamLimits(**given)


_what = [
    option("-p", "--playbook", envvar=["RUNNER_PLAYBOOK"], help="The playbook to run, in the project directory."),
    option("-m", "--module", envvar=["RUNNER_MODULE"], help="The module to run, without a playbook."),
    option("-r", "--role", envvar=["RUNNER_ROLE"], help="The role to run, without a playbook."),
    option("-a", "--args", "module_args", help="Arguments for the module."),
    option("--hosts", help="The hosts to run a module or role on."),
    option("--limit", help="Run on these hosts of the inventory only."),
    option("--inventory", help="An inventory file, directory or script, or host1,host2."),
    option("--forks", help="How many hosts at once."),
    option("--cmdline", help="Options for ansible-playbook or ansible."),
    option("-v", "verbosity", "--verbosity", count=True, help="More output of Ansible; up to five times."),
]

_runner = [
    option("-i", "--ident", help="Name of the job, and of its directory of artifacts. [default: random]"),
    option("-b", "--binary", envvar=["RUNNER_BINARY"], help="Full path of the command to run instead of Ansible's."),
    option("--rotate-artifacts", type=int, default=0, help="Accepted as ansible-runner does; nothing is removed."),
    option("--artifact-dir", help="Directory of artifacts. [default: DIR/artifacts]"),
    option("--project-dir", help="Directory of playbooks; travels as DIR/project."),
    option("--omit-event-data", is_flag=True, help="Leave the data out of events."),
    option("--only-failed-event-data", is_flag=True, help="Leave the data out of events that are not failures."),
    option("--omit-env-files", "suppress_env_files", is_flag=True, help="Have no files of the env directory written."),
    option("--roles-path", envvar=["ANSIBLE_ROLES_PATH"], help="Directories of roles; they travel along."),
    option("--role-vars", help="Variables for the role: 'name=value name2=value2'."),
    option("--role-skip-facts", is_flag=True, help="Gather no facts for the role."),
]

_containers = [
    option("--container-image", help="Run the job in a container of this image."),
    option(
        "--container-volume-mount", "container_volume_mounts", multiple=True, help="HOST_DIR:CONTAINER_DIR[:OPTIONS]."
    ),
    option("--container-option", "container_options", multiple=True, help="An option for the container engine."),
]

# what ansible-runner transmit lacks

_isolation = [
    option("--process-isolation", is_flag=True, help="Isolate the job in a container or sandbox."),
    option("--process-isolation-executable", help="podman, docker or bwrap."),
    option("--process-isolation-path", help="Where a sandbox keeps its files."),
    option("--process-isolation-hide-paths", multiple=True, help="A path that the sandbox does not show."),
    option("--process-isolation-show-paths", multiple=True, help="A path that the sandbox shows."),
    option("--process-isolation-ro-paths", multiple=True, help="A path that the sandbox shows read-only."),
    option("--directory-isolation-base-path", help="Run on a copy of the project, below this directory."),
    option("--container-workdir", help="Where the command runs in the container. [default: /runner/project]"),
    option(
        "--container-auth-data",
        metavar="FILE",
        help="Credentials for the registry: host, username, password, verify_ssl.",
    ),
]

_more = [
    option("--tags", help="Only tasks with these tags."),
    option("--skip-tags", help="No tasks with these tags."),
    option("-e", "--extra-vars", multiple=True, help="Variables: name=value, JSON, YAML, or @FILE."),
    option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches, by path in DIR or by name."),
]

job_options = _all([*_what, *_runner, *_containers, *_isolation, *_more])


def _names(decorate: Callable[[Any], Any]) -> frozenset[str]:
    def nothing() -> None:
        pass

    return frozenset(parameter.name for parameter in decorate(nothing).__click_params__)


#: Options that are parameters of a job.
JOB_OPTIONS = _names(job_options) - {"exclude"}
