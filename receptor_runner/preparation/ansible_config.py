"""What the ansible.cfg that a job will read says, as far as a variable of ours could hide it.

Rules: found and read as Ansible does (ansible/config/manager.py). A file that Ansible could not read says nothing here;
Ansible tells about it. Nothing is known of files in an image."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from ..isolation.path_map import PathMap

__all__ = ["AnsibleConfig"]


class AnsibleConfig:
    """The configuration in effect for a job with the environment ``env`` that runs in ``cwd``."""

    def __init__(self, env: Mapping[str, str], cwd: Path, path_map: PathMap) -> None:
        self._env = env
        self._cwd = path_map.inside(cwd)
        file = _file(env, cwd, path_map)
        self._directory = path_map.inside(file.parent) if file is not None else ""
        self._parser = configparser.ConfigParser(interpolation=None, strict=False, inline_comment_prefixes=(";",))
        if file is not None:
            with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
                self._parser.read(file, encoding="utf-8-sig")

    def has(self, section: str, name: str) -> bool:
        return self._parser.has_option(section, name)

    def paths(self, section: str, name: str, default: str) -> str:
        """A list of directories, joined with ``:``, as the job sees them.

        :param default: Ansible's own, below ``ANSIBLE_HOME`` and elsewhere, with ``{home}`` for the former.
        """
        value = self._parser.get(section, name, fallback="").strip().strip("\"'")
        parts = [_expanded(part.strip(), self._env, self._cwd) for part in value.split(":") if part.strip()]
        if parts:
            return ":".join(os.path.join(self._directory, part) for part in parts)
        home = self._env.get("ANSIBLE_HOME") or f"{self._env.get('HOME', '~')}/.ansible"
        return default.format(home=home)


def _file(env: Mapping[str, str], cwd: Path, path_map: PathMap) -> Path | None:
    """The file that Ansible would read: the first one that exists, except in a directory that anybody may write."""
    named = env.get("ANSIBLE_CONFIG")
    candidates = []
    if named:
        path = cwd / path_map.outside(_expanded(named, env, path_map.inside(cwd)))
        candidates.append(path / "ansible.cfg" if os.path.isdir(path) else path)
    with contextlib.suppress(OSError):
        if not cwd.stat().st_mode & stat.S_IWOTH:
            candidates.append(cwd / "ansible.cfg")
    if not path_map.own_root:
        candidates += [Path(env.get("HOME", "/"), ".ansible.cfg"), Path("/etc/ansible/ansible.cfg")]
    return next((path for path in candidates if os.path.isfile(path)), None)


def _expanded(path: str, env: Mapping[str, str], cwd: str) -> str:
    """``path`` with its ``{{CWD}}``, the ``$VARIABLES`` of the job and ``~`` filled in."""
    path = path.replace("{{CWD}}", cwd)
    path = re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: env.get(found[1] or found[2], found[0]), path)
    home = env.get("HOME", "~")
    return home + path[1:] if path == "~" or path.startswith("~/") else path
