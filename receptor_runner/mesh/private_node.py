"""A private embedded node: it is started for one job, and ends when its units are gone.

Rules: the node is a process with a session of its own, so it outlives the process that started it. Its directory holds
all that is needed to start it again with the units that it left. Threads may share it: whoever uses it keeps it from
being stopped by another."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ReceptorRunnerError, UnreachableError
from ..limits import CONTROL_SECONDS
from ..node.defaults import PRIVATE, prepare_private
from ..node.units import Unit, Units
from ..receptor.address import Address
from ..system.boot import python_argv
from ..system.removal import remove_tree
from .endpoint import connect
from .waiting import run

if TYPE_CHECKING:
    from ..node.config import WorkCommand

__all__ = ["PRIVATE", "PrivateNode", "units_of"]

logger = logging.getLogger(__name__)


class PrivateNode:
    """``directory`` and ``socket`` as :func:`receptor_runner.node.defaults.prepare_private` made them."""

    def __init__(self, directory: str, socket: str) -> None:
        self.directory = directory
        self.socket = socket
        self._process: subprocess.Popen[bytes] | None = None
        self._again_at = 0.0
        self._lock = threading.RLock()
        self._users = 0

    @classmethod
    def new(cls) -> PrivateNode:
        return cls(*prepare_private())

    @property
    def address(self) -> Address:
        return Address(self.socket, private=True)

    def worktype(self, name: str) -> WorkCommand:
        """What it runs for a unit of the worktype ``name``."""
        from ..node.config import configure

        return configure([os.path.join(self.directory, "receptor.yml")]).worktypes[name]

    @contextlib.contextmanager
    def units(self) -> Iterator[Units]:
        """Its units, as long as it is not started."""
        with contextlib.closing(Units(Path(self.directory, "data", PRIVATE))) as units:
            yield units

    def release_later(self, unit: str) -> None:
        """The node removes the unit when it has ended.

        :raises OutputError: it cannot be told.
        """
        Unit(Path(self.directory, "data", PRIVATE, unit)).mark_unwanted()

    def remove(self) -> None:
        """Removes the directory of a node that was not started."""
        remove_tree(self.directory)

    def start(self) -> None:
        """Starts it; :meth:`used` waits until it serves."""
        logger.debug("starting the private node in %s", self.directory)
        self._process = subprocess.Popen(
            python_argv("receptor_runner.cli.main", "serve", "--private", self.directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def used(self) -> Iterator[PrivateNode]:
        """This node, serving, as long as the context lasts: it is started anew if it has ended because nobody used it.
        If nobody uses it afterwards and it has no work, it ends.

        :raises UnreachableError: it does not start.
        """
        with self._lock:
            self._users += 1
        try:
            with self._lock:
                if self._process is not None and self._process.poll() is not None and not os.path.isdir(self.directory):
                    self.directory, self.socket = prepare_private()
                    self.start()
                self.wait()
            yield self
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._stop()

    def wait(self) -> None:
        """Until it serves, if it was started here.

        :raises UnreachableError: it does not start.
        """
        if self._process is None or self._process.stdout is None or self._process.stdout.closed:
            return
        assert self._process.stderr is not None
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        ready = poll.poll(CONTROL_SECONDS * 1000)
        answer = os.read(self._process.stdout.fileno(), 64) if ready else b""
        self._process.stdout.close()
        if not answer:
            self._process.kill()
        reason = b"" if answer else self._process.stderr.read(4096)
        self._process.stderr.close()
        if not answer and not self._is_served():
            text = reason.decode("utf-8", "replace").strip() or "it does not answer"
            raise UnreachableError(f"the private node does not start: {text}")

    def _is_served(self) -> bool:
        """Whether another process has started it, who looked at the job at the same time."""
        try:
            run(connect(self.address)).close()
        except (ReceptorRunnerError, OSError):
            return False
        return True

    def _stop(self) -> None:
        """Ends it, if it has no work."""
        if self._process is None or self._process.poll() is not None or units_of(self.directory):
            return
        self._process.terminate()
        try:
            self._process.wait(CONTROL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def revive(self) -> None:
        """Starts it again if it does not run; at most once a second."""
        with self._lock:
            now = time.monotonic()
            if now < self._again_at or (self._process is not None and self._process.poll() is None):
                return
            self._again_at = now + 1.0
            if os.path.isdir(self.directory):
                self.start()
                self.wait()


def units_of(directory: str) -> list[str]:
    """The work units that are left in the directory of a private node, by the paths of their ``status``."""
    return glob.glob(os.path.join(glob.escape(directory), "data", "*", "*", "status"))
