"""Parts of the library ``cryptography``, which only sealed jobs need.

Rules: a part is loaded when it is asked for, because that takes its time. If it is missing, a user is told what to
install."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import ConfigurationError

__all__ = ["cryptography_part"]


def cryptography_part(name: str) -> Any:
    """The module ``name`` below ``cryptography.hazmat.primitives``.

    :raises ConfigurationError: it is not installed, or too old.
    """
    try:
        return importlib.import_module(f"cryptography.hazmat.primitives.{name}")
    except ImportError as exc:
        raise ConfigurationError(
            "sealing needs cryptography 47 or newer", hint="pip install 'receptor-runner[seal]'"
        ) from exc
