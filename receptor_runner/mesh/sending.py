"""A job on its way to its node: whole or only what the node lacks, sealed or not, once or twice.

Rules: the record says where the unit is before its payload leaves, and that it was accepted only when it was. A job is
sent a second time only if its worker says that it lacks something, and has started nothing. If it lacks something even
then, all of it is sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from ..delta.sender import DeltaSender
from ..delta.shared import SharedArchives
from ..errors import Interrupted, UsageError
from ..records.payload_memory import PayloadMemory
from ..records.record import Record, UnitRef
from ..records.state_dir import owner
from ..records.store import Records
from ..records.trusted_keys import TrustedKeys
from ..stream.job_format import JobFormat
from ..stream.messages import Extension
from ..system.signals import StopFlag
from .job import Job
from .node_store import NodeStore
from .submission import Sender, release_unwanted, submit
from .units import JOB_TAG, OWNER_TAG

__all__ = ["JobSending", "PayloadWish", "job_digest", "node_key", "shared_for"]


class PayloadWish(NamedTuple):
    """How a job is to travel.

    :param delta: send only what the node lacks, if its worker has a store. Then the job is accepted when the worker has
        all of it.
    :param seal: encrypt the job for its node. None: if the key of the node is trusted.
    :param seal_results: encrypt what comes back, too.
    :param place: what the files belong to, if their private data dir is another one each time: the name of a project.
        With ``delta``, a job begins at its node with what the last one of the same place has not touched.
    """

    delta: bool = False
    seal: bool | None = None
    seal_results: bool = False
    place: str | None = None


class JobSending(NamedTuple):
    """A job that is handed to the node of its record."""

    records: Records
    record: Record
    job: Job
    flag: StopFlag | None
    progress: Callable[[int], None] | None
    shared: SharedArchives | None = None

    def send(self, wish: PayloadWish) -> None:
        """Submits the job, and notes that it was accepted.

        :raises ConfigurationError: it is to be sealed, and no key of the node is trusted.
        :raises ReceptorRunnerError: as :meth:`receptor_runner.Mesh.submit`.
        """
        key = node_key(self.record.route.node, wish)
        self.record.sealed = key is not None
        self.records.save(self.record)
        store = None
        if wish.delta and self.record.route.ttl is None:
            store = NodeStore(self.record.address, self.record.route, sealed=key is not None)
        if store is None or not store.is_offered(self.flag):
            self._send_once(None, key, wish)
            return
        for _ in range(2):
            if not store.is_offered(self.flag):
                break
            if self._took(store, self._delta(store, key, wish)):
                return
            self.record.accepted = False
            self.records.save(self.record)
            release_unwanted(self.record.address, self.record.units[0].unit)
        self._send_once(None, key, wish)

    def _delta(self, store: NodeStore, key: bytes | None, wish: PayloadWish) -> DeltaSender:
        shared = shared_for(self.shared, sealed=key is not None)
        packed = store.sender(str(self.job.private_data.path), shared, place=wish.place)
        self._send_once(packed, key, wish)
        return packed

    def _took(self, store: NodeStore, packed: DeltaSender) -> bool:
        unit = self.record.units[0].unit
        try:
            return store.took(packed, unit, bytes.fromhex(self.record.results_key), self.flag)
        except Interrupted:
            release_unwanted(self.record.address, unit)
            raise

    def _send_once(self, job_format: JobFormat | None, key: bytes | None, wish: PayloadWish) -> None:
        """Each time with keys of its own: no key encrypts two things."""
        if key is not None:
            from ..sealing.format import SealedSender

            results_key = os.urandom(32) if wish.seal_results else None
            self.record.results_key = results_key.hex() if results_key is not None else ""
            job_format = SealedSender(job_format, key, results_key)
        transmitter = self.job.transmitter(Extension(job=self.job.ident, owner=owner()), job_format)
        record, route = self.record, self.record.route

        def created(unit: str) -> None:
            record.units = [UnitRef(unit, route.node, route.local)]
            self.records.save(record)

        submit(
            record.address,
            route,
            {JOB_TAG: record.id, OWNER_TAG: owner()},
            Sender(lambda output: transmitter.run(output, self.flag), created, self.progress),
            self.flag,
        )
        record.accepted = True
        record.digest = job_digest(transmitter.digest, sealed=record.sealed)
        self.records.save(record)


def shared_for(shared: SharedArchives | None, *, sealed: bool) -> SharedArchives | None:
    """Those of ``shared`` that are for sealed jobs, or for others."""
    if shared is None or not sealed:
        return shared
    from ..sealing.spool import sealed_spool

    return shared.apart(sealed_spool)


def job_digest(digest: str, *, sealed: bool) -> str:
    """What a record keeps of the digest of a job. That of a sealed one tells nothing to others."""
    return PayloadMemory().keyed(digest) if sealed else digest


def node_key(node: str, wish: PayloadWish) -> bytes | None:
    """The key of ``node``, if a job for it is to be sealed.

    :raises ConfigurationError: none is trusted.
    :raises UsageError: only the results are to be sealed.
    """
    if wish.seal is False:
        if wish.seal_results:
            raise UsageError("results can only be sealed if the job is: their key travels in it")
        return None
    keys = TrustedKeys()
    return keys.trusted(node) if wish.seal or wish.seal_results else keys.get(node)
