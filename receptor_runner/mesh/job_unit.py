"""The work unit of one job, at the node that we are connected to: how it is reached, and how it is released.

Rules: nothing is noted here; the caller's record says what is known. A private node that has ended is started again
before anything is asked of it."""

from __future__ import annotations

import logging
import os

from ..errors import LostError, ReceptorRunnerError, UnreachableError
from ..job.place import IN_PLACE
from ..records.record import Record, UnitRef
from ..system.signals import StopFlag
from .endpoint import connect
from .private_node import PrivateNode
from .units import UnitHandle
from .waiting import run

__all__ = ["JobUnit"]

logger = logging.getLogger(__name__)


class JobUnit:
    """:param private: the embedded node that was started for the job, if one was."""

    def __init__(self, private: PrivateNode | None) -> None:
        self.private = private

    @classmethod
    def of(cls, record: Record, private: PrivateNode | None) -> JobUnit:
        """:param private: it, if it was started here."""
        if private is None and record.private_node is not None:
            private = PrivateNode(record.private_node, record.address.socket)
        return cls(private)

    @staticmethod
    def known(record: Record) -> UnitRef:
        """:raises LostError: the job never had one."""
        if not record.units:
            raise LostError(f"the job {record.id} was never accepted: its submitter ended before it had a work unit")
        return record.units[0]

    def handle(self, record: Record) -> UnitHandle:
        """:raises LostError: the job never had one."""
        return UnitHandle(record.address, self.known(record).unit)

    def wait_for_node(self) -> None:
        """Until the node that was started for the job serves.

        :raises UnreachableError: it does not start.
        """
        if self.private is not None:
            self.private.wait()

    def start_again(self) -> None:
        """Starts the node of the job if it has ended."""
        if self.private is not None:
            self.private.revive()

    def revive(self, record: Record, flag: StopFlag | None = None) -> None:
        """Starts the node of the job again if it cannot be reached."""
        if self.private is not None and not record.released:
            try:
                run(connect(record.address), flag).close()
            except UnreachableError:
                self.private.revive()

    def release_safe(self, record: Record) -> bool:
        """Releases the unit of a job whose results are safe; whether it is gone now. If that fails, ``prune`` does it
        later.
        """
        if record.adopted or not record.units:
            return False
        try:
            if self.private is not None and record.route.worktype == IN_PLACE:
                self.private.release_later(self.known(record).unit)
            else:
                self.revive(record)
                run(self.handle(record).release())
        except ReceptorRunnerError as exc:
            logger.warning("the work unit of the job %s is not released: %s", record.id, exc)
            return False
        logger.debug("the work unit of the job %s is released", record.id)
        return True

    def release(self, record: Record, *, force: bool) -> None:
        """:param force: also if it still runs, or cannot be reached.
        :raises ReceptorRunnerError: it cannot be released.
        """
        if not record.units or record.released:
            return
        try:
            self.revive(record)
            self._release(record, force=force)
        except UnreachableError as exc:
            if not force and (self.private is None or os.path.isdir(self.private.directory)):
                raise
            logger.warning("the work unit of the job %s may be left: %s", record.id, exc)

    def _release(self, record: Record, *, force: bool) -> None:
        """By force only what cannot be released otherwise, because then its node may keep it."""
        handle = self.handle(record)
        if record.verdict is None or not force:
            run(handle.release(force=force))
            return
        try:
            run(handle.release())
        except ReceptorRunnerError:
            run(handle.release(force=True))
