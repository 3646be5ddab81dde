"""The credentials for a registry, as an engine reads them.

Rules: a private file in a private directory; whoever owns the directory above removes it."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from ..errors import OutputError
from .wanted import Credentials

__all__ = ["write_credentials"]


def write_credentials(path: Path, credentials: Credentials) -> None:
    """As ``podman login`` and ``docker login`` keep them (containers-auth.json(5)), in a new directory.

    :raises OutputError: they cannot be written.
    """
    pair = f"{credentials.username}:{credentials.password}".encode()
    content = {"auths": {credentials.host: {"auth": base64.b64encode(pair).decode()}}}
    try:
        path.parent.mkdir(mode=0o700)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(content, file)
    except OSError as exc:
        raise OutputError(f"cannot write the credentials {path}: {exc.strerror}") from exc
