"""The key of a node, and the sealed jobs that it has opened before.

Rules: the key is its owner's alone (0600). A sealed job is opened once: its name is noted before it is opened, and the
note is kept for as long as a job may be on its way. A key that cannot be read, or that others can read, is none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from pathlib import Path

from ..errors import ConfigurationError, OutputError, RefusedError
from ..system.below import open_regular
from ..system.files import create_file, make_private
from .envelope import public_key_of

__all__ = ["ON_ITS_WAY_SECONDS", "NodeKey"]

_LENGTH = 32
#: For so long a sealed job may be on its way; then it is too old. As long it is remembered.
ON_ITS_WAY_SECONDS = 7 * 24 * 3600.0


class NodeKey:
    """The key in the file ``path``."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def make(self) -> bytes:
        """The public half of the key, which is made if there is none.

        :raises OutputError: it cannot be made.
        """
        try:
            make_private(self._path.parent)
            if not os.path.lexists(self._path):
                create_file(self._path, os.urandom(_LENGTH))
        except OSError as exc:
            raise OutputError(f"cannot make the key {self._path}: {exc.strerror}") from exc
        return public_key_of(self.private())

    def public(self) -> bytes | None:
        """None if there is no key.

        :raises ConfigurationError: it cannot be used.
        """
        return public_key_of(self.private()) if os.path.lexists(self._path) else None

    def private(self) -> bytes:
        """:raises RefusedError: there is no key.
        :raises ConfigurationError: it cannot be used.
        """
        try:
            with os.fdopen(open_regular(self._path), "rb") as file:
                found = os.fstat(file.fileno())
                key = file.read(_LENGTH + 1)
        except FileNotFoundError as exc:
            raise RefusedError(
                f"this node has no key to open sealed jobs: there is no {self._path}",
                hint="make one on the node: receptor-runner worker seal-key",
            ) from exc
        except OSError as exc:
            raise ConfigurationError(f"the key {self._path} cannot be read: {exc.strerror}") from exc
        if found.st_uid not in (0, os.geteuid()):
            raise ConfigurationError(
                f"the key {self._path} belongs to somebody else", hint="give it to the user of the worker"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigurationError(f"others can read the key {self._path}", hint=f"chmod 600 {self._path}")
        if len(key) != _LENGTH:
            raise ConfigurationError(f"the file {self._path} is no key: it has not {_LENGTH} bytes")
        return key

    def note_opened(self, wrapped: bytes) -> None:
        """Notes that the job of ``wrapped`` is opened.

        :raises RefusedError: it was opened before.
        :raises OutputError: that cannot be noted.
        """
        real = Path(os.path.realpath(self._path))
        directory = real.with_name(f"{real.name}.opened")
        name = hashlib.sha256(wrapped).hexdigest()
        try:
            make_private(directory)
            _forget_old(directory)
            os.close(os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _sync(directory)
        except FileExistsError as exc:
            raise RefusedError("this sealed job came before; it is not run again") from exc
        except OSError as exc:
            raise OutputError(f"cannot note in {directory} which jobs came: {exc.strerror}") from exc


def _sync(directory: Path) -> None:
    """What is noted is noted, also if the machine loses its power now."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _forget_old(directory: Path) -> None:
    before = time.time() - 2 * ON_ITS_WAY_SECONDS
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.path)
