"""The keys of nodes that are trusted: jobs for them are sealed.

Rules: there is one file, written as a whole. A key is never replaced: who wants another one forgets the old one
first. A file that cannot be understood trusts nobody, and says so."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import ConfigurationError, OutputError, RefusedError
from ..sealing.envelope import fingerprint, wrap
from ..stream.bounded_json import parse_json
from ..system.below import read_regular
from ..system.files import replace_file
from .state_dir import state_directory

__all__ = ["TrustedKey", "TrustedKeys"]

_LONGEST = 16 * 1024 * 1024
_KEY_BYTES = 32


class TrustedKey(NamedTuple):
    """The public key of ``node``, 32 bytes."""

    node: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key)


class TrustedKeys:
    """Those of this user.

    :raises ConfigurationError: the file is damaged.
    :raises OutputError: it cannot be read.
    """

    def __init__(self) -> None:
        self._path = state_directory() / "trusted-keys.json"
        self._keys: dict[str, bytes] = {}
        self._read()

    def _read(self) -> None:
        try:
            data = parse_json(read_regular(self._path, _LONGEST))
            self._keys = {str(node): _decoded(key) for node, key in data["keys"].items()}
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise OutputError(f"cannot read {self._path}: {exc.strerror}") from exc
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ConfigurationError(
                f"the file {self._path} is damaged: {exc}", hint="remove it, and trust the nodes again"
            ) from exc

    def __iter__(self) -> Iterator[TrustedKey]:
        return (TrustedKey(node, key) for node, key in sorted(self._keys.items()))

    def get(self, node: str) -> bytes | None:
        return self._keys.get(node)

    def trusted(self, node: str) -> bytes:
        """:raises ConfigurationError: no key of ``node`` is trusted."""
        key = self.get(node)
        if key is None:
            raise ConfigurationError(
                f"no key of the node {node} is trusted, so nothing can be sealed for it",
                hint=f"receptor-runner trust {node}",
            )
        return key

    def trust(self, node: str, key: bytes, expected: str | None) -> TrustedKey:
        """:param expected: the fingerprint that it must have.
        :raises RefusedError: it has another one, or another key of the node is trusted.
        :raises OutputError: that cannot be noted.
        """
        if len(key) != _KEY_BYTES:
            raise RefusedError(f"what {node} calls its key is none: it has {len(key)} bytes")
        own = TrustedKey(node, key)
        try:
            wrap(b"", key, {})
        except ValueError as exc:
            raise RefusedError(f"what {node} calls its key is none: {exc}") from exc
        if expected is not None and own.fingerprint != expected:
            raise RefusedError(f"the key of {node} is {own.fingerprint}, and not {expected}")
        with self._locked():
            self._note(own)
        return own

    def _note(self, own: TrustedKey) -> None:
        node, key = own
        known = self._keys.get(node)
        if known not in (None, key):
            raise RefusedError(
                f"the key of {node} has changed: it is {own.fingerprint}, and {fingerprint(known or b'')} is trusted",
                hint=f"if that is right: receptor-runner trust --forget {node}",
            )
        self._keys[node] = key
        self._save()

    def forget(self, node: str) -> bool:
        """Whether there was one."""
        with self._locked():
            found = self._keys.pop(node, None) is not None
            if found:
                self._save()
        return found

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile; what others have changed is known.

        :raises OutputError: it cannot be locked.
        """
        try:
            fd = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise OutputError(f"cannot write beside {self._path}: {exc.strerror}") from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._read()
            yield
        finally:
            os.close(fd)

    def _save(self) -> None:
        keys = {node: base64.b64encode(key).decode() for node, key in self._keys.items()}
        try:
            replace_file(self._path, json.dumps({"keys": keys}).encode())
        except OSError as exc:
            raise OutputError(f"cannot write {self._path}: {exc.strerror}") from exc


def _decoded(text: str) -> bytes:
    """:raises ValueError: it is no key."""
    key = base64.b64decode(text, validate=True)
    if len(key) != _KEY_BYTES:
        raise ValueError(f"a key has {len(key)} bytes")
    return key
