"""A private data dir: the names of all paths in it, and its input files.

Rules: nothing is written. Each path is written down once, here. A file of the ``env`` directory is JSON or YAML. If
one is there and cannot be used, that is an error that names it. Only regular files are read, and no more of them than a
bound."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, InputError, MissingError
from ..limits import MAX_INPUT_FILE, MAX_YAML, MAX_YAML_VALUES
from ..stream.bounded_json import parse_json
from ..system.below import read_regular

__all__ = ["PrivateDataDir"]


class PrivateDataDir:
    """The layout of https://docs.ansible.com/projects/runner (``project``, ``inventory``, ``env``, ``artifacts``,
    ``roles``, ``args``).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        self.project = self.path / "project"
        self.inventory = self.path / "inventory"
        self.roles = self.path / "roles"
        self.env = self.path / "env"
        self.args = self.path / "args"
        self.artifacts = self.path / "artifacts"

    @classmethod
    def existing(cls, path: str | os.PathLike[str]) -> PrivateDataDir:
        """:raises InputError: there is no such directory, or it cannot be looked into."""
        found = cls(path)
        if not os.fspath(path):
            raise InputError("no private data dir is named")
        try:
            os.listdir(found.path)
        except NotADirectoryError:
            raise InputError(f"the private data dir {found.path} is not a directory") from None
        except FileNotFoundError:
            raise MissingError(f"the private data dir {found.path} does not exist") from None
        except OSError as exc:
            raise InputError(f"cannot read the private data dir {found.path}: {exc.strerror}") from exc
        return found

    @property
    def cwd(self) -> Path:
        """Where playbooks run."""
        return self.project if os.path.isdir(self.project) else self.path

    def check_closed(self, *more: Path) -> None:
        """A job that is isolated must not reach, by a link in a directory that somebody sent or that an earlier job
        left, what it does not see. ``more`` are paths of the job's own.

        :raises ConfigurationError: there is such a link.
        """
        own = [self.project, self.inventory, self.roles, self.args, self.artifacts, self.env, *more]
        with contextlib.suppress(OSError):
            own += [self.env / name for name in os.listdir(self.env)]
        for path in own:
            if self.leads_out(path):
                raise ConfigurationError(f"{path} leads out of the private data dir; an isolated job cannot have that")

    def leads_out(self, path: Path) -> bool:
        """Whether ``path`` is not below this directory, because of a link."""
        return not os.path.realpath(path).startswith(os.path.realpath(self.path) + os.sep)

    def text(self, name: str) -> str | None:
        """The content of the file ``name``, or None if there is none.

        :raises InputError: it cannot be read as text.
        """
        try:
            return read_regular(self.path / name, MAX_INPUT_FILE).decode("utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise InputError(f"cannot read {self.path / name}: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise InputError(f"cannot read {self.path / name}: not UTF-8 at byte {exc.start}") from exc

    def cmdline(self, given: object) -> str:
        """The options for Ansible's command: what was given, else what ``env/cmdline`` says.

        :raises InputError: the file cannot be read.
        """
        return str(given or self.text("env/cmdline") or "")

    def settings(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings of the job: ``given``, and what ``env/settings`` says wins over it.

        :raises ConfigurationError: that file cannot be used.
        """
        return {**(given or {}), **(self.mapping("env/settings") or {})}

    def mapping(self, name: str) -> dict[str, Any] | None:
        """The mapping in the JSON or YAML file ``name``, or None if there is no such file; an empty file is empty.

        :raises ConfigurationError: it is neither, or not a mapping.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            value = parse_json(text)
        except ValueError:
            value = _yaml(text, self.path / name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ConfigurationError(f"{self.path / name} must contain a mapping, not {type(value).__name__}")
        return value


def _yaml(text: str, path: Path) -> Any:
    import yaml

    if len(text) > MAX_YAML:
        raise ConfigurationError(f"{path} is larger than {MAX_YAML} bytes; write it as JSON")
    try:
        value = yaml.safe_load(text)
        if _weight(value, {}) > MAX_YAML_VALUES:
            raise ConfigurationError(
                f"{path} has more than {MAX_YAML_VALUES} values, those behind aliases counted each time"
            )
        return value
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        position = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(exc, "problem", None) or "it cannot be parsed"
        raise ConfigurationError(f"{path}{position}: neither JSON nor YAML: {problem}") from exc
    except RecursionError as exc:
        raise ConfigurationError(f"{path} is nested too deeply") from exc
    except (ValueError, LookupError, AttributeError) as exc:  # a date, a number or a truth value that is none
        raise ConfigurationError(f"{path}: neither JSON nor YAML: a value is not of its type: {exc}") from exc


def _weight(value: Any, known: dict[int, float]) -> float:
    """How many values there are in ``value``; without end if it contains itself."""
    if not isinstance(value, (dict, list)):
        return 1
    weight = known.get(id(value))
    if weight is None:
        known[id(value)] = math.inf
        below = [*value, *value.values()] if isinstance(value, dict) else value
        weight = known[id(value)] = 1 + sum(_weight(one, known) for one in below)
    return weight
