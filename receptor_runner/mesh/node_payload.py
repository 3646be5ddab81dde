"""How the jobs of a controller travel that hands its streams to the mesh by itself.

Rules: the controller gives one object to its transmit stage and to its process stage. Before anything is transmitted,
the store of the node is filled by a work unit of ours, so the stream itself has next to nothing to carry. If that is
not possible, everything travels."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from ..errors import ReceptorRunnerError
from ..job.parameters import DEFAULTS
from ..receptor.address import Address
from ..records.record import Route
from ..stream.job_format import JobFormat
from ..stream.reader import Opener
from .job import Job
from .node_store import NodeStore
from .preparing import PrepareWish, prepare_each
from .sending import PayloadWish, node_key
from .unsealing import opener

__all__ = ["NodePayload"]

logger = logging.getLogger(__name__)

#: Parameters that say where the files of a job are.
_PLACES = ("project_dir", "roles_path", "inventory")


class NodePayload:
    """How one job for one node travels; made by :meth:`receptor_runner.Mesh.payload`.

    :raises ConfigurationError: it is to be sealed, and no key of the node is trusted.
    """

    def __init__(self, address: Address, route: Route, wish: PayloadWish) -> None:
        self._address = address
        self._route = route
        self._wish = wish
        self._key = node_key(route.node, wish)
        self._results_key: bytes | None = None

    def job_format(self, parameters: Mapping[str, Any]) -> JobFormat | None:
        """What packs a job with these parameters; None for what every worker knows. Each time with keys of its own."""
        self._results_key = os.urandom(32) if self._wish.seal_results else None
        packed: JobFormat | None = self._delta(parameters) if self._wish.delta else None
        if self._key is None:
            return packed
        from ..sealing.format import SealedSender

        return SealedSender(packed, self._key, self._results_key)

    def unsealer(self) -> Opener | None:
        """What opens the results, if they are sealed."""
        return opener(self._results_key)

    def _delta(self, parameters: Mapping[str, Any]) -> JobFormat | None:
        directory = str(parameters["private_data_dir"])
        given: dict[str, Any] = {
            name: value for name, value in parameters.items() if name in _PLACES and value != DEFAULTS.get(name)
        }
        wish = PrepareWish(Job(directory, **given), place=self._wish.place, sealed=self._key or b"")
        (filled,) = prepare_each(lambda node: (self._address, self._route), [self._route.node], wish)
        if filled.error is not None:
            if not isinstance(filled.error, ReceptorRunnerError):
                raise filled.error
            logger.info("everything travels to %s: %s", self._route.node, filled.error)
            return None
        store = NodeStore(self._address, self._route, sealed=self._key is not None)
        return store.sender(str(Job(directory).private_data.path), place=self._wish.place)
