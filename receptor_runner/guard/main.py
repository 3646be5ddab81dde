"""The guard's main function.

Rules: everything that will be needed is imported before the first order is taken. A fault of the guard becomes a
report, and never silence. What is temporary is removed last, whatever happened before."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from types import FrameType

from ..errors import reason_of
from ..isolation.kinds import PODMAN
from ..limits import ABANDONED_SECONDS, ENGINE_SECONDS, PROMPT_SECONDS, UNSHARE_SECONDS
from ..preparation.run_spec import RunSpec
from ..system.below import Held
from ..system.places import temporary_place
from ..system.process_tree import stop_descendants
from ..system.removal import remove_tree
from ..system.subreaper import adopt_orphans
from .channel import Channel
from .command_run import CommandRun, PromptTimeout
from .engine import Engine, ask_engine
from .keeper import KEEPER_DIED
from .protocol import Cancel, CommandMissing, GuardFault, Order, Own, Ping, Pong, Ready, Run, Setup
from .pty_child import CommandNotFound
from .startability import NOT_STARTABLE, missing_advice, not_startable
from .temporary import JOB, SCRATCH, make_temporary, removing_abandoned

__all__ = ["main"]


def main() -> int:
    """Serves one stage on descriptors 0 and 1; ends when descriptor 0 does."""
    guard = _Guard(Channel(0, 1))
    try:
        guard.serve()
    finally:
        guard.clean()
    return 0


class _Guard:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        #: Temporary directories are held until the end of this process.
        self._locks: list[int] = []
        #: Whole trees that are ours, and single files and directories that were made in a directory of somebody
        #: else's.
        self._trees: list[str] = []
        self._made: list[Held] = []
        #: Where temporary directories were made beside the usual place.
        self._places: list[str] = []
        self._command_run: CommandRun | None = None
        #: What removes files of a rootless container's users.
        self._unshare: list[str] = []
        self._unshare_env: dict[str, str] | None = None
        self._stop_requested = False
        self._wakeup, write_end = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(KEEPER_DIED, self._on_orphaned)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, _prompt_timeout)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        adopt_orphans()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requested = True
        if self._command_run is not None:
            self._command_run.stop_requested = True

    def _on_orphaned(self, number: int, frame: FrameType | None) -> None:
        """As if the stage had gone: it must not believe that somebody asked for the end of the job."""
        self._channel.closed = True
        self._on_signal(number, frame)

    def serve(self) -> None:
        while not self._channel.closed:
            poll = select.poll()
            poll.register(self._channel.orders, select.POLLIN)
            poll.register(self._wakeup, select.POLLIN)
            if self._channel.pending:
                poll.register(self._channel.output, select.POLLOUT)
            ready = {fd for fd, _ in poll.poll()}
            self._channel.flush()
            if self._wakeup in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 512)
            if self._channel.orders in ready:
                for order in self._channel.receive():
                    self._obey(order)

    def _obey(self, order: Order) -> None:
        match order:
            case Setup():
                self._setup(order)
            case Own(path):
                self._trees.append(path)
            case Run(spec):
                self._run(spec)
            case Cancel():
                self._stop_requested = True
            case Ping():
                self._channel.report(Pong())

    def _setup(self, setup: Setup) -> None:
        path = ""
        if setup.remove:
            self._trees.append(setup.remove)
        if setup.place:
            self._places.append(setup.place)
        try:
            if setup.temporary:
                path = self._temporary(JOB, setup.place)
            scratch = self._temporary(SCRATCH, setup.place)
        except OSError as exc:
            text = f"cannot make a temporary directory in {setup.place or temporary_place()}: {exc.strerror}"
            self._channel.report(GuardFault(text, no_space=True))
            return
        self._channel.report(Ready(path, scratch, os.getpid()))

    def _temporary(self, kind: str, place: str | None) -> str:
        path, held = make_temporary(kind, place)
        self._locks.append(held)
        self._trees.append(path)
        return path

    def _remove_abandoned(self) -> None:
        """So much as can be removed before anybody waits for this job; a later one goes on."""
        until = time.monotonic() + ABANDONED_SECONDS
        orders = select.poll()
        orders.register(self._channel.orders, select.POLLIN)
        with contextlib.suppress(Exception):  # no job is the worse for it
            for _ in removing_abandoned(self._places):
                if time.monotonic() >= until or self._stop_requested or orders.poll(0):
                    return

    def _run(self, spec: RunSpec) -> None:
        self._remove_abandoned()
        self._made += map(Held, spec.made)
        isolated = spec.isolated
        if isolated is not None and isolated.kind == PODMAN and os.geteuid():
            self._unshare, self._unshare_env = [isolated.engine, "unshare"], isolated.env
        try:
            if isolated is not None and isolated.may_be_stale:
                Engine(isolated).remove_stale(time.monotonic() + ENGINE_SECONDS)
            self._command_run = CommandRun(spec, self._channel, self._wakeup)
            self._command_run.stop_requested = self._stop_requested
            self._channel.report(self._command_run.run())
        except CommandNotFound as exc:
            self._channel.report(CommandMissing(f"{str(exc).rstrip('.')}; {missing_advice(spec.argv[0])}"))
        except PromptTimeout as exc:
            self._channel.report(CommandMissing(str(exc)))
        except (OSError, MemoryError) as exc:
            reason = reason_of(exc)
            if isinstance(exc, OSError) and exc.errno in NOT_STARTABLE:
                self._channel.report(CommandMissing(not_startable(spec.argv, spec.env, exc.errno, reason)))
                return
            self._channel.report(GuardFault(f"cannot run the command: {reason}", no_space=True))
        except Exception:
            self._channel.report(GuardFault(traceback.format_exc()))

    def clean(self) -> None:
        """Stops what may be left, and removes what is to be removed, the newest first."""
        stop_descendants(0.0, 1.0)
        if self._command_run is not None:
            self._command_run.settle()
        for made in reversed(self._made):
            made.remove()
            made.close()
        until = time.monotonic() + UNSHARE_SECONDS
        for path in reversed(self._trees):
            remove_tree(path)
            if self._unshare and os.path.lexists(path):
                # in the user's namespace, where all of its users are ours (podman-unshare(1))
                command = [*self._unshare, "rm", "-rf", path]
                ask_engine(command, max(0.1, until - time.monotonic()), self._unshare_env)


def _prompt_timeout(number: int, frame: FrameType | None) -> None:
    text = f"a password prompt was looked for longer than {PROMPT_SECONDS:.0f} s; its expression must be more precise"
    raise PromptTimeout(text)


if __name__ == "__main__":
    sys.exit(main())
