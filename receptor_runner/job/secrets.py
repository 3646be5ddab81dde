"""The passwords and keys that a job is told, as far as they are known here: what nobody else must be told.

Rules: what cannot be read is left out; whoever runs the job says what is wrong with it."""

from __future__ import annotations

import contextlib

from ..errors import ReceptorRunnerError
from ..stream.messages import JSONObject
from .private_data import PrivateDataDir

__all__ = ["known_secrets"]


def known_secrets(private_data_dir: str, parameters: JSONObject | None = None) -> list[str]:
    """Those of ``env`` in ``private_data_dir``, and of the parameters of the job."""
    given, private_data = parameters or {}, PrivateDataDir(private_data_dir)
    passwords, keys = [given.get("passwords")], [given.get("ssh_key")]
    with contextlib.suppress(ReceptorRunnerError, OSError):
        passwords.append(private_data.mapping("env/passwords"))
    with contextlib.suppress(ReceptorRunnerError, OSError):
        keys.append(private_data.text("env/ssh_key"))
    answers = [answer for one in passwords if isinstance(one, dict) for answer in one.values()]
    return [str(secret) for secret in (*answers, *keys) if secret]
