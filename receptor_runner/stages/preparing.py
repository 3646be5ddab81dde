"""Prepares a node for jobs to come: its store gets the contents of a job, and images are pulled. Nothing is run.

Rules: the contents come as a job does, and the directory that they make is for the first job. The output is for
keep-alives and one line with the answer. Whatever happens, there is an answer."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..delta.lacking import LackingError
from ..errors import UnreachableError
from ..guard.engine import ask_engine
from ..limits import KILL_SECONDS, TERM_SECONDS, StreamLimits
from ..stream.messages import ALL, PREPARED, JSONObject
from ..stream.results_writer import ResultsWriter
from ..system.process_tree import stop_descendants
from .job_receiver import JobReceiver
from .node_means import NodeMeans
from .work_dir import WorkDir

if TYPE_CHECKING:
    from ..stream.endpoints import Input

__all__ = ["Preparation"]

_PULL_SECONDS = 3600.0
_ASK_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_LONGEST_REASON = 500


class Preparation:
    """:param check_stop: raises when it is to end.
    :param engine: pulls ``images``.
    """

    def __init__(
        self, source: Input, writer: ResultsWriter, check_stop: Callable[[], None], means: NodeMeans, engine: str
    ) -> None:
        self._source = source
        self._writer = writer
        self._check_stop = check_stop
        self._means = means
        self._engine = engine

    def run(self, images: Sequence[str], limits: StreamLimits) -> bool:
        """Writes the answer; whether all of it is good news."""
        answer: JSONObject = {"lacks": [], "images": {}, "error": None}
        try:
            self._receive(limits)
            for image in images:
                answer["images"][image] = self._pulled(image)
        except LackingError as exc:
            answer["lacks"] = [digest.hex() for digest in exc.digests] or [ALL]
        except Exception as exc:  # there is an answer, whatever it is
            answer["error"] = str(exc) or type(exc).__name__
        self._writer.send({PREPARED: answer})
        good = all(said in ("present", "pulled") for said in answer["images"].values())
        return good and not answer["lacks"] and answer["error"] is None

    def _receive(self, limits: StreamLimits) -> None:
        with WorkDir(None, delete=False) as work_dir:
            receiver = JobReceiver(self._source, self._writer, self._check_stop, work_dir, limits, self._means)
            try:
                receiver.receive()
                if receiver.extension.store is not None and not self._means.has_store():
                    raise UnreachableError("it has no store")
                if receiver.not_kept:
                    raise LackingError(receiver.not_kept)
            finally:
                receiver.give_back()

    def _pulled(self, image: str) -> str:
        """``present``, ``pulled``, or why neither."""
        if ask_engine([self._engine, "image", "inspect", "--", image], _ASK_SECONDS) is not None:
            return "present"
        try:
            with tempfile.TemporaryFile() as said:
                pull = subprocess.Popen(
                    [self._engine, "pull", "--", image], stdin=subprocess.DEVNULL, stdout=said, stderr=said
                )
                try:
                    self._wait(pull)
                finally:
                    if pull.poll() is None:
                        stop_descendants(TERM_SECONDS, KILL_SECONDS)
                if pull.returncode == 0:
                    return "pulled"
                said.seek(0)
                lines = said.read().decode("utf-8", "replace").strip().splitlines()
        except OSError as exc:
            return f"{self._engine} cannot be run: {exc.strerror}"
        return lines[-1][-_LONGEST_REASON:] if lines else f"{self._engine} ends with {pull.returncode}"

    def _wait(self, pull: subprocess.Popen[bytes]) -> None:
        for _ in range(int(_PULL_SECONDS / _LOOK_SECONDS)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                pull.wait(_LOOK_SECONDS)
                return
            self._check_stop()
            self._writer.tick()
