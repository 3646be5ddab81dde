"""What an engine is asked about a container: to signal it, to find it, to remove it.

Rules: a container is known by its label, which no other container has, or by the id that its engine wrote down.
Nothing waits longer than it was told to. If the engine does not answer, the answer is unknown; it is never taken for
done."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Mapping, Sequence

from ..isolation.isolated import Isolated

__all__ = ["Engine", "ask_engine"]

#: States of a container that nothing runs in (podman-ps(1), docker-ps(1)).
_STALE = ("created", "configured", "initialized", "exited", "stopped", "dead")


class Engine:
    """The engine of one job."""

    def __init__(self, isolated: Isolated) -> None:
        self._program = isolated.engine
        self._env = isolated.env
        self._id_file = isolated.id_file
        self._label = isolated.label
        self._name = isolated.name

    def container(self) -> str | None:
        """The container's id; None as long as there is none."""
        with contextlib.suppress(OSError), open(self._id_file, encoding="ascii") as file:
            return file.read().strip() or None
        return None

    def start(self, *words: str) -> subprocess.Popen[bytes] | None:
        """An engine command that is not waited for."""
        with contextlib.suppress(OSError):
            return subprocess.Popen(
                [self._program, *words],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return None

    def remove(self, until: float) -> bool:
        """Ends and removes the job's container; False if the engine does not say that it is gone.

        :param until: the end of patience, in ``time.monotonic()``.
        """
        own = ("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={self._label}")
        found = self._ask(until, *own)
        if found:
            self._ask(until, "kill", "--signal", "KILL", *found.split())
            self._ask(until, "rm", "--force", *found.split())
            found = self._ask(until, *own)
        return found == ""

    def remove_stale(self, until: float) -> None:
        """A container of the job's name that nothing runs in: a machine that lost its power leaves one."""
        columns = ("--format", "{{.ID}} {{.State}}")
        said = self._ask(until, "ps", "--all", "--filter", f"name=^{self._name}$", *columns) or ""
        for line in said.splitlines():
            identifier, _, state = line.partition(" ")
            if state.strip().lower() in _STALE:
                self._ask(until, "rm", "--force", identifier)

    def _ask(self, until: float, *words: str) -> str | None:
        return ask_engine([self._program, *words], max(0.1, until - time.monotonic()), self._env)


def ask_engine(command: Sequence[str], seconds: float, env: Mapping[str, str] | None = None) -> str | None:
    """What an engine says to a command; None if it is not there, fails, or takes longer than ``seconds``.

    :param env: None for that of this process.
    """
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
