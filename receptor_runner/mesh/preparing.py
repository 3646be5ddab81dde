"""Warms nodes for jobs to come: contents of a private data dir into their stores, and images.

Rules: it travels as a job does, in a work unit that runs nothing and is released whatever comes. What a node says it
lacks is sent once more."""

from __future__ import annotations

import functools
import shlex
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..delta.shared import SharedArchives
from ..errors import UnreachableError
from ..receptor.address import Address
from ..records.record import Route
from ..records.state_dir import owner
from ..records.trusted_keys import TrustedKeys
from ..stream.bounded_json import parse_json
from ..stream.codec import END_OF_STREAM, encode
from ..stream.endpoints import Output
from ..stream.job_format import JobFormat
from ..stream.messages import PREPARED, Extension, JSONObject
from ..system.signals import StopFlag
from .at_once import Failure, for_each_node
from .node_store import NodeStore, StoreAnswer
from .sending import shared_for
from .submission import Sender, release_unwanted, submit
from .units import JOB_TAG, OWNER_TAG, UnitHandle
from .waiting import run
from .worker_queries import read_head

if TYPE_CHECKING:
    from .job import Job

__all__ = ["NodePrepared", "PrepareWish", "prepare_each"]

_SECONDS = 2 * 3600.0
_LONGEST = 16 * 1024 * 1024
_KEY = b'{"prepared"'


class PrepareWish(NamedTuple):
    """What is to be ready: the contents of ``job``, or None, and ``images``, pulled by ``engine``. ``place`` is that of
    :class:`receptor_runner.PayloadWish`. ``sealed`` is the key of the node; empty if it is not to be used, and None if
    it is one that is trusted.
    """

    job: Job | None
    images: Sequence[str] = ()
    engine: str = "podman"
    place: str | None = None
    sealed: bytes | None = None


class NodePrepared(NamedTuple):
    """What became of it at ``node``. ``sent`` is in bytes. ``images`` says of each ``present``, ``pulled``, or why
    neither.
    """

    node: str
    sent: int = 0
    images: dict[str, str] = {}  # noqa: RUF012 - never changed
    error: Failure | None = None

    @property
    def ready(self) -> bool:
        return self.error is None and all(said in ("present", "pulled") for said in self.images.values())


def prepare_each(
    select: Callable[[str], tuple[Address, Route]],
    nodes: Sequence[str],
    wish: PrepareWish,
    flag: StopFlag | None = None,
    told: Callable[[NodePrepared], None] = lambda one: None,
    progress: Callable[[int], None] = lambda size: None,
) -> list[NodePrepared]:
    """Prepares all ``nodes`` at once.

    :param select: finds the way to a node.
    :param told: called when a node is done, in any thread.
    :param progress: called with the number of bytes that were sent to all nodes so far, in any thread.
    :raises Interrupted: ``flag`` was raised.
    """
    counted = _Counted(progress)
    with SharedArchives() as shared:

        def prepare(node: str) -> NodePrepared:
            return _Preparing(*select(node), wish, shared if len(nodes) > 1 else None, counted, flag).run()

        return for_each_node(nodes, prepare, lambda node, exc: NodePrepared(node, error=exc), told)


class _Counted:
    """How much was sent to all nodes."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._size = 0

    def add(self, size: int) -> None:
        with self._lock:
            self._size += size
            self._progress(self._size)


class _Preparing:
    def __init__(
        self,
        address: Address,
        route: Route,
        wish: PrepareWish,
        shared: SharedArchives | None,
        counted: _Counted,
        flag: StopFlag | None,
    ) -> None:
        self._counted = counted
        self._address = address
        self._route = route
        self._wish = wish
        self._shared = shared
        self._flag = flag
        self._key = TrustedKeys().get(route.node) if wish.sealed is None else wish.sealed or None
        #: Bytes of each time that something was sent.
        self._sent = [0]

    def run(self) -> NodePrepared:
        """:raises UnreachableError: the worker has no store, or does not know how to prepare."""
        job = self._wish.job
        answer = self._ask(_send_nothing) if job is None else self._fill(job)
        return NodePrepared(self._route.node, sum(self._sent), answer["images"])

    def _fill(self, job: Job) -> JSONObject:
        store = NodeStore(self._address, self._route, sealed=self._key is not None)
        if not store.is_offered(self._flag):
            if store.silence is not None:
                raise UnreachableError(f"{self._route.node} does not say whether it has a store: {store.silence}")
            raise UnreachableError(f"the worker of {self._route.node} has no store: everything travels with every job")
        for _ in range(2):
            shared = shared_for(self._shared, sealed=self._key is not None)
            packed = store.sender(str(job.private_data.path), shared, only_kept=True, place=self._wish.place)
            transmitter = job.transmitter(Extension(job=job.ident, owner=owner()), self._sealed(packed))
            answer = self._ask(functools.partial(transmitter.run, flag=self._flag))
            if store.learned(packed, StoreAnswer.of(answer["lacks"])):
                return answer
        raise UnreachableError(
            f"{self._route.node} lacks {len(answer['lacks'])} contents after they were sent",
            hint="its store may be too small, or its disk full: receptor-runner nodes --info",
        )

    def _sealed(self, packed: JobFormat) -> JobFormat:
        if self._key is None:
            return packed
        from ..sealing.format import SealedSender

        return SealedSender(packed, self._key, purpose="prepare")

    def _ask(self, write: Callable[[Output], object]) -> JSONObject:
        """Sends it; what the worker answers.

        :raises UnreachableError: it answers nothing that can be understood, or that it failed.
        """
        words = [word for image in self._wish.images for word in ("--image", image)]
        params = shlex.join(["prepare", "--engine", self._wish.engine, *words])
        self._sent.append(0)
        unit = submit(
            self._address,
            self._route,
            {JOB_TAG: "prepare", OWNER_TAG: owner(), "params": params},
            Sender(write, lambda unit: None, self._count),
            self._flag,
        )
        try:
            handle = UnitHandle(self._address, unit)
            head = run(read_head(handle, self._route, _SECONDS, _is_answered, _LONGEST), self._flag)
            answer = _answer(head)
            if answer is None:
                raise UnreachableError(f"the worker of {self._route.node} does not know how to prepare: it is too old")
        finally:
            release_unwanted(self._address, unit)
        if answer["error"] is not None:
            raise UnreachableError(f"the worker of {self._route.node} says: {answer['error']}")
        return answer

    def _count(self, size: int) -> None:
        self._counted.add(size - self._sent[-1])
        self._sent[-1] = size


def _send_nothing(output: Output) -> None:
    """A stream without files."""
    output.write(encode({"kwargs": {}}) + END_OF_STREAM)


def _is_answered(head: bytes) -> bool:
    return _answer(head) is not None


def _answer(head: bytes) -> JSONObject | None:
    """The answer, once it is whole. It is a stranger's."""
    place = head.find(_KEY)
    end = head.find(b"\n", place)
    if place < 0 or end < 0:
        return None
    try:
        answer = parse_json(head[place:end])[PREPARED]
        images = {str(name): str(said) for name, said in answer["images"].items()}
        return {"lacks": [str(one) for one in answer["lacks"]], "images": images, "error": answer["error"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
