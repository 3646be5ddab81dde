"""A mesh, by the control service of one of its nodes: what it offers, and how jobs are handed to it.

Rules: everything works in any thread. If a job is not accepted, its unit and its record are removed. Otherwise the
record says where the unit is."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..delta.shared import SharedArchives
from ..errors import ReceptorRunnerError, UnreachableError, UsageError
from ..job.parameters import check_ident
from ..job.private_data import PrivateDataDir
from ..receptor.address import Address
from ..records.claims import claimed
from ..records.record import Record, Route
from ..records.state_dir import jobs_directory
from ..records.store import BusyError, Records
from ..stream.messages import JSONObject
from ..system.signals import StopFlag, pause
from .claiming import Place, adopted_before, forget_rejected, known_job
from .job import Job
from .mesh_status import mesh_status
from .other_job import OtherJob, record_of_unit, way_to_unit
from .private_node import PrivateNode
from .route import MeshStatus, NodeStatus, RouteRequest, select_route
from .sending import JobSending, PayloadWish
from .signing import signing_key
from .submitted import SubmittedJob
from .waiting import run
from .worker_queries import ask_worker_info

if TYPE_CHECKING:
    from ..receptor.configuration import Item
    from .node_payload import NodePayload
    from .preparing import NodePrepared

__all__ = ["Mesh"]

logger = logging.getLogger(__name__)

#: How long a node has to say what it offers.
_NODE_SECONDS = 5.0
_SOCKET_VARIABLE = "RECEPTORCTL_SOCKET"


class Mesh:
    """A Receptor mesh, by the control service of one of its nodes.

    :param socket: path of a Unix socket, ``tcp://host:port`` or ``tls://host:port``; default: the variable
        ``RECEPTORCTL_SOCKET``, else the control-service of ``config``.
    :param config: a configuration file of Receptor, for the socket and for ``tlsclient``, which is its only
        ``tls-client`` unless it is named.
    :raises UnreachableError: no socket is named.
    """

    def __init__(  # noqa: PLR0913 - options by keyword
        self,
        socket: str | None = None,
        *,
        config: str | None = None,
        tlsclient: str | None = None,
        rootcas: str | None = None,
        key: str | None = None,
        cert: str | None = None,
        insecureskipverify: bool = False,
    ) -> None:
        items = _configured(config) if config is not None else []
        address = socket or os.environ.get(_SOCKET_VARIABLE) or _configured_socket(items)
        if not address:
            raise UnreachableError(
                "no mesh is named",
                hint="give --socket or --mesh, or start a node for this machine: receptor-runner serve",
            )
        tlsclient = tlsclient or _configured_tlsclient(items)
        self.address = Address(
            _absolute_socket(address),
            _absolute(config),
            tlsclient,
            _absolute(rootcas),
            _absolute(key),
            _absolute(cert),
            insecureskipverify,
        )
        self._signing = signing_key(items)
        self._private: PrivateNode | None = None

    def __repr__(self) -> str:
        return f"<Mesh {self.address.socket}>"

    @classmethod
    def private(cls) -> Mesh:
        """An embedded node of its own, which ends when its units are released.

        :raises UnreachableError: it does not start.
        """
        node = PrivateNode.new()
        node.start()
        mesh = cls(node.socket)
        mesh.address = node.address
        mesh._private = node
        return mesh

    def status(self, flag: StopFlag | None = None) -> MeshStatus:
        """What the mesh offers now.

        :raises UnreachableError: the daemon does not answer.
        """
        return run(mesh_status(self.address), flag)

    #: The first name of :meth:`status`. It stays for those who call it.
    offer = status

    def nodes(self) -> list[NodeStatus]:
        """:raises UnreachableError: the daemon does not answer."""
        return self.status().nodes()

    def worker_info(self, node: str | None = None, worktype: str | None = None) -> JSONObject:
        """What the worker of a node tells about it: see :func:`receptor_runner.stages.worker_info.worker_info`.

        :param worktype: default as for :meth:`submit`.
        :raises UnreachableError: node or worktype cannot be had, or it does not answer.
        """
        route = self._select(RouteRequest(node, worktype))
        return run(ask_worker_info(self.address, route))

    def _select(self, request: RouteRequest, flag: StopFlag | None = None) -> Route:
        """The way to where ``request`` wants to go.

        :raises UnreachableError: node or worktype cannot be had.
        """
        request = request._replace(tlsclient=self.address.tlsclient)
        asking, pausing = functools.partial(self.status, flag), functools.partial(pause, flag)
        return select_route(asking, request, pausing, self._ask_node)

    def _ask_node(self, name: str) -> MeshStatus | None:
        """What a node says about itself over the mesh; None if it does not answer."""
        there = dataclasses.replace(self.address, through=name, through_tls=self.address.tlsclient)
        try:
            return run(mesh_status(there, _NODE_SECONDS))
        except (ReceptorRunnerError, OSError) as exc:
            logger.info("%s cannot be asked what it offers: %s", name, exc)
            return None

    def adopt(
        self,
        node: str,
        unit: str,
        *,
        ident: str | None = None,
        private_data_dir: str | os.PathLike[str] = ".",
        flag: StopFlag | None = None,
    ) -> SubmittedJob:
        """A job that another controller submitted, by its work unit on the node that runs it: to be followed from its
        beginning, cancelled, released. Its unit stays until :meth:`~SubmittedJob.release` is called.

        If its worktype is signed, the ``work-signing`` of ``config`` must be the one that the node believes.

        :param ident: the name that it gets here; default: ``unit``.
        :param private_data_dir: artifacts are saved in its ``artifacts/IDENT``.
        :raises UnreachableError: there is no way to the node.
        :raises LostError: the node has no such unit.
        :raises RefusedError: the worktype is signed and there is no key, or the node wants TLS.
        :raises UsageError: the ident is that of another job.
        """
        records = Records(jobs_directory())
        name = check_ident(ident or unit)
        with records.followed(name):
            record = adopted_before(records, name, node, unit)
            if record is None:
                try:
                    way = run(way_to_unit(self.address, self._signing, node, unit), flag)
                    record = record_of_unit(way, unit, name, PrivateDataDir(private_data_dir))
                    records.save(record)
                except BaseException:
                    records.remove(name)
                    raise
        return SubmittedJob(record, records)

    def other_job(self, node: str, unit: str, flag: StopFlag | None = None) -> SubmittedJob:
        """A job that another controller submitted, to look at it: nothing is noted here.

        :raises ReceptorRunnerError: as for :meth:`adopt`.
        """
        name = check_ident(unit)
        way = run(way_to_unit(self.address, self._signing, node, unit), flag)
        return OtherJob(record_of_unit(way, unit, name, PrivateDataDir(".")), Records(jobs_directory()))

    def submit(  # noqa: PLR0913 - options by keyword
        self,
        job: Job,
        node: str | None = None,
        *,
        worktype: str | None = None,
        ttl: str | None = None,
        signwork: bool | None = None,
        again: bool = False,
        payload: PayloadWish | None = None,
        shared: SharedArchives | None = None,
        flag: StopFlag | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> SubmittedJob:
        """Hands ``job`` to the mesh; returns when the node has accepted it.

        A job of this ident that was submitted before is that job, and nothing is sent, if it is the same work and has
        not ended: :attr:`SubmittedJob.submitted_before` tells. Anything else is refused.

        :param again: it is another one: one whose results are saved is forgotten.
        :param payload: how it travels; default: sealed if the key of the node is trusted, and all of it.
        :param shared: archives of the same job for other nodes, so that it is packed once.
        :param ttl: how long to wait for a node that is absent, as Receptor writes it (``30s``, ``1h``).
        :raises InputError: the job cannot be transmitted; nothing was sent.
        :raises UnreachableError: daemon, node or worktype cannot be had; nothing was started.
        :raises RefusedError: signature or TLS.
        :raises Interrupted: ``flag`` was raised; no unit is left.
        """
        records = Records(jobs_directory())
        with self._private.used() if self._private is not None else contextlib.nullcontext() as private:
            if private is not None:
                self.address = private.address
                if payload is not None and (payload.seal or payload.seal_results):
                    raise UsageError("only a job for a node of a mesh is sealed; this one stays on this machine")
            address = self.address
            job.check()
            with claimed(records, job.ident, flag) as mine:
                known = known_job(records, job, Place(address.socket, node), again=again, mine=mine, flag=flag)
                if known is not None:
                    return SubmittedJob(known, records, submitted_before=True)
                if not mine:
                    raise BusyError(f"the job {job.ident} is being released by another process")
                out = _Outgoing(
                    job, address, private.directory if private is not None else None, payload or PayloadWish(), shared
                )
                try:
                    return self._submit(records, out, RouteRequest(node, worktype, ttl, signwork), flag, progress)
                except BaseException:
                    forget_rejected(records, job.ident)
                    raise

    def _submit(
        self,
        records: Records,
        out: _Outgoing,
        request: RouteRequest,
        flag: StopFlag | None,
        progress: Callable[[int], None] | None,
    ) -> SubmittedJob:
        record = _record(out, self._select(request, flag))
        sending = JobSending(records, record, out.job, flag, progress, out.shared)
        sending.send(out.payload if self._private is None else PayloadWish(seal=False))
        return SubmittedJob(record, records)

    def prepare(  # noqa: PLR0913 - options by keyword
        self,
        nodes: Sequence[str],
        job: Job | None = None,
        *,
        images: Sequence[str] = (),
        engine: str = "podman",
        worktype: str | None = None,
        flag: StopFlag | None = None,
        told: Callable[[NodePrepared], None] = lambda one: None,
        progress: Callable[[int], None] = lambda size: None,
    ) -> list[NodePrepared]:
        """Warms nodes for jobs to come, several at once, and runs nothing: their stores get the files of ``job``, and
        ``images`` are pulled.

        :param engine: pulls them.
        :param told: called when a node is done, in any thread.
        :param progress: called with the number of bytes that were sent to all nodes so far, in any thread.
        :raises Interrupted: ``flag`` was raised.
        """
        from .preparing import PrepareWish, prepare_each

        def select(node: str) -> tuple[Address, Route]:
            return self.address, self._select(RouteRequest(node, worktype), flag)

        return prepare_each(select, nodes, PrepareWish(job, images, engine), flag, told, progress)

    def payload(self, node: str, *, worktype: str | None = None, wish: PayloadWish | None = None) -> NodePayload:
        """How a job for ``node`` travels that the caller submits by itself: to be given as ``payload`` to
        :func:`receptor_runner.run` with the streamers ``transmit`` and ``process``. One object for each job.

        :param wish: default: only what the node lacks, and sealed if the key of the node is trusted.
        :raises UnreachableError: node or worktype cannot be had.
        """
        from .node_payload import NodePayload

        route = self._select(RouteRequest(node, worktype))
        return NodePayload(self.address, route, wish or PayloadWish(delta=True))

    @staticmethod
    def job(job_id: str) -> SubmittedJob:
        """A job that was submitted before, by whatever process of this user.

        :raises InputError: there is none.
        """
        records = Records(jobs_directory())
        return SubmittedJob(records.load(job_id), records)

    @staticmethod
    def jobs() -> Iterator[SubmittedJob]:
        """All submitted jobs whose records are there."""
        records = Records(jobs_directory())
        return (SubmittedJob(record, records) for record in records.all())


class _Outgoing(NamedTuple):
    """A job, where it is handed in (the address of a node, and its directory if it is a private one), and how it
    travels.
    """

    job: Job
    address: Address
    private_node: str | None
    payload: PayloadWish
    shared: SharedArchives | None


def _record(out: _Outgoing, route: Route) -> Record:
    """The record of a job that is not accepted yet."""
    job = out.job
    return Record(
        id=job.ident,
        private_data_dir=str(job.private_data.path),
        artifact_dir=job.artifact_dir,
        address=out.address,
        route=route,
        private_node=out.private_node,
        settings=job.settings,
        playbook=job.playbook,
        accepted=False,
    )


def _absolute(path: str | None) -> str | None:
    """A record outlives the working directory."""
    return os.path.abspath(os.path.expanduser(path)) if path else None


def _absolute_socket(address: str) -> str:
    if address.startswith(("tcp:", "tls:")):
        return address
    return _absolute(address.removeprefix("unix:").removeprefix("//")) or address


def _configured(config: str) -> list[Item]:
    from ..receptor.configuration import read_items

    return read_items([config])


def _configured_socket(items: list[Item]) -> str | None:
    for item in items:
        if item.name == "control-service" and item.text("filename"):
            return item.text("filename")
    return None


def _configured_tlsclient(items: list[Item]) -> str | None:
    names = [item.text("name") for item in items if item.name == "tls-client"]
    return names[0] if len(names) == 1 else None
