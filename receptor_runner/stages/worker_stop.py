"""How a worker works, and whether and since when it is to stop.

Rules: nothing is stopped here but by calling what the worker has set. From the first signal on, everything that is left
to do has a deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..errors import Interrupted, LostError, OutputClosedError, ReceptorRunnerError
from ..guard.launch import LaunchedKeeper
from ..limits import ARCHIVE_SECONDS, CANCEL_POLL_SECONDS, DEFAULT_LIMITS, PARENT_POLL_SECONDS, StreamLimits
from ..stream.messages import JSONObject
from ..stream.results_writer import ResultsWriter
from ..system.signals import StopFlag
from .node_means import USUAL, NodeMeans

__all__ = ["WorkerOptions", "WorkerStop"]


@dataclass
class WorkerOptions:
    """How a worker works. Times are seconds. ``keepalive`` None: what ansible-runner's
    ``ANSIBLE_RUNNER_KEEPALIVE_SECONDS`` says.
    """

    private_data_dir: str | None = None
    delete: bool = False
    keepalive: float | None = None
    cancel_callback: Callable[[], bool] | None = None
    limits: StreamLimits = DEFAULT_LIMITS
    #: Under Receptor: the directory of the work unit. The job ends when that directory goes, because then the unit was
    #: released and nobody wants the job. It also ends when the process that started this one goes, because then nobody
    #: would tell how the job ended.
    unit_directory: str | None = None
    #: Returns the end of what this process wrote to its standard error. An ``error`` status carries it.
    complaints: Callable[[], str] = str
    #: Jobs say in which directory of this machine they work. Only for streams of its own user.
    in_place: bool = False
    #: What becomes the guard of a temporary private data dir, if it was launched already.
    keeper: LaunchedKeeper | None = None
    #: Parameters that hold unless the job says otherwise.
    defaults: JSONObject = field(default_factory=dict)
    #: What the node has for jobs that are no plain archives.
    means: NodeMeans = USUAL


class WorkerStop:
    """Whether a worker is to stop, and since when."""

    def __init__(self, flag: StopFlag, options: WorkerOptions, writer: ResultsWriter) -> None:
        #: Stops the command, as long as one runs.
        self.cancel: Callable[[], None] | None = None
        #: Why nobody wants the job any more.
        self.unwanted: ReceptorRunnerError | None = None
        self.flag = flag
        self._options = options
        self._writer = writer
        self._parent = os.getppid()
        self._since: float | None = None

    def check(self) -> None:
        """:raises Interrupted: the job is to be stopped before it has started.
        :raises LostError: the process that started this one is gone.
        :raises OutputClosedError: the reader of the output is gone.
        """
        if self.flag.raised:
            raise Interrupted("interrupted before the job had started")
        if self._is_unwanted() and self.unwanted is not None:
            raise self.unwanted
        if self._writer.output.closed_by_reader():
            raise OutputClosedError("the output was closed by its reader")
        if self._options.cancel_callback is not None and self._options.cancel_callback():
            raise Interrupted("cancelled before the job had started")

    def asked(self) -> bool:
        """Whether the running command is to be stopped."""
        if self.flag.raised or self._cancelled() or self._is_unwanted():
            self._begin()
        return self._since is not None

    def note(self) -> None:
        """From the first signal on, everything that is left to do has a deadline, and the command is told at once."""
        if self.flag.raised or self._since is not None:
            self._begin()

    def in_time(self, seconds: float) -> bool:
        """Whether there is time for something that takes ``seconds``."""
        self.note()
        return self._since is None or time.monotonic() + seconds < self._since + ARCHIVE_SECONDS

    def _begin(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._writer.output.deadline = self._since + ARCHIVE_SECONDS
            if self.cancel is not None:
                self.cancel()

    def _cancelled(self) -> bool:
        if self._options.cancel_callback is None or self._since is not None:
            return False
        try:
            return bool(self._options.cancel_callback())
        except Exception:  # who cannot say whether to go on gets his job stopped
            return True

    def _is_unwanted(self) -> bool:
        """Whether the unit or the process that started this one is gone. A parent that is init was never Receptor."""
        unit = self._options.unit_directory
        if unit is None or self.unwanted is not None:
            return self.unwanted is not None
        if not os.path.isdir(unit):
            self.unwanted = Interrupted("the work unit was released")
        elif os.getppid() != self._parent or self._parent == 1:
            self.unwanted = LostError(
                "the process that started this worker, Receptor's runner, is gone; the job was ended"
            )
        return self.unwanted is not None

    def waits(self) -> Iterable[float | None]:
        yield CANCEL_POLL_SECONDS if self._options.cancel_callback is not None else None
        yield PARENT_POLL_SECONDS if self._options.unit_directory is not None else None
