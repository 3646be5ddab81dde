"""What is known for the payloads to come: the secret of this state directory, digests of files, what nodes have.

Rules: the secret never leaves this machine; what is derived of it does. What cannot be read or written costs time or
bytes, and never a job."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..delta.digest_index import DigestIndex
from ..delta.references import DIGEST_BYTES, Digester
from ..errors import OutputError
from ..stream.bounded_json import parse_json
from ..stream.messages import JSONObject
from ..system.below import read_regular
from ..system.files import create_file, make_private, replace_file
from .state_dir import state_directory

__all__ = ["NodeMemory", "PayloadMemory"]

logger = logging.getLogger(__name__)

_SECRET_BYTES = 32
_LONGEST = 1024 * 1024 * 1024
#: So many digests are remembered of a node, the newest.
_MOST_DIGESTS = 2_000_000
#: So many private data dirs, or nodes, are remembered.
_MOST_FILES = 200
#: What a node offers is asked again after a day.
_ASK_AGAIN_SECONDS = 24 * 3600.0


@dataclass
class NodeMemory:
    """What the worker of one node offers, and which contents it should have. ``asked`` is when it was asked, in seconds
    since the epoch.
    """

    path: Path
    offers: bool = False
    asked: float = 0.0
    there: set[bytes] = field(default_factory=set)

    @property
    def known(self) -> bool:
        """Whether what it offers was asked lately."""
        return 0 <= time.time() - self.asked < _ASK_AGAIN_SECONDS

    def save(self) -> None:
        head = json.dumps({"offers": self.offers, "asked": self.asked}).encode()
        try:
            replace_file(self.path, head + b"\n" + b"".join(self.there))
        except OSError as exc:
            logger.info("cannot keep in %s what a node has: %s", self.path, exc.strerror)

    @classmethod
    def read(cls, path: Path) -> NodeMemory:
        memory = cls(path)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            head, _, digests = read_regular(path, _LONGEST).partition(b"\n")
            data = parse_json(head)
            memory.offers, memory.asked = bool(data["offers"]), float(data["asked"])
            if len(digests) <= _MOST_DIGESTS * DIGEST_BYTES:
                memory.there = {digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)}
        return memory


class PayloadMemory:
    """That of this state directory.

    :raises OutputError: the secret can be neither read nor made.
    """

    def __init__(self) -> None:
        self._top = state_directory()
        self._secret = _secret(self._top / "payload-secret")
        self._digesters = {
            False: Digester(self._derived(b"contents")),
            True: Digester(self._derived(b"sealed contents")),
        }

    def digester(self, *, sealed: bool) -> Digester:
        """What names contents. Those of sealed jobs have other names, and their key travels sealed alone."""
        return self._digesters[sealed]

    def keyed(self, digest: str) -> str:
        """A digest of ``digest``, in hex, that tells nothing to who has not our secret."""
        return hashlib.blake2b(digest.encode(), key=self._secret, digest_size=32).hexdigest()

    def store_reference(self, node: str, place: str, *, sealed: bool) -> JSONObject:
        """Which store at ``node`` is ours: a name that no other node and nobody else can tell. If it is ``sealed``, it
        is another one, with the key that its contents are encrypted with. If not, it names ``place`` in the same way.
        """
        name = node.encode("utf-8", "surrogateescape")
        kind = b"sealed " if sealed else b""
        reference: JSONObject = {
            "owner": self._derived(kind + b"store\0" + name)[:16].hex(),
            "key": self.digester(sealed=sealed).key.hex(),
        }
        if sealed:
            reference["cipher"] = self._derived(b"cipher\0" + name).hex()
        else:
            of = place.encode("utf-8", "surrogatepass")
            reference["place"] = self._derived(b"place\0" + name + b"\0" + of)[:16].hex()
        return reference

    def index(self, private_data_dir: str, *, sealed: bool) -> DigestIndex:
        """What is known of the files of a private data dir. That of sealed jobs is encrypted."""
        digester = self.digester(sealed=sealed)
        if not sealed:
            return DigestIndex(self._file("digests", private_data_dir), digester)
        from ..sealing.envelope import BlockCipher

        cipher = BlockCipher(self._secret, "digests")
        return DigestIndex(self._file("sealed-digests", private_data_dir), digester, cipher)

    def node(self, socket: str, node: str, worktype: str, *, sealed: bool) -> NodeMemory:
        """What is known of a node of the mesh of ``socket``."""
        kind = "sealed-stores" if sealed else "stores"
        return NodeMemory.read(self._file(kind, "\0".join((socket, node, worktype))))

    def _derived(self, purpose: bytes) -> bytes:
        return hashlib.blake2b(purpose, key=self._secret, digest_size=32).digest()

    def _file(self, kind: str, of: str) -> Path:
        directory = self._top / kind
        with contextlib.suppress(OSError):  # writing it fails then, and is told
            make_private(directory)
            _forget_old(directory)
        return directory / hashlib.sha256(os.fsencode(of)).hexdigest()[:32]


def _forget_old(directory: Path) -> None:
    """Keeps the files that were written last: private data dirs may be of one job alone."""
    with os.scandir(directory) as entries:
        found = sorted(((entry.stat().st_mtime, entry.path) for entry in entries), reverse=True)
    for _, path in found[_MOST_FILES:]:
        os.unlink(path)


def _secret(path: Path) -> bytes:
    try:
        with contextlib.suppress(FileNotFoundError):
            return _checked(path)
        create_file(path, os.urandom(_SECRET_BYTES))
        return _checked(path)
    except OSError as exc:
        raise OutputError(f"cannot keep a secret in {path}: {exc.strerror}") from exc


def _checked(path: Path) -> bytes:
    secret = read_regular(path, _SECRET_BYTES)
    if len(secret) != _SECRET_BYTES:
        raise OutputError(f"the file {path} is damaged", hint="remove it; every node then gets everything again")
    return secret
