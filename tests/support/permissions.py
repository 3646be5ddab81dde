"""Makes root obey the permissions of files, for tests that run as root."""

from __future__ import annotations

import ctypes

__all__ = ["obey_permissions"]

#: prctl(2), capabilities(7): root without them is stopped by the permissions of a file.
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2


def obey_permissions() -> None:
    """For ``preexec_fn``."""
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
