"""Names for contents: a digest, a size and a checksum.

Rules: no IO. A digest is keyed by a secret of whoever sends, so nobody else can tell from it whether he has the same
file. It is believed only after a look at the content. The CRC-32 finds what a disk has damaged, many times as fast."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from ..archive.deflate import deflate
from ..system.cryptography_parts import cryptography_part

__all__ = ["DIGEST_BYTES", "TAG", "ContentCipher", "Digester", "Reference"]

DIGEST_BYTES = 16
#: SHA-256 takes so much at once; a key that fills it is digested once and for all.
_BLOCK = 64
_NONCE = 12
#: How much longer an encrypted content is.
TAG = 16


class Reference(NamedTuple):
    """One content: its digest, its size in bytes, its CRC-32."""

    digest: bytes
    size: int
    crc: int


class Digester:
    """Digests with ``key``, 64 bytes at most: SHA-256 over the key, filled with zeros, and the content; the first 16
    bytes of that.
    """

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._keyed = hashlib.sha256(key.ljust(_BLOCK, b"\0"))

    def digest(self, data: bytes) -> bytes:
        state = self._keyed.copy()
        state.update(data)
        return state.digest()[:DIGEST_BYTES]

    def reference(self, data: bytes) -> Reference:
        return Reference(self.digest(data), len(data), deflate.crc32(data))

    def agrees(self, reference: Reference, data: bytes) -> bool:
        """Whether ``data`` is what ``reference`` names."""
        return self.reference(data) == reference


class ContentCipher:
    """Encrypts contents for a store, each by its digest: AES-256-GCM with ``key``; the nonce is the beginning of the
    digest, which no other content has.

    :raises ConfigurationError: what encrypts is not installed.
    """

    def __init__(self, key: bytes) -> None:
        self._aead = cryptography_part("ciphers.aead").AESGCM(key)

    def seal(self, reference: Reference, data: bytes) -> bytes:
        sealed: bytes = self._aead.encrypt(reference.digest[:_NONCE], data, reference.digest)
        return sealed

    def open(self, reference: Reference, sealed: bytes) -> bytes | None:
        """None if it is not what was encrypted."""
        try:
            data: bytes = self._aead.decrypt(reference.digest[:_NONCE], sealed, reference.digest)
        except Exception:  # InvalidTag, or too short for a tag
            return None
        return data
