"""JSON of strangers, with bounds on how deep it is nested and on how many values it has.

Rules: no IO. The bounds speak where bytes become data, and before memory is spent. Whatever walks the data later (to
write it, to compare it, to print it) calls itself once for each level. What is beyond a bound is a ``ValueError``, as
what is no JSON is."""

from __future__ import annotations

import json
from typing import Any

from ..limits import MAX_JSON_DEPTH, MAX_JSON_VALUES

__all__ = ["ExcessError", "check_bounds", "parse_json"]

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class ExcessError(ValueError):
    """JSON that is nested too deeply, or has too many values."""


def parse_json(text: bytes | str) -> Any:
    """The value of ``text``.

    :raises ValueError: it is not JSON, or beyond a bound.
    """
    check_bounds(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise ExcessError("it is nested too deeply") from exc


def check_bounds(text: bytes) -> None:
    """Looks at ``text`` closely only if it has many brackets or commas.

    :raises ExcessError: it is nested too deeply, or has too many values.
    """
    opened = text.count(b"[") + text.count(b"{")
    many = len(text) > MAX_JSON_VALUES and opened + text.count(b",") > MAX_JSON_VALUES
    if opened <= MAX_JSON_DEPTH and not many:
        return
    outside = _outside_of_strings(text)
    if many and outside.count(b"[") + outside.count(b"{") + outside.count(b",") > MAX_JSON_VALUES:
        raise ExcessError(f"it has more than {MAX_JSON_VALUES} values")
    if _too_deep(outside.translate(None, _NOT_BRACKETS)):
        raise ExcessError(f"it is nested deeper than {MAX_JSON_DEPTH} levels")


def _outside_of_strings(text: bytes) -> bytes:
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.split(b'"')[::2])


def _too_deep(brackets: bytes) -> bool:
    """Takes the innermost pairs away, level by level. What is not JSON is left to the parser."""
    for _ in range(MAX_JSON_DEPTH):
        fewer = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(fewer) == len(brackets):
            return False
        brackets = fewer
    return bool(brackets)
