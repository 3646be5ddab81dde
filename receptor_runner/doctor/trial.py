"""A job that does nothing, as the last proof that jobs run, with the time that it takes.

Rules: what it leaves here and on the node is removed, whatever comes."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Interrupted, ReceptorRunnerError
from ..mesh.client import Mesh
from ..mesh.job import Job
from ..mesh.outcome import Outcome
from ..mesh.submitted import SubmittedJob
from ..records.record import Route
from ..system.places import temporary_place
from ..system.signals import StopFlag
from .finding import Finding, fault, ok, signature_check

__all__ = ["trial"]

_GROUP = "A job"
_INVENTORY = 'localhost ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"\n'


def trial(
    mesh: Mesh, route: Route | None, image: str | None, flag: StopFlag | None, seconds: float
) -> Iterator[Finding]:
    """:param route: where it runs; None for the mesh's own choice.
    :param image: the container image to run it in.
    :param seconds: how long it may run, and how long its node may be silent.
    """
    to: dict[str, Any] = {}
    if route is not None:
        to = {"node": route.node, "worktype": route.worktype, "signwork": route.signwork}
    begun = time.monotonic()
    moments: list[float] = []
    submitted: SubmittedJob | None = None
    with tempfile.TemporaryDirectory(prefix="receptor-runner-", dir=temporary_place()) as directory:
        Path(directory, "inventory").write_text(_INVENTORY, encoding="utf-8")
        isolation: dict[str, Any] = {"process_isolation": True, "container_image": image} if image else {}
        job = Job(directory, module="ping", host_pattern="localhost", timeout=seconds, **isolation)
        try:
            submitted = mesh.submit(job, flag=flag, **to)
            accepted = time.monotonic() - begun
            outcome = submitted.follow(
                event_handler=lambda _: moments.append(time.monotonic()), flag=flag, lost_after=seconds
            )
        except Interrupted:
            raise
        except ReceptorRunnerError as exc:
            yield fault(_GROUP, _check_of(str(exc), image), f"a job that does nothing failed: {exc}", exc.exit_code)
            return
        finally:
            if submitted is not None:
                with contextlib.suppress(ReceptorRunnerError):
                    submitted.release(force=True)
    yield _verdict(outcome, image, accepted, (moments or [begun])[0] - begun, time.monotonic() - begun)


def _verdict(outcome: Outcome, image: str | None, accepted: float, first: float, all_of_it: float) -> Finding:
    if outcome.exit_code:
        why = outcome.explanation or f"it is {outcome.status}, rc {outcome.rc}"
        text = f"a job that does nothing failed: {why}"
        return fault(_GROUP, _check_of(why, image), text, outcome.exit_code)
    text = f"a job ran: accepted after {accepted:.2f} s, first event after {first:.2f} s, over after {all_of_it:.2f} s"
    return ok(_GROUP, "job", text)


def _check_of(text: str, image: str | None) -> str:
    return signature_check(text) or ("job-image" if image and image in text else "job")
