"""What ``run``, ``submit`` and ``attach`` share: handing a job to a mesh, and following it.

Rules: a line on the terminal says what is going on, and at the end how the job ended and where its artifacts are."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConfigurationError, ReceptorRunnerError, exit_code_of
from .output import complain, print_json, printed, say, text_of
from .views import job_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..delta.shared import SharedArchives
    from ..mesh.client import Mesh
    from ..mesh.fan_out import NodeAnswer
    from ..mesh.job import Job
    from ..mesh.submitted import SubmittedJob
    from ..records.record import Record
    from ..results.printer import JobPrinter
    from ..results.sinks import EventSink
    from ..system.signals import StopFlag
    from .mesh_options import PayloadOptions, RouteOptions
    from .options import LimitOptions, PrintOptions, SinkOptions
    from .progress import Progress

__all__ = [
    "FOLLOW_STOPS",
    "FollowOptions",
    "check_view",
    "exit_status",
    "follow",
    "submit_and_leave",
    "submit_job",
    "submit_to_several",
    "told_sinks",
]

#: The signals that end the following of a job.
FOLLOW_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def submit_job(
    mesh: Mesh, job: Job, to: RouteOptions, payload: PayloadOptions, flag: StopFlag, *, again: bool = False
) -> SubmittedJob:
    """Returns when a node has accepted the job."""
    from .progress import progress

    line = progress(to.node or "this machine")
    try:
        return _submit(mesh, job, to, payload, flag, again=again, progress=line.sent)
    finally:
        line.close()


def _submit(
    mesh: Mesh, job: Job, to: RouteOptions, payload: PayloadOptions, flag: StopFlag, **more: Any
) -> SubmittedJob:
    return mesh.submit(
        job,
        to.node,
        worktype=to.worktype,
        ttl=to.ttl,
        signwork=to.signwork,
        payload=payload.wish(),
        flag=flag,
        **more,
    )


def submit_and_leave(submit: Callable[[StopFlag], SubmittedJob], output: str) -> int:
    """Submits a job and prints its id. Once a node has accepted the job, no signal changes the exit status.

    :param submit: does it, and heeds the flag.
    """
    from ..system.signals import ignore_signals, stop_on_signals

    with stop_on_signals() as flag:
        submitted = submit(flag)
        ignore_signals()
    if submitted.submitted_before:
        complain(f"already submitted: the job {submitted.id} is {submitted.record.state}; nothing was sent")
    if output == "json":
        print_json(job_view(submitted.record))
    else:
        say(submitted.id)
    return 0


def submit_to_several(  # noqa: PLR0913
    mesh: Mesh,
    job: Job,
    nodes: Sequence[str],
    to: RouteOptions,
    payload: PayloadOptions,
    output: str,
    *,
    again: bool,
) -> int:
    """Submits a job to each of ``nodes``; prints the id of each that was accepted, and why others were not. The exit
    status is the worst.
    """
    from ..mesh.fan_out import submit_to_each
    from ..system.signals import stop_on_signals

    with stop_on_signals() as flag:

        def submit(own: Job, node: str, shared: SharedArchives | None) -> SubmittedJob:
            return _submit(mesh, own, to._replace(node=node), payload, flag, again=again, shared=shared)

        answers = submit_to_each(job, list(dict.fromkeys(nodes)), submit, _tell_node)
    accepted = [answer.job for answer in answers if answer.job is not None]
    if output == "json":
        print_json([job_view(one.record) for one in accepted])
    else:
        for one in accepted:
            say(one.id)
    return max((exit_code_of(answer.error) for answer in answers if answer.error is not None), default=0)


def _tell_node(answer: NodeAnswer) -> None:
    if answer.error is not None:
        complain(f"{answer.node}: {text_of(answer.error)}")


class FollowOptions(NamedTuple):
    """How a job is followed. ``sinks`` hear of it, too. ``view`` shows hosts and tasks instead of the output."""

    limits: LimitOptions
    lost_after: float
    sinks: Sequence[EventSink] = ()
    view: bool = False


@contextlib.contextmanager
def told_sinks(told: SinkOptions, job: str, secrets: Callable[[], list[str]]) -> Iterator[Sequence[EventSink]]:
    """The sinks that were asked for, as long as the context lasts.

    :param secrets: tells what none of them gets; only asked if there is one.
    """
    if not told.sinks:
        yield ()
        return
    from .. import __version__
    from ..sinks.choice import SinkChoice, chosen_sinks

    with chosen_sinks(SinkChoice(*told, __version__), job, secrets()) as sinks:
        yield sinks


def check_view(view: bool) -> None:
    """Asked before a job is started.

    :raises ConfigurationError: what ``--view`` needs is not installed.
    """
    import importlib.util

    from .progress import on_terminal

    if view and on_terminal() and importlib.util.find_spec("rich") is None:
        raise ConfigurationError("--view needs rich", hint="pip install 'receptor-runner[view]'")


def follow(submitted: SubmittedJob, printer: EventSink | None, flag: StopFlag, options: FollowOptions) -> int:
    """Follows the job to its end, and returns the exit status."""
    from .progress import on_terminal, progress

    where = submitted.record.where
    if options.view and on_terminal():
        from .live_view import LiveView

        line: Progress = LiveView(where)
    else:
        line = progress(where)
    try:
        outcome = submitted.follow(
            printer=line.wrap(printer),
            flag=flag,
            lost_after=options.lost_after,
            changed=line.state,
            limits=options.limits.stream_limits(),
            sinks=options.sinks,
        )
    except ReceptorRunnerError as exc:
        if submitted.record.verdict is None:
            exc.hint = f"the job {submitted.id} goes on: receptor-runner attach {submitted.id} follows it"
        raise
    finally:
        line.close()
    if outcome.explanation:
        complain(outcome.explanation)
    if on_terminal() or (printer is None and outcome.exit_code):
        complain(_last_words(submitted.record))
    return outcome.exit_code


def exit_status(
    submitted: SubmittedJob, printer: JobPrinter | None, printing: PrintOptions, output: str, code: int
) -> int:
    """That of a command which has followed the job to its end. Prints the job as JSON, if that is asked for.

    :param code: that of the job.
    """
    code = printed(printer, code)
    if output == "json":
        print_json(job_view(submitted.record))
    return 0 if printing.exit_zero else code


def _last_words(record: Record) -> str:
    """How a job ended, how long it took, and where its artifacts are."""
    from .progress import clock

    assert record.verdict is not None
    rc = f" (rc {record.verdict.rc})" if record.verdict.rc else ""
    took = f" after {clock(record.ended - record.created)}" if record.ended is not None else ""
    return f"{record.state}{rc}{took}; artifacts: {_shown(record.artifact_dir)}"


def _shown(path: str) -> str:
    """As somebody would type it here."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # the working directory is gone
        return path
    return path if relative.startswith("..") else relative
