"""Inventories that are not simply a file of the private data dir: text, dictionaries, host lists, several, and those
from elsewhere.

Rules: nothing is written. A source becomes files, named relative to a directory, and the caller puts them where it
needs them: into an archive or into a private data dir. Several sources become one directory, because ansible-runner's
worker dies on a list. Ansible reads the sources in that directory in the order of their names. Group and host
variables beside each source stay in effect."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..archive.collect import Report, collect
from ..archive.entry import Entry

__all__ = ["as_files", "external_files", "find_source", "is_host_list", "merged_files"]

_VARIABLES = ("group_vars", "host_vars")


def is_host_list(source: str) -> bool:
    """Ansible's own short form: ``host1,host2`` or ``host1,``."""
    return "," in source and "\n" not in source and "=" not in source


def find_source(source: str, bases: Sequence[Path]) -> Path | None:
    """The file or directory that ``source`` names, below the first of ``bases`` that has it."""
    if "\n" in source or len(source) > 4096:
        return None
    for base in bases:
        candidate = base / source
        if os.path.exists(candidate):
            return candidate
    return None


def as_files(source: str | Mapping[str, Any]) -> tuple[str, bytes]:
    """A name and content for an inventory given as data or text."""
    if isinstance(source, Mapping):
        return "hosts.json", json.dumps(source).encode()
    if is_host_list(source):
        hosts = [host.strip() for host in source.split(",") if host.strip()]
        return "hosts", "".join(f"{host}\n" for host in hosts).encode()
    return "hosts", source.encode()


def external_files(source: Path, prefix: str, report: Report) -> Iterator[Entry]:
    """A file or directory from elsewhere, with the variables beside it, below ``prefix``."""
    if os.path.isdir(source):
        yield from collect(str(source), report, prefix=prefix)
        return
    yield _file(source, prefix + source.name)
    for directory in _VARIABLES:
        beside = source.parent / directory
        if os.path.isdir(beside):
            yield _directory(beside, prefix + directory)
            yield from collect(str(beside), report, prefix=f"{prefix}{directory}/")


def merged_files(sources: list[Any], bases: Sequence[Path], prefix: str, report: Report) -> Iterator[Entry]:
    """Several sources as one directory below ``prefix``."""
    variables: dict[str, str] = {}
    for number, source in enumerate(sources):
        found = find_source(source, bases) if isinstance(source, str) else None
        rank = f"{number:03d}"
        if found is None:
            name, data = as_files(source)
            yield Entry.of_bytes(f"{prefix}{rank}-{name}", data)
            continue
        beside = found if os.path.isdir(found) else found.parent
        skip = frozenset(f"{prefix}{rank}-{found.name}/{directory}" for directory in _VARIABLES)
        if os.path.isdir(found):
            below = f"{prefix}{rank}-{found.name}"
            yield _directory(found, below)
            yield from collect(str(found), report, prefix=below + "/", skip=skip)
        else:
            yield _file(found, f"{prefix}{rank}-{found.name}")
        for directory in _VARIABLES:
            yield from _merged_variables(beside / directory, f"{prefix}{directory}", rank, report, variables)


def _merged_variables(directory: Path, prefix: str, rank: str, report: Report, seen: dict[str, str]) -> Iterator[Entry]:
    """Variables for NAME, from one source, as files in a directory NAME: Ansible reads those in name order."""
    if not os.path.isdir(directory):
        return
    if prefix not in seen:
        seen[prefix] = rank
        yield _directory(directory, prefix)
    for item in sorted(directory.iterdir()):
        group = (
            item.name if os.path.isdir(item) else item.stem if item.suffix in (".yml", ".yaml", ".json") else item.name
        )
        target = f"{prefix}/{group}"
        if target not in seen:
            seen[target] = rank
            yield Entry(target, stat.S_IFDIR | 0o755, 0)
        if os.path.isdir(item):
            for entry in collect(str(item), report):
                yield Entry(
                    f"{target}/{rank}-{entry.name}", entry.mode, entry.mtime_ns, entry.size, entry.path, entry.data
                )
        else:
            yield _file(item, f"{target}/{rank}-{item.name}")


def _file(path: Path, name: str) -> Entry:
    found = path.stat()
    return Entry(name, found.st_mode, found.st_mtime_ns, found.st_size, path=os.path.realpath(path))


def _directory(path: Path, name: str) -> Entry:
    found = path.stat()
    return Entry(name, found.st_mode, found.st_mtime_ns, path=str(path))
