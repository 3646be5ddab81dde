"""Where a control service is, as plain data: a socket, TLS settings, another node behind it.

Rules: no IO. The JSON form is part of the records on disk: what is unknown there is left out, because a newer version
may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["LONGEST_SOCKET", "Address"]

#: How many bytes the path of a Unix socket can have (unix(7)).
LONGEST_SOCKET = 107


@dataclass(frozen=True)
class Address:
    """``socket`` is a path, ``tcp://host:port`` or ``tls://host:port``. ``tlsclient`` names a ``tls-client`` of the
    file ``config`` here, and of the daemon's own configuration for the way to other nodes."""

    socket: str
    config: str | None = None
    tlsclient: str | None = None
    rootcas: str | None = None
    key: str | None = None
    cert: str | None = None
    insecureskipverify: bool = False
    #: The node whose control service is meant, reached by way of the one at ``socket``; ``through_tls`` names a
    #: ``tls-client`` of the daemon's there.
    through: str | None = None
    through_tls: str | None = None
    #: The file of the key that signs commands for ``through``, and for how many seconds a signature is valid.
    signing_key: str | None = None
    signature_seconds: float = 0.0
    #: Whether a private node of this user serves there. Its socket may be in a directory that others write, too.
    private: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Address:
        """:raises ValueError: it names no socket."""
        known = {one.name for one in fields(cls)}
        address = cls(**{name: value for name, value in data.items() if name in known})
        if not isinstance(address.socket, str):
            raise ValueError("it names no socket")
        return address

    def to_json(self) -> dict[str, object]:
        return asdict(self)
