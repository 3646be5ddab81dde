"""Does the same for several nodes at once.

Rules: a node that fails does not hold up the others, and what became of each is told as soon as it is known. Whoever is
interrupted is interrupted for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias, TypeVar

from ..errors import Interrupted, ReceptorRunnerError

__all__ = ["Failure", "for_each_node"]

#: So many nodes at once.
_AT_ONCE = 8

Failure: TypeAlias = ReceptorRunnerError | OSError


class _Answer(Protocol):
    @property
    def error(self) -> Failure | None: ...


T = TypeVar("T", bound=_Answer)


def for_each_node(
    nodes: Sequence[str], work: Callable[[str], T], failed: Callable[[str, Failure], T], told: Callable[[T], None]
) -> list[T]:
    """What ``work`` makes for each of ``nodes``, in threads; what ``failed`` makes of its error.

    :param told: called with each answer, in any thread.
    :raises Interrupted: that was the error for one of them.
    """

    def answered(node: str) -> T:
        try:
            answer = work(node)
        except (ReceptorRunnerError, OSError) as exc:
            answer = failed(node, exc)
        told(answer)
        return answer

    with ThreadPoolExecutor(_AT_ONCE, "receptor-runner-node") as pool:
        answers = list(pool.map(answered, nodes))
    for answer in answers:
        if isinstance(answer.error, Interrupted):
            raise answer.error
    return answers
