"""The inventory of a job as it leaves: what the parameter becomes, and what of it goes into the archive.

Rules: nothing is written. What travels is named relative to the private data dir. Several sources travel as one
directory, because ansible-runner's worker dies on a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..archive.collect import Report
from ..archive.entry import Entry
from ..errors import ConfigurationError, InputError, MissingError
from ..job.inventory import as_files, external_files, find_source, is_host_list, merged_files
from ..job.private_data import PrivateDataDir

__all__ = ["OutgoingInventory", "relative_to"]

_EXTERNAL = "inventory-external"
_MERGED = "inventory-merged"
_GIVEN = "inventory-given"


class OutgoingInventory:
    """:param bases: where a path is looked for.
    :param report: told what cannot travel.
    :param typed: it was typed on a command line: a text is a path or a list of hosts.
    """

    def __init__(self, private_data: PrivateDataDir, bases: tuple[Path, ...], report: Report, *, typed: bool) -> None:
        #: What goes into the archive, once the parameter is known.
        self.entries: list[Iterable[Entry]] = []
        self._private_data = private_data
        self._bases = bases
        self._report = report
        self._typed = typed

    def travelling(self, source: Any) -> str:
        """The parameter for another machine.

        :raises InputError: a path is not there, or names nothing that could be an inventory.
        :raises ConfigurationError: it is no inventory.
        """
        found = self._found(source)
        if found is not None:
            return self._file(found)
        if isinstance(source, list):
            return self._several(source)
        if not isinstance(source, (str, Mapping)):
            raise ConfigurationError(
                f"an inventory cannot be {type(source).__name__}; give a path, text, dictionary or list"
            )
        if isinstance(source, str):
            self._check_text(source)
        directory = _GIVEN if os.path.isfile(self._private_data.inventory) else "inventory"
        name, data = as_files(source)
        self.entries.append([Entry.of_bytes(f"{directory}/{name}", data)])
        return f"{directory}/{name}"

    def staying(self, source: Any, *, by_text: bool) -> Any:
        """The parameter for this machine, wherever the command runs.

        :param by_text: texts are looked at, too: nobody has done so before.
        """
        if isinstance(source, list) and by_text:
            return [self.staying(one, by_text=True) for one in source]
        found = self._found(source)
        if found is not None:
            return relative_to(found, self._private_data.path) or os.path.abspath(found)
        if isinstance(source, str) and by_text:
            self._check_text(source)
        return source

    def _found(self, source: Any) -> Path | None:
        """:raises InputError: it is neither a file nor a directory."""
        found = find_source(source, self._bases) if isinstance(source, str) else None
        if found is not None and not (os.path.isfile(found) or os.path.isdir(found)):
            raise InputError(f"the inventory {found} is neither a file nor a directory")
        return found

    def _file(self, found: Path) -> str:
        inside = relative_to(found, self._private_data.path)
        if inside is not None:
            return inside
        self.entries.append(external_files(found, f"{_EXTERNAL}/", self._report))
        return _EXTERNAL if os.path.isdir(found) else f"{_EXTERNAL}/{found.name}"

    def _several(self, sources: list[Any]) -> str:
        for one in sources:
            if not isinstance(one, (str, Mapping)):
                raise ConfigurationError("each inventory of a list must be a text or a dictionary")
            if isinstance(one, str) and find_source(one, self._bases) is None:
                self._check_text(one)
        self.entries.append(merged_files(sources, self._bases, f"{_MERGED}/", self._report))
        return _MERGED

    def _check_text(self, source: str) -> None:
        """A text that looks like a path, or can only be one, must be there."""
        only_a_path = self._typed and not is_host_list(source)
        if only_a_path or (source.startswith("/") and "\n" not in source):
            raise MissingError(f"the inventory {source[:200]} does not exist")


def relative_to(path: Path, base: Path) -> str | None:
    """``path`` below ``base``, or None; a link out of ``base`` is not below it."""
    real_base, real = os.path.realpath(base), os.path.realpath(path)
    if real != real_base and not real.startswith(real_base + os.sep):
        return None
    inside = os.path.relpath(os.path.abspath(path), base)
    return None if inside.startswith("..") else inside
