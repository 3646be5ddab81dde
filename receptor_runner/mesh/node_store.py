"""The store of the node that a job goes to: whether there is one, what it should have, and what it says it lacks.

Rules: a node is asked what it offers once a day. What it should have is believed until its worker says otherwise; then
the job is sent once more, with what was missing. Whatever goes wrong, everything travels."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..archive.format import DELTA
from ..delta.sender import DeltaSender
from ..delta.shared import SharedArchives
from ..errors import Interrupted, ReceptorRunnerError
from ..receptor.address import Address
from ..records.payload_memory import PayloadMemory
from ..records.record import Route
from ..stream.messages import ALL, Status
from ..stream.reader import StreamReader
from ..stream.status import ERROR
from ..system.signals import StopFlag
from .units import UnitHandle
from .unsealing import opener
from .waiting import run
from .worker_queries import ask_worker_info, read_head

__all__ = ["NodeStore", "StoreAnswer"]

logger = logging.getLogger(__name__)

#: How long a worker may take to say that a job starts, or what it lacks. It keeps alive meanwhile.
_ANSWER_SECONDS = 600.0
#: A hundred thousand digests.
_LONGEST_ANSWER = 16 * 1024 * 1024


class StoreAnswer(NamedTuple):
    """``understood``: the worker knows deltas. ``lacks``: digests, or None for everything."""

    understood: bool
    lacks: frozenset[bytes] | None = frozenset()

    @classmethod
    def of(cls, lacks: Sequence[str]) -> StoreAnswer:
        """Of a worker that says what it lacks, by digests in hex."""
        if ALL in lacks:
            return cls(understood=True, lacks=None)
        try:
            return cls(understood=True, lacks=frozenset(map(bytes.fromhex, lacks)))
        except ValueError:
            return cls(understood=True, lacks=None)


class NodeStore:
    """That of the node of ``route``.

    :param sealed: what it has of us is encrypted.
    """

    def __init__(self, address: Address, route: Route, *, sealed: bool = False) -> None:
        self._address = address
        self._route = route
        self._sealed = sealed
        self._memory = PayloadMemory()
        self._node = self._memory.node(address.socket, route.node, route.worktype, sealed=sealed)
        #: Why it is not known whether there is one.
        self.silence: Exception | None = None

    def is_offered(self, flag: StopFlag | None) -> bool:
        """Whether the worker has a store."""
        if not self._node.known:
            self._ask(flag)
        return self._node.offers

    def _ask(self, flag: StopFlag | None) -> None:
        try:
            info = run(ask_worker_info(self._address, self._route), flag)
        except Interrupted:
            raise
        except (ReceptorRunnerError, OSError) as exc:
            logger.info("%s does not say whether it has a store: %s", self._route.node, exc)
            self._node.offers = False
            self.silence = exc
            return
        self._node.offers = DELTA in info.get("archive_formats", ())
        self._node.asked = time.time()
        self._node.save()

    def sender(
        self,
        private_data_dir: str,
        shared: SharedArchives | None = None,
        *,
        only_kept: bool = False,
        place: str | None = None,
    ) -> DeltaSender:
        """What packs a job so that only what is missing travels, as far as is known.

        :param shared: the archives of the same job for other nodes.
        :param only_kept: leave out what does not go through a store.
        :param place: what the files belong to, if it is not ``private_data_dir``.
        """
        index = self._memory.index(private_data_dir, sealed=self._sealed)
        reference = self._memory.store_reference(self._route.node, place or private_data_dir, sealed=self._sealed)
        return DeltaSender(
            self._memory.digester(sealed=self._sealed),
            index,
            frozenset(self._node.there),
            reference,
            shared,
            only_kept=only_kept,
        )

    def took(self, packed: DeltaSender, unit: str, results_key: bytes, flag: StopFlag | None) -> bool:
        """Whether the worker of ``unit`` has all that ``packed`` named. If not, what it lacks is sent the next time.

        :param results_key: what the results are sealed with; empty if they are not.
        """
        answer = self._answer(unit, results_key, flag)
        return answer is None or self.learned(packed, answer)

    def learned(self, packed: DeltaSender, answer: StoreAnswer) -> bool:
        """Takes in what the worker says of what ``packed`` named; whether it has all of it."""
        if not answer.understood:
            logger.warning("the worker of %s has no store any more; everything travels", self._route.node)
            self._node.offers = False
        elif answer.lacks:
            logger.info("%s lacks %d contents", self._route.node, len(answer.lacks))
            self._node.there = (self._node.there | packed.named) - answer.lacks
        elif answer.lacks is None:
            logger.info("%s lacks the list of files; everything travels once more", self._route.node)
            self._node.there = set()
        else:
            self._node.there |= packed.named
        self._node.save()
        return answer.understood and answer.lacks == frozenset()

    def _answer(self, unit: str, results_key: bytes, flag: StopFlag | None) -> StoreAnswer | None:
        """What the worker says first; None if that is not known."""
        handle = UnitHandle(self._address, unit)

        def says_status(head: bytes) -> bool:
            return _first_status(head, results_key) is not None

        try:
            head = run(read_head(handle, self._route, _ANSWER_SECONDS, says_status, _LONGEST_ANSWER), flag)
        except Interrupted:
            raise
        except (ReceptorRunnerError, OSError) as exc:  # whoever follows the job sees what became of it
            logger.info("the worker of %s does not say whether it has everything: %s", self._route.node, exc)
            return None
        status = _first_status(head, results_key)
        return _understood(status) if status is not None else None


def _first_status(head: bytes, results_key: bytes) -> Status | None:
    """The first status in the results, once it is whole."""
    unseal = opener(results_key)
    with contextlib.closing(StreamReader(archives=False, unseal=unseal)) as reader:
        try:
            found = next((item for item in reader.feed(head) if isinstance(item, Status)), None) if head else None
            believed = found is None or unseal is None or reader.is_sealed
            return found if believed else Status({"status": ""})  # somebody on the way could have it sent twice
        except ReceptorRunnerError:  # whoever follows the job is told
            return Status({"status": ""})


def _understood(status: Status) -> StoreAnswer:
    told = status.extension
    if status.data.get("status") != ERROR:
        return StoreAnswer(understood=True)
    if DELTA not in told.archives:
        return StoreAnswer(understood=False)
    return StoreAnswer.of(told.lacks)
