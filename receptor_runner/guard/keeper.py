"""The process above a guard: it ends what the guard leaves if somebody kills the guard.

Rules: a stage starts this, and this becomes a guard by forking, before it has loaded anything large. It holds no pipe
to the stage, so the stage sees at once when the guard is gone. If this process is killed instead, the guard ends its
job. Neither of them alone is enough: the kernel kills whom it likes when memory is short."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from ..limits import LEFTOVER_KILL_SECONDS, LEFTOVER_TERM_SECONDS
from ..system.subreaper import adopt_orphans, reap

__all__ = ["KEEPER_DIED", "main"]

#: What the guard gets when this process has died.
KEEPER_DIED = signal.SIGUSR1
_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def main() -> int:
    """Serves one stage on descriptors 0 and 1, as :mod:`receptor_runner.guard.main` does."""
    adopt_orphans()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever ignores it never hears of the end of a child
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_SIGNALS, KEEPER_DIED})
    keeper = os.getpid()
    guard = os.fork()
    if guard:
        os.close(0)
        os.close(1)
        return _keep(guard)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, KEEPER_DIED, 0, 0, 0)
    from .main import main as guard_main

    return guard_main() if os.getppid() == keeper else 1


def _keep(guard: int) -> int:
    """Waits for the end of the guard; its exit status."""
    while True:
        number = signal.sigwait(_SIGNALS)
        if number != signal.SIGCHLD:
            os.kill(guard, number)
            continue
        for pid, status in reap():
            if pid == guard:
                code = os.waitstatus_to_exitcode(status)
                if code:
                    from ..system.process_tree import stop_descendants

                    stop_descendants(LEFTOVER_TERM_SECONDS, LEFTOVER_KILL_SECONDS)
                return code if code >= 0 else 128 - code
