"""The encryption of sealed jobs and results.

Rules: no IO. A job has a secret of its own. HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) wraps it for the key of
one node, together with whose job it is. What it encrypts is cut into blocks of AES-256-GCM, whose nonce is their number
and whether they are the last. So no block can be changed, left out, moved or taken from another job. What does not
open is a ``RefusedError``."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from typing import Any

from ..errors import ConfigurationError, RefusedError
from ..system.cryptography_parts import cryptography_part

__all__ = ["BLOCK", "TAG", "BlockCipher", "fingerprint", "public_key_of", "unwrap", "wrap"]

#: Bytes of a block before it is encrypted, and how much longer it is then.
BLOCK = 64 * 1024
TAG = 16
_SECRET = 32
#: Bytes of the random number of a text.
_NUMBER = 8
_PURPOSE = b"receptor-runner sealed payload 1\0"


def fingerprint(public_key: bytes) -> str:
    """What a person compares: SHA-256 of the 32 bytes of a key, as ssh writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public_key).digest()).decode().rstrip("=")


def public_key_of(private_key: bytes) -> bytes:
    """:raises ConfigurationError: it is no key."""
    try:
        loaded = cryptography_part("asymmetric.x25519").X25519PrivateKey.from_private_bytes(private_key)
    except ValueError as exc:
        raise ConfigurationError(f"it is no key to seal with: {exc}") from exc
    public: bytes = loaded.public_key().public_bytes_raw()
    return public


def wrap(secret: bytes, public_key: bytes, about: dict[str, str]) -> bytes:
    """``secret`` for the holder of ``public_key`` alone, who needs the same ``about``."""
    key = cryptography_part("asymmetric.x25519").X25519PublicKey.from_public_bytes(public_key)
    wrapped: bytes = _suite().encrypt(secret, key, _info(about))
    return wrapped


def unwrap(wrapped: bytes, private_key: bytes, about: dict[str, str]) -> bytes:
    """:raises RefusedError: it is not for this key, or not about that."""
    key = cryptography_part("asymmetric.x25519").X25519PrivateKey.from_private_bytes(private_key)
    try:
        secret: bytes = _suite().decrypt(wrapped, key, _info(about))
    except Exception as exc:  # InvalidTag, and what the library raises for bytes that are no message at all
        raise RefusedError("it was sealed for another node, or is that of another job") from exc
    if len(secret) != _SECRET:
        raise RefusedError("its key has the wrong length")
    return secret


def _suite() -> Any:
    hpke = cryptography_part("hpke")
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _info(about: dict[str, str]) -> bytes:
    return _PURPOSE + json.dumps(about, sort_keys=True).encode()


class BlockCipher:
    """Encrypts and decrypts numbered blocks with what is derived of ``secret`` for ``purpose``.

    :raises ConfigurationError: what encrypts is not installed.
    """

    def __init__(self, secret: bytes, purpose: str) -> None:
        key = hashlib.blake2b(purpose.encode(), key=secret, digest_size=32).digest()
        self._aead = cryptography_part("ciphers.aead").AESGCM(key)

    def seal(self, number: int, data: bytes, *, last: bool = False) -> bytes:
        sealed: bytes = self._aead.encrypt(_nonce(number, last), data, None)
        return sealed

    def open(self, number: int, sealed: bytes, *, last: bool = False) -> bytes:
        """:raises RefusedError: it is not that block."""
        try:
            data: bytes = self._aead.decrypt(_nonce(number, last), sealed, None)
        except Exception as exc:  # InvalidTag, or too short for a tag
            raise RefusedError(f"the block {number} of what is sealed was changed, moved or cut") from exc
        return data

    def seal_text(self, text: bytes) -> bytes:
        """Encrypts something that has no number: it gets one of its own, which no other text has."""
        number = os.urandom(_NUMBER)
        return number + self.seal(int.from_bytes(number, "big"), text)

    def open_text(self, sealed: bytes) -> bytes:
        """:raises RefusedError: it is not what :meth:`seal_text` made."""
        return self.open(int.from_bytes(sealed[:_NUMBER], "big"), sealed[_NUMBER:])


def _nonce(number: int, last: bool) -> bytes:
    return struct.pack(">3xQB", number, last)
