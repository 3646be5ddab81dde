"""Worktypes: the ``work-command`` item that makes a node offer one, and many such files as one configuration.

Rules: whatever the daemon would refuse, or get wrong without a word, is refused here with file and line. The daemon
must restart for a new worktype, because it is not reloadable (pkg/controlsvc/reload.go)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from ..errors import ConfigurationError, InputError, OutputError
from ..system.files import replace_file
from .configuration import Item, read_items, read_text

__all__ = ["RESTART", "check_items", "flags", "fragment", "fragments", "render"]

RESTART = "a worktype is not reloadable: restart the daemon (KillMode=process keeps its jobs)"
_SINGLE = ("node", "local-only", "log-level", "work-signing", "work-verification")
_RESERVED = "remote"
#: Where a YAML document begins or ends.
_MARK = re.compile(r"(?:---|\.\.\.)(?:\s.*)?")


def fragment(worktype: str, *, signed: bool = False, command: tuple[str, str] | None = None) -> str:
    """A ``work-command`` for this machine.

    :param command: a program and its parameters; default: the absolute path of this very command.
    :raises ConfigurationError: the name cannot be a worktype's.
    """
    if not _is_name(worktype):
        raise ConfigurationError(f"a worktype cannot be named {worktype!r}")
    program, params = command or _command()
    lines = [
        "- work-command:",
        f"    worktype: {_quoted(worktype)}",
        f"    command: {_quoted(program)}",
        f"    params: {_quoted(params)}",
        "    allowruntimeparams: true",
    ]
    if signed:
        lines.append("    verifysignature: true")
    return "\n".join(lines) + "\n"


def _is_name(worktype: str) -> bool:
    """Whether a worktype can have this name, and be used by the words of a control service."""
    return bool(worktype) and worktype != _RESERVED and not any(char.isspace() for char in worktype)


def _command() -> tuple[str, str]:
    """The installed command, or this interpreter with the module."""
    words = ["worker", "--keepalive-seconds", "10"]
    beside = os.path.join(os.path.dirname(sys.executable), "receptor-runner")
    found = beside if os.access(beside, os.X_OK) else shutil.which("receptor-runner")
    if found:
        return os.path.abspath(found), shlex.join(words)
    return sys.executable, shlex.join(["-m", "receptor_runner", *words])


def _quoted(text: str) -> str:
    """As a plain YAML scalar where that is safe."""
    plain = text and all(char.isalnum() or char in "/._- " for char in text) and text[0] not in "- " and text[-1] != " "
    return text if plain else "'" + text.replace("'", "''") + "'"


def fragments(directory: str, base: str | None = None) -> list[str]:
    """The files that make up a configuration: ``base``, then the directory's ``*.yml`` in the order of their names.

    :raises InputError: there is no such directory, or nothing in it.
    """
    if not os.path.isdir(directory):
        raise InputError(f"the directory {directory} does not exist")
    found = sorted((str(path) for path in Path(directory).glob("*.yml")), key=os.fsencode)
    if not found:
        raise InputError(f"the directory {directory} has no *.yml; only these are read")
    return [os.path.abspath(path) for path in ([base] if base else []) + found]


def flags(files: Iterable[str]) -> str:
    """The files as the daemon's ``--config`` options, for its unit file.

    :raises ConfigurationError: together they are no configuration.
    """
    files = list(files)
    check_items(read_items(files))
    return shlex.join(word for file in files for word in ("--config", file)) + "\n"


def render(files: Iterable[str], out: str | None) -> str:
    """The files joined into one configuration; written to ``out`` as a whole if that is given.

    :raises ConfigurationError: together they are no configuration.
    :raises OutputError: ``out`` cannot be written.
    """
    files = list(files)
    items = read_items(files)
    check_items(items)
    parts = ["---\n"]
    for file in files:
        parts.append(f"# {file}\n{_as_block(Path(file).read_text(encoding='utf-8'))}\n")
    joined = "\n".join(parts)
    if [item._replace(file="", line=0) for item in read_text(joined, "the joined configuration")] != [
        item._replace(file="", line=0) for item in items
    ]:
        raise ConfigurationError(
            "the files cannot be joined into one", hint="use --flags, or write them as plain lists"
        )
    if out is not None:
        try:
            replace_file(out, joined.encode(), mode=0o666)
        except OSError as exc:
            raise OutputError(f"cannot write {out}: {exc.strerror}") from exc
    return joined


def _as_block(text: str) -> str:
    """A list as it stands in its file, or written anew if it could not stand below another one."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, yaml.SequenceNode) and (root.flow_style or root.start_mark.column):
        written: str = yaml.safe_dump(yaml.safe_load(text), sort_keys=False)
        return written.rstrip("\n")
    return "\n".join(line for line in text.splitlines() if not _MARK.fullmatch(line)).strip("\n")


def check_items(items: list[Item]) -> None:
    """What the daemon checks in each file alone, or not at all.

    :raises ConfigurationError: together they are no configuration.
    """
    seen: dict[tuple[str, str], Item] = {}
    for item in items:
        key = _key(item)
        if key is not None:
            if key in seen:
                what = f"{key[1]!r} is" if key[1] else "it is"
                raise item.refuse(f"{what} there already, in {seen[key].where}")
            seen[key] = item
        if item.name == "work-command":
            _check_command(item)
            if item.flag("verifysignature") and not any(one.name == "work-verification" for one in items):
                raise item.refuse("verifysignature needs an item work-verification with the public key")


def _key(item: Item) -> tuple[str, str] | None:
    """What may be there only once."""
    if item.name in _SINGLE:
        return item.name, ""
    if item.name == "control-service":
        return item.name, item.text("service", "control")
    if item.name.startswith("work-") and item.text("worktype"):
        return "worktype", item.text("worktype")
    return None


def _check_command(item: Item) -> None:
    command = item.text("command")
    if not _is_name(item.text("worktype")):
        raise item.refuse(f"a worktype cannot be named {item.text('worktype')!r}")
    if shutil.which(command) is None:
        raise item.refuse(f"the command {command} is not there, or is not executable; every job would fail")
    try:
        shlex.split(item.text("params"))
    except ValueError as exc:
        raise item.refuse(f"params cannot be split into words: {exc}") from exc
