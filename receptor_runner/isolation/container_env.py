"""How a job's environment reaches the job through a program that is started on this machine.

Rules: an engine or a sandbox gets only those of the job's variables under their own names that mean nothing to it. The
others travel under other names, and a shell inside gives them their names back. No value is ever an argument. Engines
keep files of what they are told. What is to be hidden from them is in a file that the shell inside reads, with the
words of the command."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence

from ..errors import ConfigurationError

__all__ = ["container_environment", "hidden_command"]

#: A path that says whose process it is.
_KEY_FILE = "RECEPTOR_RUNNER_KEY_FILE"
#: Variables that mean something to Ansible and to controllers alone.
_HARMLESS = re.compile(rf"(?:ANSIBLE|AWX|RUNNER|JOB|TOWER)_\w+|AD_HOC_COMMAND_ID|{_KEY_FILE}", re.A)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.A)
#: What ``bash`` does not let anybody set; two mean nothing to any program, two are dangerous.
_READ_ONLY = ("UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS")
_SHELLS_OWN = re.compile(r"BASH_FUNC_|SHELLOPTS$|BASHOPTS$")
_ALIAS = "RECEPTOR_RUNNER_ENV_"
_RENAME = 'for n in %s; do eval "export $n=\\"\\${%s$n}\\"; unset %s$n"; done; '
_NO_ECHO = "stty -echo 2>/dev/null; "
#: A shell dies of a file that it cannot read. The words are those for a program that it may not run.
_READ = '[ -r "$1" ] || { echo "sh: 1: exec: $1: Permission denied" >&2; exit 126; }; . "$1"; '


def container_environment(
    env: Mapping[str, str], known: Mapping[str, str], *, answers: bool
) -> tuple[dict[str, str], list[str]]:
    """:param known: what the program has in its environment anyway.
    :param answers: whether prompts will be answered; what is typed is not to be shown then.
    :returns: what goes into the program's environment for the job, and the words before its command, maybe none.
    :raises ConfigurationError: a variable cannot be carried.
    """
    variables: dict[str, str] = {}
    renamed = []
    for name, value in sorted(env.items(), key=lambda item: len(item[0])):
        if known.get(name) == value:
            continue
        if _HARMLESS.fullmatch(name):
            variables[name] = value
        elif _IDENTIFIER.fullmatch(name) and name not in _READ_ONLY:
            variables[_ALIAS + name] = value
            renamed.append(name)
        elif "*" in name or name != name.strip() or _SHELLS_OWN.match(name):
            raise ConfigurationError(f"the environment variable {name[:80]!r} cannot be passed to an isolated job")
        else:
            variables[name] = value
    script = _NO_ECHO if answers else ""
    if renamed:
        script += _RENAME % (" ".join(renamed), _ALIAS, _ALIAS)
    return variables, ["sh", "-c", f'{script}exec "$@"', "sh"] if script else []


def hidden_command(
    argv: Sequence[str], env: Mapping[str, str], path: str, *, answers: bool
) -> tuple[bytes, dict[str, str], list[str]]:
    """:param path: where the job will see the file.
    :param answers: as above.
    :returns: the content of the file; what the engine is told of the environment; the words that run the command.
    :raises ConfigurationError: a variable cannot be carried.
    """
    lines, told = ['rm -f -- "$1" 2>/dev/null\n'], {}
    for name, value in env.items():
        if name == _KEY_FILE:  # whoever looks for the job asks the engine's process
            told[name] = value
        elif _IDENTIFIER.fullmatch(name) and name not in _READ_ONLY:
            lines.append(f"export {name}={shlex.quote(value)}\n")
        else:
            raise ConfigurationError(
                f"the environment variable {name[:80]!r} cannot be passed to a sealed job in a container",
                hint="choose another name for it, of letters, digits and _",
            )
    lines.append(f"set -- {shlex.join(argv)}\n")
    script = _NO_ECHO if answers else ""
    return os.fsencode("".join(lines)), told, ["sh", "-c", f'{script}{_READ}exec "$@"', "sh", path]
