"""What a node is and can do, for controllers that place jobs: ``worker --worker-info``.

Rules: this answers within a second and starts no process. What cannot be told is an entry of ``errors``, and not an
exception. The first five keys are ansible-runner's. A node keeps the ``uuid`` that ansible-runner gave it, because
controllers warn when that changes."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..archive.format import DELTA, SEALED, ZIP
from ..preparation.ansible_version import core_version
from ..preparation.environment import bare_environment_filled
from ..stream.messages import EXTENSIONS, JSONObject
from ..system.files import create_file
from ..system.mounts import IN_MEMORY, file_system_of
from ..system.places import temporary_place
from ..utils.capacity import get_cpu_count, get_mem_in_bytes
from .node_means import USUAL, NodeMeans

__all__ = ["COMPATIBLE_VERSION", "worker_info"]

#: The version of ansible-runner whose stream, options and Python interface this package has.
COMPATIBLE_VERSION = "2.4.3"
#: Where ansible-runner keeps a node's ``uuid``.
_UUID_FILE = ".ansible_runner_uuid"
_LONGEST_UUID = 40
_MACHINE_ID = Path("/etc/machine-id")
_ENGINES = ("podman", "docker", "bwrap")


def worker_info(version: str, means: NodeMeans = USUAL) -> JSONObject:
    """``runner_version``, ``cpu_count`` (a fraction if a control group says so), ``mem_in_bytes``, ``uuid`` and
    ``errors`` as of ``ansible-runner worker --worker-info``; and ours: ``version``, ``python_version``,
    ``ansible_core_version`` (None if there is none), ``container_engines``, ``stream_extensions``,
    ``disk_free_in_bytes`` where jobs work, ``archive_formats`` of jobs, ``seal_key`` (32 bytes in base64; None if there
    is none), ``seals_in_memory`` (whether sealed jobs work in memory; None if there is no key), ``store`` (None if
    there is none) with its ``directory``, ``used_in_bytes``, ``limit_in_bytes`` and ``keeps_directories`` (whether
    directories can move between it and where jobs work), and ``time``, in seconds since the epoch.

    :param version: of this package.
    :param means: what the node has for jobs that are no plain archives.
    """
    errors: list[str] = []

    def told(what: str, ask: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return ask()
        except Exception as exc:  # one fact that cannot be told hides no other
            errors.append(f"cannot tell {what}: {exc}")
            return otherwise

    kept = told("what is stored", lambda: _store_use(means), None)
    key = told("its key for sealed jobs", lambda: _seal_key(means), None)
    info = {
        "runner_version": COMPATIBLE_VERSION,
        "cpu_count": told("how many processors there are", get_cpu_count, 0),
        "mem_in_bytes": told("how much memory there is", get_mem_in_bytes, 0),
        "uuid": told("the uuid of this node", _node_uuid, ""),
        "errors": errors,
        "version": version,
        "python_version": platform.python_version(),
        "ansible_core_version": told("the version of ansible-core", _core_version, None),
        "container_engines": [name for name in _ENGINES if shutil.which(name)],
        "stream_extensions": list(EXTENSIONS),
        "archive_formats": [ZIP.name, *([DELTA] if kept is not None else []), *([SEALED] if key is not None else [])],
        "store": kept,
        "seal_key": key,
        "seals_in_memory": file_system_of(means.seal_dir or temporary_place()) in IN_MEMORY if key else None,
        "disk_free_in_bytes": told("how much room there is", _free_bytes, 0),
        "time": time.time(),
    }
    if info["ansible_core_version"] is None:
        errors.append("there is no ansible-playbook here, neither on PATH nor beside this program")
    if means.seal_dir is not None:
        errors += _faults_of_seal_dir(means.seal_dir)
    return info


def _core_version() -> str | None:
    """Of the ``ansible-playbook`` that a job would run."""
    return core_version("ansible-playbook", bare_environment_filled(os.environ, "/")["PATH"])


def _store_use(means: NodeMeans) -> JSONObject | None:
    store = means.open_store()
    if store is None and means.store is not None and means.store_size:
        from ..delta.content_store import ContentStore

        store = ContentStore(means.store, means.store_size)  # says why there is none
    if store is None:
        return None
    with store:
        use = store.use()
        kept = store.keeps_trees_of(temporary_place())
    return {
        "directory": use.directory,
        "used_in_bytes": use.used,
        "limit_in_bytes": use.limit,
        "keeps_directories": kept,
    }


def _seal_key(means: NodeMeans) -> str | None:
    """The public half, in base64."""
    from ..sealing.node_key import NodeKey

    public = NodeKey(means.key_file).public()
    return base64.b64encode(public).decode() if public is not None else None


def _faults_of_seal_dir(place: str) -> Iterator[str]:
    if not (os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)):
        yield f"sealed jobs cannot work in {place}: it is no directory that this user can write to"
    elif os.statvfs(place).f_flag & os.ST_NOEXEC:
        yield f"scripts of sealed jobs cannot run in {place}: it is mounted with noexec"


def _free_bytes() -> int:
    return shutil.disk_usage(temporary_place()).free


def _node_uuid() -> str:
    """ansible-runner's, if it gave one; else one that this machine keeps. That one is written where ansible-runner
    would write it. Where there is no home to write to, it is made from the machine's id.

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
        known = _read_uuid(path) or _machine_uuid()
    return known


def _read_uuid(path: Path) -> str | None:
    """Whatever is there, as ansible-runner does, if it can be an id at all. Controllers keep 40 characters."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if 0 < len(text) <= _LONGEST_UUID and text.isprintable() else None


def _machine_uuid() -> str:
    """The id itself is confidential (machine-id(5)): only a digest of it leaves the machine."""
    digest = hashlib.sha256(b"receptor-runner " + _MACHINE_ID.read_bytes().strip()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
