"""What an embedded node is if nobody configured it: one worktype, our own worker, and a place of its own.

Rules: the worker is that of this very package and interpreter. A private node has a directory with its configuration
and data, so that it can be started again with the units that it left."""

from __future__ import annotations

import json
import os
import shlex
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, InputError, OutputError
from ..job.place import IN_PLACE
from ..limits import KEEPALIVE_SECONDS
from ..receptor.address import LONGEST_SOCKET
from ..records.state_dir import nodes_directory, state_directory
from ..system.boot import python_argv

if TYPE_CHECKING:
    from .config import NodeConfig

__all__ = ["PRIVATE", "WORKTYPE", "config_files", "default_config", "prepare_private", "private_socket"]

WORKTYPE = "receptor-runner"
#: What a private node is called.
PRIVATE = "private"


def config_files(given: Iterable[str]) -> list[str]:
    """A directory stands for its ``*.yml``, in the order of their names.

    :raises InputError: there is no such file, or a directory has none.
    """
    files: list[str] = []
    for path in given:
        if os.path.isdir(path):
            found = sorted(str(file) for file in Path(path).glob("*.yml"))
            if not found:
                raise InputError(f"the directory {path} has no *.yml")
            files += found
        else:
            files.append(path)
    return files


def default_config(socket_path: str | None) -> NodeConfig:
    """A node named as this machine is."""
    path = os.path.abspath(socket_path) if socket_path else str(state_directory() / "node.sock")
    if len(os.fsencode(path)) > LONGEST_SOCKET:
        text = f"the path of the socket is longer than {LONGEST_SOCKET} bytes: {path}"
        raise ConfigurationError(text, hint="choose a shorter one with --socket")
    from .config import NodeConfig, WorkCommand

    config = NodeConfig(socket.gethostname(), str(state_directory() / "node"), path)
    program, *arguments = _worker_command()
    config.worktypes[WORKTYPE] = WorkCommand(WORKTYPE, program, shlex.join(arguments), allow_runtime_params=True)
    return config


def _worker_command() -> list[str]:
    return python_argv("receptor_runner.cli.main", "worker", "--keepalive-seconds", f"{KEEPALIVE_SECONDS:g}")


def prepare_private() -> tuple[str, str]:
    """A directory for a private node with its ``receptor.yml``, and the path of its socket.

    :raises OutputError: they cannot be made.
    """
    try:
        directory = tempfile.mkdtemp(prefix="node-", dir=nodes_directory())
        path = _short_socket(directory)
        program, *arguments = _worker_command()
        items = [
            {"node": {"id": PRIVATE, "datadir": os.path.join(directory, "data")}},
            {"control-service": {"service": "control", "filename": path}},
            *(
                {
                    "work-command": {
                        "worktype": name,
                        "command": program,
                        "params": shlex.join([*arguments, *more]),
                        "allowruntimeparams": True,
                    }
                }
                for name, more in ((WORKTYPE, []), (IN_PLACE, ["--in-place"]))
            ),
        ]
        with open(os.path.join(directory, "receptor.yml"), "w", encoding="utf-8") as file:
            json.dump(items, file)
    except OSError as exc:
        raise OutputError(f"cannot make a private node: {exc.strerror}") from exc
    return directory, path


def private_socket(directory: str) -> str:
    """The path of the socket of the private node in ``directory``.

    :raises InputError: none was prepared there.
    """
    try:
        with open(os.path.join(directory, "receptor.yml"), encoding="utf-8") as file:
            return str(json.load(file)[1]["control-service"]["filename"])
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise InputError(f"{directory} has no configuration") from exc


def _short_socket(directory: str) -> str:
    """In the node's own directory if its path is short enough for a socket, else in a runtime directory."""
    for base in (directory, os.environ.get("XDG_RUNTIME_DIR") or "", tempfile.gettempdir(), "/tmp"):
        name = "control.sock" if base == directory else f"{os.path.basename(directory)}.sock"
        path = os.path.join(base, name)
        if os.path.isdir(base) and len(os.fsencode(path)) <= LONGEST_SOCKET:
            return path
    raise ConfigurationError("there is no directory with a path short enough for a socket; set XDG_RUNTIME_DIR")
