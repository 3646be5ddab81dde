"""Sizes as people write them: bytes, or with K, M, G or T behind, each a thousand times the one before."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["SIZE"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}


class _SizeType(click.ParamType):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size; write 500M or 10G", param, ctx)
        return int(float(found[1]) * _UNITS[found[2].upper()])


SIZE = _SizeType()
