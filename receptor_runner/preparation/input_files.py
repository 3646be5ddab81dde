"""Puts what a job was given as data into files of its private data dir, where Ansible finds them.

Rules: a path that is returned is the one by which the job sees the file. No existing file is written over. What need
not stand beside the user's files goes into the runtime directory of the job; the rest is listed in ``made``. Both are
removed when the job is over."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, InputError, MissingError, OutputError
from ..isolation.path_map import PathMap
from ..job.extra_vars import content_of
from ..job.inventory import as_files, find_source, is_host_list, merged_files
from ..job.parameters import Parameters, is_collection_playbook
from ..job.private_data import PrivateDataDir
from ..limits import MAX_INPUT_FILE
from ..system.below import read_regular

__all__ = ["InputFiles"]


@dataclass
class InputFiles:
    """Finds or makes the files of one job."""

    parameters: Parameters
    private_data: PrivateDataDir
    runtime: Path
    path_map: PathMap
    #: Whether the parameters were written on this machine.
    local: bool
    #: Whether the job is isolated: then no file of this machine is copied for a stranger's job.
    isolated: bool = False
    made: list[str] = field(default_factory=list)

    def playbook(self) -> str | None:
        """What to give ``ansible-playbook``, which says itself if there is no such playbook."""
        parameters = self.parameters
        play = parameters["playbook"]
        if parameters["role"]:
            play = [self._role_play()]
        if isinstance(play, Mapping):
            play = [play]
        if isinstance(play, (list, tuple)):
            return self._make(self.private_data.project, "main.json", json.dumps(play).encode()).name
        if not play:
            return None
        name = str(play)
        if is_collection_playbook(name):
            return name
        return self.path_map.inside(name)

    def _role_play(self) -> dict[str, object]:
        parameters = self.parameters
        role: dict[str, object] = {"name": parameters["role"]}
        if parameters["role_vars"]:
            role["vars"] = parameters["role_vars"]
        play: dict[str, object] = {"hosts": parameters["hosts"] or "all", "roles": [role]}
        if parameters["role_skip_facts"]:
            play["gather_facts"] = False
        return play

    def inventories(self) -> list[str]:
        """What to give as ``-i``, in order."""
        source = self.parameters["inventory"]
        if not source:
            return (
                [self.path_map.inside(self.private_data.inventory)]
                if os.path.exists(self.private_data.inventory)
                else []
            )
        sources = source if isinstance(source, list) else [source]
        mixed = isinstance(source, list) and not all(isinstance(one, str) for one in source)
        if mixed or any(isinstance(one, str) and self._is_elsewhere(one) for one in sources):
            return [self._merged(sources)]
        return [self._inventory(one) for one in sources]

    def _is_elsewhere(self, source: str) -> bool:
        """Whether ``source`` is on this machine and the job could not see it."""
        found = find_source(self.path_map.outside(source), self._bases())
        return found is not None and not self.path_map.shows(found) and not self._is_controllers(found)

    def _is_controllers(self, path: Path) -> bool:
        """Whether ``path`` is a path of the controller's machine. Such a path means nothing to a job that has a file
        system of its own.
        """
        return self.path_map.own_root and not self.local and not self.path_map.shows(path)

    def _bases(self) -> tuple[Path, ...]:
        return self.private_data.inventory, self.private_data.path

    def _inventory(self, source: Any) -> str:
        if isinstance(source, str):
            found = find_source(self.path_map.outside(source), self._bases())
            if found is not None and not self._is_controllers(found):
                return self.path_map.inside(found)
            if is_host_list(source):
                return source
            if source.startswith("/"):
                return self._missing_inventory(source)
        elif not isinstance(source, Mapping):
            raise ConfigurationError(f"an inventory must be a text or a dictionary, not {type(source).__name__}")
        name, data = as_files(source)
        return self.path_map.inside(self._make(self.private_data.inventory, name, data))

    def _missing_inventory(self, source: str) -> str:
        """A controller may send a path of its own machine. In a container ansible-runner then takes the inventory that
        travelled, and so do we.
        """
        if self.path_map.own_root and os.path.exists(self.private_data.inventory):
            return self.path_map.inside(self.private_data.inventory)
        raise MissingError(f"the inventory {source} does not exist")

    def _merged(self, sources: list[Any]) -> str:
        directory = self.runtime / "inventory"
        directory.mkdir(mode=0o700)
        here = [self._here(source) for source in sources]
        for entry in merged_files(here, self._bases(), "", lambda *_: None):
            path = directory / entry.name
            if entry.path is not None:
                self._check_ours(Path(entry.path))
            if stat.S_ISDIR(entry.mode):
                path.mkdir(mode=0o700)
                continue
            path.write_bytes(entry.data if entry.data is not None else _content(str(entry.path)))
            path.chmod(stat.S_IMODE(entry.mode) & 0o700)
        return self.path_map.inside(directory)

    def _here(self, source: Any) -> Any:
        if not isinstance(source, str):
            return source
        path = self.path_map.outside(source)
        if path.startswith("/") and "\n" not in path and find_source(path, self._bases()) is None:
            raise MissingError(f"the inventory {source} does not exist")
        return path

    def extravars(self) -> list[str]:
        """What to give as ``-e``: files, so that no value is seen in the process list."""
        arguments = []
        if os.path.isfile(self.private_data.env / "extravars"):
            arguments.append(f"@{self.path_map.inside(self.private_data.env / 'extravars')}")
        value = self.parameters["extravars"]
        if isinstance(value, dict) and value:
            path = self._make_private("extravars.json", json.dumps(value).encode())
            arguments.append(f"@{self.path_map.inside(path)}")
        elif isinstance(value, str) and value:
            arguments.append(self._file_argument(value))
        elif isinstance(value, list):
            arguments += [self._argument(number, text) for number, text in enumerate(value)]
        return arguments

    def _argument(self, number: int, text: str) -> str:
        """What to give for a text as ``-e`` takes it."""
        if text.startswith("@"):
            return self._file_argument(text[1:])
        content = content_of(text)
        if content is None:
            return text
        return f"@{self.path_map.inside(self._make_private(f'extravars-{number}', content))}"

    def _file_argument(self, name: str) -> str:
        return f"@{self.path_map.inside(self._variables_file(name))}"

    def _variables_file(self, name: str) -> Path:
        file = self.private_data.path / self.path_map.outside(name)
        if not os.path.isfile(file):
            raise MissingError(f"the file of extra variables {file} does not exist")
        self._check_ours(file)
        if self.path_map.shows(file):
            return file
        return self._make_private(f"extravars{file.suffix}", _content(str(file)))

    def _check_ours(self, file: Path) -> None:
        """:raises ConfigurationError: a stranger's isolated job would be given a file that it does not see."""
        if self.isolated and not self.local and self.private_data.leads_out(file):
            raise ConfigurationError(f"{file} is not in the private data dir; an isolated job does not see it")

    def _make_private(self, name: str, data: bytes) -> Path:
        """A file for this job alone, in its runtime directory."""
        path = self.runtime / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    def roles_path(self, configured: str) -> str:
        """``ANSIBLE_ROLES_PATH`` with relative parts found in the private data dir, as ansible-runner's stages send
        them."""
        parts = [self._roles_directory(part) for part in configured.split(":") if part]
        own = self.path_map.inside(self.private_data.roles)
        if self.parameters["role"] and own not in parts:
            parts.append(own)
        return ":".join(parts)

    def _roles_directory(self, part: str) -> str:
        if part.startswith(("/", "~")):
            return self.path_map.inside(part)
        for base in (self.private_data.roles, self.private_data.path):
            if os.path.isdir(base / part):
                return self.path_map.inside(os.path.normpath(base / part))
        return part

    def _make(self, directory: Path, name: str, data: bytes) -> Path:
        """A new 0600 file in ``directory``, under another name if there is one already."""
        try:
            if not os.path.isdir(directory):
                directory.mkdir(mode=0o700, parents=True)
                self.made.append(str(directory))
            path = directory / name
            if os.path.exists(path):
                path = path.with_name(f"{path.stem}-{self.parameters.ident}{path.suffix}")
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            self.made.append(str(path))
            with os.fdopen(fd, "wb") as file:
                file.write(data)
        except OSError as exc:
            raise OutputError(f"cannot write {directory / name}: {exc.strerror}") from exc
        return path


def _content(path: str) -> bytes:
    """:raises InputError: it is no file, or too large a one."""
    try:
        return read_regular(path, MAX_INPUT_FILE)
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}") from exc
