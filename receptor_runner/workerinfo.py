"""What a node is and can do, for who wants to place jobs on it: ``worker --worker-info``.

Rules: answers within a second and starts no process; what cannot be told is an entry of ``errors`` and no exception.
The first five keys are the peer's, and a node keeps the ``uuid`` that the peer gave it: controllers warn when that
changes."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import __version__
from .environment import bare_environment_filled
from .messages import EXTENSIONS, JSONObject
from .replacement import create_file
from .utils.capacity import get_cpu_count, get_mem_in_bytes

__all__ = ["COMPATIBLE_VERSION", "ansible_core_version", "worker_info"]

#: The version of ansible-runner whose stream, options and Python interface this package has.
COMPATIBLE_VERSION = "2.4.3"
#: Where the peer keeps a node's ``uuid``.
_UUID_FILE = ".ansible_runner_uuid"
_MACHINE_ID = Path("/etc/machine-id")
_ENGINES = ("podman", "docker", "bwrap")
_DISTRIBUTION = re.compile(r"ansible_core-(\d[^-]*)(?:\.dist-info|(?:-py[\d.]+)?\.egg-info)")


def worker_info() -> JSONObject:
    """``runner_version``, ``cpu_count`` (a fraction if a control group says so), ``mem_in_bytes``, ``uuid`` and
    ``errors`` as of ``ansible-runner worker --worker-info``; and ours: ``version``, ``python_version``,
    ``ansible_core_version`` (None if there is none), ``container_engines`` and ``stream_extensions``.
    """
    errors: list[str] = []

    def told(what: str, ask: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return ask()
        except Exception as exc:  # one fact that cannot be told hides no other
            errors.append(f"cannot tell {what}: {exc}")
            return otherwise

    info = {
        "runner_version": COMPATIBLE_VERSION,
        "cpu_count": told("how many processors there are", get_cpu_count, 0),
        "mem_in_bytes": told("how much memory there is", get_mem_in_bytes, 0),
        "uuid": told("the uuid of this node", _node_uuid, ""),
        "errors": errors,
        "version": __version__,
        "python_version": platform.python_version(),
        "ansible_core_version": told("the version of ansible-core", lambda: ansible_core_version(os.environ), None),
        "container_engines": [name for name in _ENGINES if shutil.which(name)],
        "stream_extensions": list(EXTENSIONS),
    }
    if info["ansible_core_version"] is None:
        errors.append("there is no ansible-playbook here, neither on PATH nor beside this program")
    return info


def ansible_core_version(environment: Any) -> str | None:
    """Of the ``ansible-playbook`` that a job with this environment would run; None if there is none, or nothing beside
    it tells.

    Read from the name of its distribution's metadata: to ask the program takes most of a second.
    """
    path = bare_environment_filled(environment, "/")["PATH"]
    program = shutil.which("ansible-playbook", path=path)
    if program is None:
        return None
    for top in dict.fromkeys((Path(program).parent.parent, Path(os.path.realpath(program)).parent.parent)):
        for pattern in ("lib/python3*/site-packages", "lib/python3*/dist-packages", "lib64/python3*/site-packages"):
            for directory in sorted(top.glob(pattern)):
                version = _version_in(directory)
                if version is not None:
                    return version
    return None


def _version_in(directory: Path) -> str | None:
    try:
        names = os.listdir(directory)
    except OSError:
        return None
    found = (_DISTRIBUTION.fullmatch(name) for name in names)
    return next((match[1] for match in found if match), None)


def _node_uuid() -> str:
    """The peer's, if it gave one; else one that this machine keeps: written where the peer would, or made from the
    machine's id where there is no home to write to.

    :raises OSError: there is neither.
    """
    path = Path(bare_environment_filled(os.environ, "/")["HOME"]) / _UUID_FILE
    known = _read_uuid(path)
    if known is None:
        fresh = str(uuid.uuid4())
        try:
            create_file(path, fresh.encode())
        except OSError:
            return _machine_uuid()
        known = _read_uuid(path) or fresh
    return known


def _read_uuid(path: Path) -> str | None:
    try:
        return str(uuid.UUID(path.read_text(encoding="ascii").strip()))
    except (OSError, ValueError):
        return None


def _machine_uuid() -> str:
    """The id itself is confidential (machine-id(5)): only a digest of it leaves the machine."""
    digest = hashlib.sha256(b"receptor-runner " + _MACHINE_ID.read_bytes().strip()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
