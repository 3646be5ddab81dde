"""Where a worker keeps what outlives its jobs, after the XDG base directory specification.

Rules: nothing is made here. The environment has ``HOME``; relative values of XDG's variables are ignored, as the
specification says."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["default_seal_key", "default_store"]


def default_store(environ: Mapping[str, str]) -> str:
    """The directory of contents for later jobs."""
    return os.path.join(_base(environ, "XDG_CACHE_HOME", ".cache"), "store")


def default_seal_key(environ: Mapping[str, str]) -> str:
    """The file with the key that opens sealed jobs."""
    return os.path.join(_base(environ, "XDG_STATE_HOME", ".local/state"), "seal-key")


def _base(environ: Mapping[str, str], variable: str, usual: str) -> str:
    given = environ.get(variable, "")
    return os.path.join(given if os.path.isabs(given) else os.path.join(environ["HOME"], usual), "receptor-runner")
