"""The same job for several nodes, each a job of its own.

Rules: what is the same for several nodes is packed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..delta.shared import SharedArchives
from .at_once import Failure, for_each_node
from .job import Job
from .submitted import SubmittedJob

__all__ = ["NodeAnswer", "submit_to_each"]


class NodeAnswer(NamedTuple):
    """What became of the job for ``node``: it was submitted, or why not."""

    node: str
    job: SubmittedJob | None
    error: Failure | None = None


def submit_to_each(
    job: Job,
    nodes: Sequence[str],
    submit: Callable[[Job, str, SharedArchives | None], SubmittedJob],
    told: Callable[[NodeAnswer], None],
) -> list[NodeAnswer]:
    """Submits ``job`` to every node; that for the node N is called ``IDENT-N``.

    :param submit: submits a job to a node. Its archives are shared with those for other nodes, if they may be.
    :param told: called when something has become of the job for a node, in any thread.
    :raises Interrupted: a submit was.
    """
    with SharedArchives() as shared:

        def submit_own(node: str) -> NodeAnswer:
            own = job.renamed(f"{job.ident}-{node}")
            facts = os.path.lexists(own.artifact_dir)  # they travel, and are this node's alone
            return NodeAnswer(node, submit(own, node, None if facts else shared))

        return for_each_node(nodes, submit_own, lambda node, exc: NodeAnswer(node, None, exc), told)
