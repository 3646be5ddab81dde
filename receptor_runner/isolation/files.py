"""The few files that isolation needs beside the job: credentials for an engine, an empty file, and directories for
temporary files and copies.

Rules: they are private and new, and in a directory that somebody else removes."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError, OutputError
from .request import Credentials

__all__ = ["make_directory", "make_file", "write_credentials"]


def write_credentials(path: Path, credentials: Credentials) -> None:
    """As ``podman login`` and ``docker login`` keep them (containers-auth.json(5)), in a new directory.

    :raises OutputError: they cannot be written.
    """
    pair = f"{credentials.username}:{credentials.password}".encode()
    content = {"auths": {credentials.host: {"auth": base64.b64encode(pair).decode()}}}
    try:
        path.parent.mkdir(mode=0o700)
    except OSError as exc:
        raise OutputError(f"cannot make the directory {path.parent}: {exc.strerror}") from exc
    make_file(path, json.dumps(content).encode())


def make_file(path: Path, content: bytes = b"") -> None:
    """:raises OutputError: it cannot be made, or is there already."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror}") from exc


def make_directory(base: str, prefix: str, own: Callable[[str], None], parameter: str) -> str:
    """A new private directory below ``base``; its name is short, because sockets are made below it.

    :param own: told of it before it is made.
    :param parameter: what says where: the error names it.
    :raises InputError: there is no such place to write to.
    """
    path = os.path.join(os.path.abspath(base), prefix + secrets.token_hex(4))
    own(path)
    try:
        os.mkdir(path, 0o700)
    except OSError as exc:
        raise InputError(f"{parameter} cannot be used: {base}: {exc.strerror}") from exc
    return path
