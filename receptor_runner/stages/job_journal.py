"""What a process stage notes about a stream, so that another can go on with it from where this one stopped.

Rules: this says what is noted, and not where. Whoever can read a stream twice keeps it: see ``records/journal.py``."""

from __future__ import annotations

from typing import Protocol, TypedDict

from ..stream.messages import JSONObject

__all__ = ["NO_JOURNAL", "JobJournal", "JobMemory"]


class JobMemory(TypedDict, total=False):
    """What another process stage must know of a stream that it reads from the middle: the last status line, the data
    of ``playbook_on_stats``, and whether artifacts came.
    """

    status: JSONObject
    stats: JSONObject
    extracted: bool


class JobJournal(Protocol):
    """Where another process stage can go on with the same stream: from ``offset`` (bytes, a message boundary), with the
    first ``skip`` items behind it done and ``events`` events handled in all. ``block`` is the number of the first
    sealed part there.
    """

    #: Whether it is kept. Then a fault of this end, such as a full disk, ends the stage and not the job.
    kept: bool
    offset: int
    skip: int
    events: int
    memory: JobMemory

    def passed(self, offset: int, skip: int, events: int, block: int) -> None: ...

    def remember(self, memory: JobMemory) -> None: ...


class _NoJournal:
    """A pipe cannot be read again."""

    kept = False
    offset = skip = events = 0

    def __init__(self) -> None:
        self.memory: JobMemory = {}

    def passed(self, offset: int, skip: int, events: int, block: int) -> None:
        pass

    def remember(self, memory: JobMemory) -> None:
        pass


NO_JOURNAL: JobJournal = _NoJournal()
