"""Compresses with ISA-L, which has several times zlib's speed both ways, or with zlib where there is no wheel for this
machine.

Rules: format and interface are zlib's in both cases."""

from __future__ import annotations

import importlib
import zlib
from typing import Any

__all__ = ["LEVEL", "deflate"]

#: A module with the interface of ``zlib``, and its level that is worth its time.
deflate: Any
try:
    deflate, LEVEL = importlib.import_module("isal.isal_zlib"), 3
except ImportError:
    deflate, LEVEL = zlib, 6
