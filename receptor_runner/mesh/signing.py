"""Signatures of commands for a signed worktype, as a daemon makes them for the units that it submits itself.

Rules: the token is Receptor's: a JWT, RS512, whose audience is the node, and which expires
(pkg/workceptor/workceptor.go, createSignature). The key is read when it is needed, and not kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..receptor.control_protocol import CommandError, seconds_of

if TYPE_CHECKING:
    from ..receptor.configuration import Item

__all__ = ["sign", "signing_key"]

#: Long enough for the way through a mesh, and clocks that are a little apart.
_VALID_SECONDS = 300.0


def signing_key(items: Sequence[Item]) -> tuple[str, float] | None:
    """The key's file, and how long a token is valid in seconds, of the ``work-signing`` of a configuration."""
    for item in items:
        if item.name == "work-signing":
            try:
                seconds = seconds_of(item.text("tokenexpiration"))
            except CommandError:
                seconds = _VALID_SECONDS
            return item.text("privatekey"), seconds
    return None


def sign(key_file: str, node: str, seconds: float) -> str:
    """A token for commands to ``node``.

    :raises ConfigurationError: the key cannot be used, or what signs is not installed.
    """
    try:
        import jwt
    except ImportError as exc:
        raise ConfigurationError("signing needs PyJWT", hint="pip install 'receptor-runner[sign]'") from exc
    try:
        with open(key_file, encoding="ascii") as file:
            key = file.read()
        token: str = jwt.encode({"exp": int(time.time() + seconds), "aud": [node]}, key, algorithm="RS512")
        return token
    except (OSError, ValueError, TypeError, jwt.PyJWTError, NotImplementedError) as exc:
        raise ConfigurationError(f"the signing key {key_file} cannot be used: {exc}") from exc
