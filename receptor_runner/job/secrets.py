"""The passwords and keys that a job is told, as far as they are known here: what nobody else must be told.

Rules: what cannot be read is left out; whoever runs the job says what is wrong with it."""

from __future__ import annotations

import contextlib

from ..errors import ReceptorRunnerError
from .private_data import PrivateDataDir

__all__ = ["known_secrets"]


def known_secrets(private_data_dir: str) -> list[str]:
    """Those of ``env`` in ``private_data_dir``."""
    found: list[str] = []
    private_data = PrivateDataDir(private_data_dir)
    with contextlib.suppress(ReceptorRunnerError, OSError):
        found += [str(answer) for answer in (private_data.mapping("env/passwords") or {}).values() if answer]
    with contextlib.suppress(ReceptorRunnerError, OSError):
        found += [key] if (key := private_data.text("env/ssh_key")) else []
    return found
