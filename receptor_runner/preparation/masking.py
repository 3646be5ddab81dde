"""Keeps secrets out of what is sent and stored about a command.

Rules: what a job sees is never changed. A value is masked if its name says that it is secret, or if it is a password
or key of the job. A part of a value is masked if it is a secret of at least eight characters, or the password in an
address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MASK", "Masker"]

MASK = "**********"

_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|credential|api_?key|private_?key|access_?key|(?:^|_)(?:pass|pwd|key)$", re.I
)
_INNOCENT_NAME = re.compile(r"^(?:OLD)?PWD$|_(?:FILE|PATH|DIR|CHECKING)$", re.I)
_ADDRESS = re.compile(r"(://[^/@:\s]*:)[^/@\s]+@")
_SUBSTRING = 8


class Masker:
    """Masks ``secrets`` in environments and argument vectors."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._whole = {secret for secret in secrets if secret}
        longest_first = sorted((s for s in self._whole if len(s) >= _SUBSTRING), key=len, reverse=True)
        self._inside = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, value: str) -> str:
        if value in self._whole:
            return MASK
        value = _ADDRESS.sub(rf"\1{MASK}@", value) if "://" in value else value
        return self._inside.sub(MASK, value) if self._inside else value

    def argv(self, argv: Sequence[str]) -> list[str]:
        return [self.text(argument) for argument in argv]

    def env(self, env: Mapping[str, str]) -> dict[str, str]:
        return {name: MASK if _secret_name(name) and value else self.text(value) for name, value in env.items()}


def _secret_name(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _INNOCENT_NAME.search(name)
