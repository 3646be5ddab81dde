"""What this process is doing, for its log and for its last words.

Rules: one process runs one command, so this is the only state that the command line keeps."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["COMPLETION", "about", "name_job"]

#: Set by a shell that asks what completes a line.
COMPLETION = "_RECEPTOR_RUNNER_COMPLETE"


class _About:
    """The command that runs."""

    def __init__(self) -> None:
        #: The job that it is about, for the log.
        self.job = "-"
        #: Whether it is a worker whose standard output is the stream: its errors go there, and nowhere else.
        self.writes_stream = False
        #: Wipes the line that is on the terminal, before something else is written there.
        self.wipe: Callable[[], None] = self.nothing

    @staticmethod
    def nothing() -> None:
        """There is no such line."""


about = _About()


def name_job(job: str) -> None:
    """From here on every line of the log carries the id of ``job``."""
    about.job = job
