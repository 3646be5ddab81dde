"""The same job for several nodes, each a job of its own.

Rules: what is the same for several nodes is packed once. A node that cannot be had does not hold up the others, and
what became of each is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from ..delta.shared import SharedArchives
from ..errors import Interrupted, ReceptorRunnerError
from ..system.signals import StopFlag
from .job import Job
from .sending import PayloadWish
from .submitted import SubmittedJob

if TYPE_CHECKING:
    from .client import Mesh

__all__ = ["NodeAnswer", "submit_to_each"]

#: So many nodes are sent to at once.
_AT_ONCE = 8


class NodeAnswer(NamedTuple):
    """What became of the job for ``node``: it was submitted, or why not."""

    node: str
    job: SubmittedJob | None
    error: ReceptorRunnerError | OSError | None


def submit_to_each(  # noqa: PLR0913 - options by keyword
    mesh: Mesh,
    job: Job,
    nodes: Sequence[str],
    *,
    worktype: str | None = None,
    ttl: str | None = None,
    signwork: bool | None = None,
    again: bool = False,
    payload: PayloadWish | None = None,
    flag: StopFlag | None = None,
    told: Callable[[NodeAnswer], None] = lambda answer: None,
) -> list[NodeAnswer]:
    """Submits ``job`` to every node; that for the node N is called ``IDENT-N``.

    :param told: called when something has become of the job for a node, in any thread.
    """
    with SharedArchives() as shared:

        def submit(node: str) -> NodeAnswer:
            try:
                own = job.renamed(f"{job.ident}-{node}")
                facts = os.path.lexists(own.artifact_dir)  # they travel, and are this node's alone
                submitted = mesh.submit(
                    own,
                    node,
                    worktype=worktype,
                    ttl=ttl,
                    signwork=signwork,
                    again=again,
                    payload=payload,
                    shared=None if facts else shared,
                    flag=flag,
                )
            except (ReceptorRunnerError, OSError) as exc:
                answer = NodeAnswer(node, None, exc)
            else:
                answer = NodeAnswer(node, submitted, None)
            told(answer)
            return answer

        with ThreadPoolExecutor(_AT_ONCE, "receptor-runner-submit") as pool:
            answers = list(pool.map(submit, nodes))
    for answer in answers:
        if isinstance(answer.error, Interrupted):
            raise answer.error
    return answers
