"""Lets a test be stopped by the permissions of files, also if root runs it.

Rules: a fork never comes back into the test runner. What it calls was loaded before: it may load nothing from a home
that is closed to it."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable

__all__ = ["NOBODY", "as_nobody", "obey_permissions"]

#: A user that has no files.
NOBODY = 65534

#: prctl(2), capabilities(7): root without them is stopped by the permissions of a file.
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2


def obey_permissions() -> None:
    """For ``preexec_fn``."""
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def as_nobody(check: Callable[[], object], user: int = NOBODY) -> None:
    """Runs ``check`` in a fork, as ``user`` if root runs the tests; fails if it fails."""
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setuid(user)
            check()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
