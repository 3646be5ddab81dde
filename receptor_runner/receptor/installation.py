"""Puts the worker of this environment onto a node, and takes it away again.

Rules: the environments of all versions are side by side in one directory. ``current`` there names the one that new jobs
get, and is replaced at once. The daemon runs a launcher beside it, which looks ``current`` up once: so a job keeps the
version that it began with, and a switch needs no restart. What is written into the daemon's configuration stands
between two marks, and no other byte of the file changes. Everything is checked before anything is written, and a
failure undoes what was done."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigurationError, InputError, OutputError
from ..system.files import replace_file
from .configuration import read_text
from .worktype import check_items, fragment

__all__ = ["Installation"]

_BEGIN = "# begin of what receptor-runner worktype install wrote"
#: Says that the line before had no end.
_ENDED_A_LINE = " (and the end of the line above)"
_END = "# end of what receptor-runner worktype install wrote"
_BLOCK = re.compile(rf"(\n?\n){_BEGIN}({re.escape(_ENDED_A_LINE)})?\n(.*?){_END}\n".encode(), re.S)
_DROP_IN_FILE = "receptor-runner.conf"
#: Written into the directory of drop-ins of the daemon's unit (systemd.kill(5)).
_DROP_IN = "# A restart of the daemon ends no job.\n[Service]\nKillMode=process\n"
_LAUNCHER = """#!/bin/sh
# Starts the worker of receptor-runner. A job keeps the version that it began with.
exec "$(readlink -f {current})/bin/python" -m receptor_runner "$@"
"""
_NEXT = "now restart the daemon: systemctl daemon-reload && systemctl restart receptor"
_CHECK_SECONDS = 60


class Installation(NamedTuple):
    """The worker on one node. Links are resolved.

    :param home: the directory that has the environments, ``current`` and the launcher.
    :param config: the daemon's configuration file.
    :param drop_ins: the directory of drop-ins of the daemon's systemd unit.
    """

    home: Path
    config: Path
    drop_ins: Path

    @classmethod
    def of_this_environment(cls, config: str, drop_ins: str) -> Installation:
        """:raises ConfigurationError: this program is not in a virtual environment beside others."""
        environment = _this_environment()
        if sys.prefix == sys.base_prefix or environment.name.startswith("."):
            raise ConfigurationError(
                f"{environment} is not an environment that can stand beside those of other versions",
                hint="make one for this version: python3 -m venv /opt/receptor-runner/VERSION",
            )
        return cls(environment.parent, Path(os.path.realpath(config)), Path(drop_ins))

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def launcher(self) -> Path:
        return self.home / "worker"

    def install(self, worktype: str, *, signed: bool) -> Iterator[str]:
        """Does it, and says each step.

        :raises InputError: the configuration cannot be read.
        :raises ConfigurationError: it cannot be used, or has the worktype already, or the worker does not start.
        :raises OutputError: something cannot be written, and nothing is changed.
        """
        before = self._configuration()
        read_text(before.decode(), str(self.config))
        replaced = self._check_block(before)
        # the launcher is not there yet
        check_items(read_text(self._joined(before, worktype, sys.executable, signed=signed).decode(), str(self.config)))
        after = self._joined(before, worktype, str(self.launcher), signed=signed)
        version = _version(_this_environment())
        with contextlib.ExitStack() as undo:
            self._put_launcher(undo)
            steps = [f"wrote {self.launcher}, which starts the worker of {self.current}"]
            undo.callback(self._link, os.readlink(self.current) if os.path.islink(self.current) else None)
            steps.append(self._switch(_this_environment(), version))
            if after != before:
                _replace(self.config, after)
                instead = f" in the place of {replaced}" if replaced not in (None, worktype) else ""
                steps.append(f"wrote the worktype {worktype} into {self.config}{instead}")
                undo.callback(_replace, self.config, before)
            added = self._add_drop_in()
            undo.pop_all()
        yield from steps
        if added is not None:
            yield added
        if after != before or added is not None:
            yield _NEXT

    def switch(self, environment: Path) -> str:
        """New jobs get the worker of ``environment``; returns what was done.

        :raises ConfigurationError: it has no worker that starts, or is not one of this node's.
        :raises OutputError: ``current`` cannot be written.
        """
        found = Path(os.path.realpath(environment))
        if found.parent != self.home:
            raise ConfigurationError(f"{found} is not in {self.home}, where the environments of this node are")
        return self._switch(found, _version(found))

    def _switch(self, environment: Path, version: str) -> str:
        self._link(environment.name)
        return f"new jobs get receptor-runner {version} of {environment}"

    def _link(self, name: str | None) -> None:
        """Makes ``current`` a link to ``name``, at once; none if there is to be none."""
        aside = self.home / f".current.{secrets.token_hex(8)}"
        with _written(self.current):
            if name is None:
                self.current.unlink(missing_ok=True)
                return
            os.symlink(name, aside)
            try:
                os.rename(aside, self.current)
            except OSError:
                os.unlink(aside)
                raise

    def uninstall(self) -> Iterator[str]:
        """Takes everything away but the environments.

        :raises InputError: the configuration cannot be read.
        :raises ConfigurationError: it names the launcher elsewhere, too.
        :raises OutputError: something cannot be removed.
        """
        before = self._configuration()
        self._check_block(before)
        after = _without_block(before)
        if str(self.launcher).encode() in after:
            raise ConfigurationError(
                f"{self.config} names {self.launcher} outside of what worktype install wrote; take that out by hand"
            )
        read_text(after.decode(), str(self.config))
        if after != before:
            _replace(self.config, after)
            yield f"took the worktype out of {self.config}"
        gone = [path for path in (self.drop_ins / _DROP_IN_FILE, self.launcher, self.current) if os.path.lexists(path)]
        for path in gone:
            with _written(path):
                os.unlink(path)
            yield f"removed {path}"
        with contextlib.suppress(OSError):
            self.drop_ins.rmdir()
        yield _NEXT if gone or after != before else "there is nothing to take away"

    def _configuration(self) -> bytes:
        try:
            content = self.config.read_bytes()
            content.decode()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            raise InputError(
                f"cannot read the daemon's configuration {self.config}: {reason}", hint="name it with --config"
            ) from exc
        return content

    def _check_block(self, content: bytes) -> str | None:
        """The worktype that was installed before.

        :raises ConfigurationError: the marks are damaged, or another installation made them.
        """
        found = _BLOCK.search(content)
        items = read_text(found[3].decode(), str(self.config)) if found is not None and found[3].strip() else []
        marks = content.count(_BEGIN.encode()), content.count(_END.encode())
        if found is None and marks == (0, 0):
            return None
        if marks != (1, 1) or len(items) != 1:
            raise ConfigurationError(
                f"{self.config} has damaged marks of worktype install; take the work-command out by hand"
            )
        (item,) = items
        if item.text("command") != str(self.launcher):
            raise ConfigurationError(
                f"{self.config} has the worker of {item.text('command')}",
                hint="let that environment uninstall it first",
            )
        return item.text("worktype")

    def _joined(self, before: bytes, worktype: str, program: str, *, signed: bool) -> bytes:
        block = fragment(worktype, signed=signed, command=(program, "worker --keepalive-seconds 10"))
        rest = _without_block(before)
        whole = not rest or rest.endswith(b"\n")
        mark = _BEGIN if whole else _BEGIN + _ENDED_A_LINE
        return rest + (b"\n" if whole else b"\n\n") + f"{mark}\n{block}{_END}\n".encode()

    def _put_launcher(self, undo: contextlib.ExitStack) -> None:
        new = not os.path.lexists(self.launcher)
        with _written(self.launcher):
            replace_file(self.launcher, _LAUNCHER.format(current=shlex.quote(str(self.current))).encode(), mode=0o755)
            if new:
                undo.callback(self.launcher.unlink, missing_ok=True)
            os.chmod(self.launcher, 0o755)

    def _add_drop_in(self) -> str | None:
        """What was done; None if it was done before."""
        path = self.drop_ins / _DROP_IN_FILE
        if not os.path.isdir(self.drop_ins.parent):
            return f"there is no {self.drop_ins.parent}: see to it that a restart of the daemon ends no job"
        with _written(path):
            if os.path.isfile(path) and path.read_bytes() == _DROP_IN.encode():
                return None
            if not os.path.isdir(self.drop_ins):
                self.drop_ins.mkdir()
                self.drop_ins.chmod(0o755)
            replace_file(path, _DROP_IN.encode())
            path.chmod(0o644)
        return f"wrote {path}: from the next restart on, a restart of the daemon ends no job"


def _this_environment() -> Path:
    return Path(os.path.realpath(sys.prefix))


def _without_block(content: bytes) -> bytes:
    """``content`` as it was before the installation."""

    def before(match: re.Match[bytes]) -> bytes:
        # what was appended meanwhile needs the end of the line that it stands below
        return match[1].removesuffix(b"\n\n" if match[2] and match.end() == len(content) else b"\n")

    return _BLOCK.sub(before, content)


def _replace(path: Path, content: bytes) -> None:
    """The daemon may run as another user: the file keeps its owner."""
    with _written(path):
        replace_file(path, content, keep_owner=True)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """:raises OutputError: ``path`` cannot be written."""
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror}") from exc


def _version(environment: Path) -> str:
    """What the worker of an environment says of itself.

    :raises ConfigurationError: it does not start.
    """
    words = [str(environment / "bin" / "python"), "-m", "receptor_runner", "--version"]
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_CHECK_SECONDS, check=False, cwd="/"
        )
    except OSError as exc:
        raise ConfigurationError(f"{environment} has no Python that starts: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise ConfigurationError(f"{words[0]} says nothing within {_CHECK_SECONDS} s") from exc
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        last = said.splitlines()[-1:] or ["it says nothing"]
        raise ConfigurationError(f"{environment} has no receptor-runner that starts: {last[0]}")
    return said.rpartition(" ")[2]
