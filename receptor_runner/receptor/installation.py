"""Puts the worker of this environment onto a node, and takes it away again.

Rules: the environments of all versions are side by side in one directory. ``current`` there names the one that new jobs
get, and is replaced at once. The daemon runs a launcher beside it, which looks ``current`` up once: so a job keeps the
version that it began with, and a switch needs no restart. What is written into the daemon's configuration stands
between two marks, and nothing else in the file is changed. Everything is checked before anything is written."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigurationError, InputError, OutputError
from ..system.files import replace_file
from .configuration import read_text
from .worktype import check_items, fragment

__all__ = ["DROP_IN", "Installation"]

_BEGIN = "# begin of what receptor-runner worktype install wrote\n"
_END = "# end of what receptor-runner worktype install wrote\n"
_BLOCK = re.compile(rf"\n?{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.S)
_DROP_IN_FILE = "receptor-runner.conf"
#: Written into the directory of drop-ins of the daemon's unit (systemd.kill(5)).
DROP_IN = "# A restart of the daemon ends no job.\n[Service]\nKillMode=process\n"
_LAUNCHER = """#!/bin/sh
# Starts the worker of receptor-runner. A job keeps the version that it began with.
exec "$(readlink -f {current})/bin/python" -m receptor_runner "$@"
"""
_CHECK_SECONDS = 60


class Installation(NamedTuple):
    """The worker on one node.

    :param home: the directory that has the environments, ``current`` and the launcher.
    :param config: the daemon's configuration file.
    :param drop_ins: the directory of drop-ins of the daemon's systemd unit.
    """

    home: Path
    config: Path
    drop_ins: Path

    @classmethod
    def of_this_environment(cls, config: str, drop_ins: str) -> Installation:
        """:raises ConfigurationError: this program is not in a virtual environment of its own."""
        if sys.prefix == sys.base_prefix:
            raise ConfigurationError(
                "this program is not in a virtual environment of its own",
                hint="make one for this version: python3 -m venv /opt/receptor-runner/VERSION",
            )
        return cls(Path(os.path.abspath(sys.prefix)).parent, Path(config), Path(drop_ins))

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
        :raises OutputError: something cannot be written.
        """
        before = self._configuration()
        read_text(before, str(self.config))

        def joined(program: str) -> str:
            block = fragment(worktype, signed=signed, command=(program, "worker --keepalive-seconds 10"))
            return f"{_without_block(before).rstrip()}\n\n{_BEGIN}{block}{_END}"

        check_items(read_text(joined(sys.executable), str(self.config)))  # the launcher is not there yet
        yield from self.switch(Path(sys.prefix))
        with _written(self.launcher):
            replace_file(self.launcher, _LAUNCHER.format(current=self.current).encode(), mode=0o755)
            os.chmod(self.launcher, 0o755)
        after = joined(str(self.launcher))
        if after != before:
            self._write(self.config, after)
            yield f"wrote the worktype {worktype} into {self.config}"
        yield from self._add_drop_in()

    def switch(self, environment: Path) -> Iterator[str]:
        """New jobs get the worker of ``environment``.

        :raises ConfigurationError: it has no worker that starts.
        :raises OutputError: ``current`` cannot be written.
        """
        environment = Path(os.path.abspath(environment))
        if environment.parent != self.home:
            raise ConfigurationError(f"{environment} is not in {self.home}, where the environments of this node are")
        version = _version(environment)
        aside = self.home / f".current.{secrets.token_hex(8)}"
        with _written(self.current):
            os.symlink(environment.name, aside)
            os.rename(aside, self.current)
        yield f"new jobs get receptor-runner {version} of {environment}"

    def uninstall(self) -> Iterator[str]:
        """Takes everything away but the environments.

        :raises InputError: the configuration cannot be read.
        :raises OutputError: something cannot be removed.
        """
        before = self._configuration()
        after = _without_block(before)
        if after != before:
            self._write(self.config, after)
            yield f"took the worktype out of {self.config}"
        for path in (self.drop_ins / _DROP_IN_FILE, self.launcher, self.current):
            if os.path.lexists(path):
                with _written(path):
                    os.unlink(path)
                yield f"removed {path}"

    def _configuration(self) -> str:
        try:
            return self.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            raise InputError(
                f"cannot read the daemon's configuration {self.config}: {reason}", hint="name it with --config"
            ) from exc

    @staticmethod
    def _write(path: Path, text: str) -> None:
        with _written(path):
            replace_file(path, text.encode(), mode=0o644)

    def _add_drop_in(self) -> Iterator[str]:
        if not os.path.isdir(self.drop_ins.parent):
            yield f"there is no {self.drop_ins.parent}: see to it that a restart of the daemon ends no job"
            return
        with _written(self.drop_ins):
            self.drop_ins.mkdir(exist_ok=True)
        self._write(self.drop_ins / _DROP_IN_FILE, DROP_IN)
        yield f"wrote {self.drop_ins / _DROP_IN_FILE}: a restart of the daemon ends no job"


def _without_block(text: str) -> str:
    return _BLOCK.sub("", text)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """:raises OutputError: ``path`` cannot be written."""
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot write {exc.filename or path}: {exc.strerror}") from exc


def _version(environment: Path) -> str:
    """What the worker of an environment says of itself.

    :raises ConfigurationError: it does not start.
    """
    words = [str(environment / "bin" / "python"), "-m", "receptor_runner", "--version"]
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_CHECK_SECONDS, check=False, cwd="/"
        )
        said, code = done.stdout.decode("utf-8", "replace").strip(), done.returncode
    except (OSError, subprocess.TimeoutExpired) as exc:
        said, code = str(exc), 1
    if code:
        raise ConfigurationError(f"{environment} has no receptor-runner that starts: {said.splitlines()[-1:]}")
    return said.split()[-1]
