"""The words of a job's command, as the job itself sees them.

Rules: order and precedence are ansible-runner's (ansible_runner/config/runner.py). No value of a variable and no
secret is among the words. Those are in files."""

from __future__ import annotations

import shlex

from ..errors import ConfigurationError
from ..job.extra_vars import found_word
from ..job.parameters import Parameters
from ..job.private_data import PrivateDataDir
from ..job.resolved import ResolvedJob
from .input_files import InputFiles

__all__ = ["command_line", "with_ssh_agent"]

_KEY_SOURCES = "env/ssh_key, or the parameter ssh_key"
#: Ansible tells nothing more beyond this many.
_MOST_VERBOSE = 6


def command_line(job: ResolvedJob, private_data: PrivateDataDir, input_files: InputFiles) -> list[str]:
    """:raises ConfigurationError: the parameters make no command.
    :raises InputError: a file that they name is missing.
    """
    raw = private_data.text("args")
    if raw is not None:
        argv = _split(raw, str(private_data.args))
        if not argv:
            raise ConfigurationError(f"{private_data.args} is empty; it must contain a whole command line")
        return argv
    parameters = job.parameters
    binary, module = parameters["binary"], parameters["module"]
    playbook = input_files.playbook()
    if module and playbook:
        raise ConfigurationError("Only one of playbook and module options are allowed")
    if not (binary or module or playbook):
        raise ConfigurationError(
            "Runner playbook required when running ansible-playbook; give a playbook, module or role"
        )
    argv = [str(binary or ("ansible" if module else "ansible-playbook"))]
    for word in _split(job.cmdline, "the command line options"):
        argv.append(found_word(word, private_data.path, input_files.path_map.inside))
    argv += _ansible_options(parameters, input_files)
    if not binary:
        argv += _module_arguments(parameters) if module else [str(playbook)]
    return argv


def _ansible_options(parameters: Parameters, input_files: InputFiles) -> list[str]:
    argv: list[str] = []
    for inventory in input_files.inventories():
        argv += ["-i", inventory]
    if parameters["limit"] is not None:
        argv += ["--limit", str(parameters["limit"])]
    for variables in input_files.extravars():
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


def with_ssh_agent(argv: list[str], key_path: str) -> list[str]:
    """``argv`` under an agent that holds the key; the fifo goes as soon as it has been read."""
    key = shlex.quote(key_path)
    refused = shlex.quote(f"ssh-add refuses the key of the job: {_KEY_SOURCES}")
    script = f"ssh-add {key} || {{ code=$?; echo {refused}; exit $code; }}; rm -f {key} && exec {shlex.join(argv)}"
    return ["ssh-agent", "sh", "-c", script]
