"""Keeps secrets out of what is sent and stored about a command.

Rules: what a job sees is never changed. A value is masked if its name says that it may be secret, or if it is a
password or key of the job. So is a part of a value, if it is such a secret of at least eight characters, stands behind
such a name, or is the password in an address. A false alarm costs little, and a missed one a secret. The work is linear
in the text."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MASK", "Masker", "is_secret_name"]

MASK = "**********"

#: Parts of names that say that something may be secret, and those that say so only as a word of their own.
_PARTS = (
    "pass|pwd|secret|token|cred|key|auth|cookie|session|priv|licen[cs]e|vault|jwt|bearer|signature|salt|hook|cert|otp"
)
_WORDS = "pw|pat|pin|sas|sk|sid|seed|conn(?:ection)?_?str(?:ing)?"
_SECRET_NAME = re.compile(rf"{_PARTS}|(?:^|[^a-z])(?:{_WORDS})(?:$|[^a-z])|pw\d*$", re.I)
_INNOCENT_NAME = re.compile(r"^(?:OLD)?PWD$|[_-](?:FILE|PATH|DIR|CHECKING|SOCK)$", re.I)

#: What stands between the scheme and the host of an address; and before a host without a scheme.
_ADDRESS = re.compile(r"(?<=://)([^/@\s:]{0,200}:)?([^/@\s]+)@")
_LOGIN = re.compile(r"(?<![\w.+:/@-])([\w.+-]{1,200}:)([^\s@/:]{1,1000})@(?=\w)")
#: ``name=value`` and ``name: value`` in a text, and what HTTP calls credentials.
_PAIR = re.compile(
    rf"((?:(?:{_PARTS})[\w.-]{{0,60}}|(?<![a-z])(?:{_WORDS})\d{{0,3}})[\"']?\s{{0,8}}[=:]\s{{0,8}}(?:Bearer |Basic )?)"
    r"(\"[^\"]*\"?|'[^']*'?|[^\s,;&\"'})\]]+)",
    re.I,
)
_SCHEME = re.compile(r"\b((?:Bearer|Basic) )[\w.+/=~-]{6,}", re.I)
#: An option whose value is the next word.
_OPTION = re.compile(r"--?[\w-]{0,60}(?:passw|token|secret|api-?key)[\w-]{0,60}$", re.I)
_SUBSTRING = 8


class Masker:
    """Masks ``secrets`` in environments and argument vectors."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._whole = {secret for secret in secrets if secret}
        longest_first = sorted((s for s in self._whole if len(s) >= _SUBSTRING), key=len, reverse=True)
        self._inside = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, value: str) -> str:
        """``value`` without the secrets in it."""
        if value in self._whole:
            return MASK
        found = _json(value)
        if found is not None:
            return json.dumps(self.structure(found), ensure_ascii=False)
        return self._plain(value)

    def _plain(self, value: str) -> str:
        if "@" in value:
            value = _ADDRESS.sub(lambda match: f"{match[1] or ''}{MASK}@", value)
            value = _LOGIN.sub(rf"\1{MASK}@", value)
        if "=" in value or ":" in value:
            value = _PAIR.sub(lambda match: match[0] if _is_innocent_pair(match[1]) else match[1] + MASK, value)
        if " " in value:
            value = _SCHEME.sub(rf"\1{MASK}", value)
        return self._inside.sub(MASK, value) if self._inside else value

    def structure(self, value: object) -> object:
        """Data as JSON has them, without the secrets in them."""
        if isinstance(value, dict):
            return {name: MASK if one and is_secret_name(name) else self.structure(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.structure(one) for one in value]
        return self.text(value) if isinstance(value, str) else value

    def argv(self, argv: Sequence[str]) -> list[str]:
        shown = []
        hidden = False
        for argument in argv:
            shown.append(MASK if hidden and argument else self.text(argument))
            hidden = bool(_OPTION.fullmatch(argument)) and not _is_flag_or_file(argument)
        return shown

    def env(self, env: Mapping[str, str]) -> dict[str, str]:
        return {name: MASK if is_secret_name(name) and value else self.text(value) for name, value in env.items()}


@functools.lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether what has this name may be secret."""
    return bool(_SECRET_NAME.search(name)) and not _INNOCENT_NAME.search(name)


def _is_innocent_pair(head: str) -> bool:
    return bool(_INNOCENT_NAME.search(re.split(r"[\"'\s=:]", head, maxsplit=1)[0]))


def _is_flag_or_file(option: str) -> bool:
    return option.startswith("--ask") or option.endswith("-file")


def _json(value: str) -> object | None:
    """The structure that ``value`` is the JSON of, if it is any."""
    if value[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, (dict, list)) else None
