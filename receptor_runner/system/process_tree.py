"""The process tree below this process, whatever sessions and groups its members moved to.

Rules: only descendants are ever signalled. :mod:`receptor_runner.system.subreaper` makes orphans stay descendants. A
container engine shares some processes between all containers of a user: these are left alone, because other containers
may need them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection

import psutil

from ..limits import GIVE_UP_SECONDS
from .subreaper import reap

__all__ = ["Stopper", "descendants", "is_helper", "kill_tree", "signal_descendants", "stop_descendants", "words_of"]

#: The process that keeps a rootless podman's user namespace, in its two forms, and those of its shared network: names,
#: and a text in an argument of each.
_SHARED = {
    "podman pause": "podman", "catatonit": "-P", "aardvark-dns": "run", "slirp4netns": "rootless-netns",
    "pasta": "rootless-netns",
}  # fmt: skip
#: Processes that were forked while their parents were being killed are killed after this time, again and again.
_KILL_AGAIN_SECONDS = 0.1


def descendants(top: psutil.Process | None = None) -> list[psutil.Process]:
    """All living descendants of ``top``, or of this process; a zombie is not alive.

    :raises psutil.Error: ``top`` is gone.
    """
    found = []
    for process in (top or psutil.Process()).children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and not _is_shared(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _is_shared(process: psutil.Process) -> bool:
    """Judges by the name of the process and by its program, which must be the system's: a job can choose the name of a
    process of its own.
    """
    name = process.name().partition(".")[0]
    word = _SHARED.get(name)
    if word is None:
        return False
    try:
        program = process.exe()
        systems = os.stat(program).st_uid == 0 and os.path.basename(program).startswith(name.split()[0])
        return systems and any(word in argument for argument in process.cmdline())
    except (psutil.Error, OSError):
        return False


def words_of(process: psutil.Process) -> list[str]:
    """Its arguments; none if it is just ending, or may not be looked at."""
    with contextlib.suppress(psutil.Error, OSError):
        return process.cmdline()
    return []


def signal_descendants(number: int, spared: Collection[int] = ()) -> int:
    """Signals every descendant but those of the process ids ``spared``; returns how many there were."""
    found = descendants()
    for process in found:
        if process.pid in spared:
            continue
        try:
            process.send_signal(number)
        except (psutil.Error, OSError):
            continue
    return len(found)


def kill_tree(top: psutil.Process) -> None:
    """Kills ``top`` and all below it. It may be stopped, so nothing is asked of it. What it started goes first, again
    and again: as long as it lives, its orphans come back to it.
    """
    until = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < until:
        try:
            below = [one for one in top.children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            break
        if not below:
            break
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_KILL_AGAIN_SECONDS / 10)
    with contextlib.suppress(psutil.Error):
        top.kill()
        top.wait(GIVE_UP_SECONDS)


def is_helper(process: psutil.Process) -> bool:
    """Whether it serves connections only: an agent with the job's key, or a master of ssh's that others share."""
    try:
        name, words = process.name(), process.cmdline()
    except psutil.Error:
        return True
    # one that is just starting a program has no words
    return name == "ssh-agent" or words[-1:] == ["[mux]"] or (bool(words) and "[mux]" in words[0])


class Stopper:
    """Sends INT, TERM and KILL, each at its time after :meth:`start`.

    :param send: sends a signal to all that is to be stopped, and tells how many there were.
    """

    def __init__(self, send: Callable[[int], int] = signal_descendants) -> None:
        self._send = send
        #: When it began, in ``time.monotonic()``.
        self.began: float | None = None
        self._steps: list[tuple[float, int]] = []
        self._killing_since: float | None = None

    @property
    def started(self) -> bool:
        return bool(self._steps)

    def start(self, term_after: float, kill_after: float) -> None:
        """Begins to stop; or hurries, if it has begun already."""
        now = time.monotonic()
        self.began = self.began or now
        steps = [(now + term_after, int(signal.SIGTERM)), (now + kill_after, int(signal.SIGKILL))]
        if not self._steps:
            self._steps = [(now, int(signal.SIGINT)), *steps]
        elif steps[-1][0] < self._steps[-1][0]:
            self._steps = steps

    def wait_seconds(self) -> float | None:
        """Until the next step."""
        return max(0.0, self._steps[0][0] - time.monotonic()) if self._steps else None

    def step(self) -> bool:
        """Does what is due. False if nothing is left to stop, or nothing that can be stopped."""
        now = time.monotonic()
        if not self._steps or self._steps[0][0] > now:
            return True
        number = self._steps.pop(0)[1]
        if not self._send(number):
            return False
        if number == signal.SIGKILL:
            self._killing_since = self._killing_since or now
            self._steps = [(now + _KILL_AGAIN_SECONDS, number)]
            return now - self._killing_since < GIVE_UP_SECONDS
        return True


def stop_descendants(term_after: float, kill_after: float) -> None:
    """Stops and reaps every descendant, and returns when none is left or can be stopped."""
    if not descendants():
        return
    stopper = Stopper()
    stopper.start(term_after, kill_after)
    while stopper.step() and descendants():
        time.sleep(min(0.05, stopper.wait_seconds() or 0.0))
        for _ in reap():
            pass
