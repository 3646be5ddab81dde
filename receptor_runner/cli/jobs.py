"""The commands that run jobs on a mesh: ``run``, ``submit``, ``attach``, and the life of submitted jobs.

Rules: as for the package. A socket or node that is named is used or the command fails (69); ``run`` with neither
starts a private embedded node.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import click

from ..errors import DetachedError, ReceptorRunnerError
from .meshes import mesh_of
from .options import (
    job_options,
    limit_options,
    log_options,
    lost_after_option,
    mesh_options,
    option,
    output_options,
    record_options,
    socket_options,
    stream_limits,
)
from .stages import job_parameters_of, output_printer
from .tables import print_json, print_table

__all__ = ["attach", "cancel", "jobs", "release", "run", "status", "submit", "wait"]

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument("directory", metavar="DIR")
@job_options
@output_options
@limit_options
@mesh_options
@log_options
@record_options
@click.option("--detach", is_flag=True, help="Only submit the job, and print its id.")
def run(directory: str, detach: bool, output: str, **options: Any) -> int:
    """Run the job in the private data dir DIR: on a node of the mesh, or on this machine if none is named."""
    from ..mesh.client import Mesh
    from ..system.signals import ignore_signals, stop_on_signals
    from .main import name_job

    exit_zero = options["exit_zero"]
    printer = _printer(options, output)
    job = _job(directory, options)
    name_job(job.ident)
    mesh = mesh_of(options) if _named(options) else Mesh.private()
    if detach:
        return _submit(mesh, job, options, output)
    with stop_on_signals(*_STOPS) as flag:
        submitted = _submitted(mesh, job, options, flag, again=True)
        try:
            code = _follow(submitted, printer, flag, options)
        finally:
            ignore_signals()
            _tidy(submitted)
    if output == "json":
        print_json(_view(submitted.record))
    return 0 if exit_zero else code


def _printer(options: dict[str, Any], output: str) -> Any:
    """With ``-o json`` the one object at the end is all that is printed."""
    return output_printer(options) if output == "text" else None


@click.command()
@click.argument("directory", metavar="DIR")
@job_options
@mesh_options
@log_options
@record_options
def submit(directory: str, output: str, **options: Any) -> int:
    """Submit the job in the private data dir DIR to the mesh, and print its id when a node has accepted it."""
    from .main import name_job

    job = _job(directory, options)
    name_job(job.ident)
    return _submit(mesh_of(options), job, options, output)


def _submit(mesh: Any, job: Any, options: dict[str, Any], output: str) -> int:
    from ..system.signals import ignore_signals, stop_on_signals

    with stop_on_signals() as flag:
        submitted = _submitted(mesh, job, options, flag)
        ignore_signals()
    if output == "json":
        print_json(_view(submitted.record))
    else:
        click.echo(submitted.id)
    return 0


def _submitted(mesh: Any, job: Any, options: dict[str, Any], flag: Any, *, again: bool = False) -> Any:
    from .progress import progress

    line = progress(options["node"] or "this machine")
    try:
        return mesh.submit(
            job,
            options["node"],
            worktype=options["worktype"],
            ttl=options["ttl"],
            signwork=options["signwork"],
            again=again,
            flag=flag,
            progress=line.sent,
        )
    finally:
        line.close()


def _job(directory: str, options: dict[str, Any]) -> Any:
    from ..mesh.job import Job

    exclude = options["exclude"]
    parameters = job_parameters_of(directory, options)
    ident = parameters.pop("ident")
    parameters.pop("private_data_dir")
    return Job(directory, ident=ident, exclude=exclude, inventory_from_cwd=True, **parameters)


def _named(options: dict[str, Any]) -> bool:
    return bool(options["node"] or options["socket"] or options["config"])


def _follow(submitted: Any, printer: Any, flag: Any, options: dict[str, Any]) -> int:
    """Follows to the end; the exit status."""
    from .main import complain
    from .progress import progress

    line = progress(submitted.record.node)
    try:
        outcome = submitted.follow(
            printer=line.wrap(printer),
            flag=flag,
            lost_after=options["lost_after"],
            changed=line.state,
            limits=stream_limits(options),
        )
    except DetachedError as exc:
        raise DetachedError(f"{exc}; receptor-runner attach {submitted.id}", exc.exit_code) from exc
    finally:
        line.close()
    if outcome.explanation:
        complain(outcome.explanation)
    return int(outcome.exit_code)


def _tidy(submitted: Any) -> None:
    """``run`` leaves no record of a job whose units are gone."""
    if submitted.record.delivered and submitted.record.released:
        submitted.forget()


@click.command()
@click.argument("job", required=False)
@click.option("--unit", help="Take over the job that another controller submitted, by its work unit ...")
@option("--node", help="... on this node.")
@option("-i", "--ident", help="The name that it gets here. [default: its work unit]")
@click.option("--private-data-dir", default=".", metavar="DIR", help="Where its artifacts go. [default: .]")
@socket_options
@output_options
@limit_options
@log_options
@record_options
@lost_after_option
def attach(job: str | None, unit: str | None, output: str, **options: Any) -> int:
    """Follow the submitted JOB from where its last follower stopped, or take over --unit U on --node N."""
    from ..mesh.client import Mesh
    from ..system.signals import ignore_signals, stop_on_signals
    from .main import name_job

    if (job is None) == (unit is None):
        raise click.UsageError("name a job, or another controller's work unit by --unit and --node")
    name_job(str(job or options["ident"] or unit))
    with stop_on_signals(*_STOPS) as flag:
        submitted = Mesh.job(job) if job else _adopted(unit, flag, options)
        code = _follow(submitted, _printer(options, output), flag, options)
        ignore_signals()
    if output == "json":
        print_json(_view(submitted.record))
    return 0 if options["exit_zero"] else code


def _adopted(unit: Any, flag: Any, options: dict[str, Any]) -> Any:
    if not options["node"]:
        raise click.UsageError("--unit needs --node, the node that has the work unit")
    return mesh_of(options).adopt(
        options["node"], unit, ident=options["ident"], private_data_dir=options["private_data_dir"], flag=flag
    )


@click.command()
@record_options
@log_options
def jobs(output: str, **_: Any) -> int:
    """List the submitted jobs."""
    from ..mesh.client import Mesh

    views = [_view(job.refresh()) for job in Mesh.jobs()]
    if output == "json":
        print_json(views)
    else:
        print_table(("JOB", "STATE", "NODE", "DIRECTORY"), [_row(view) for view in views])
    return 0


@click.command()
@click.argument("job")
@record_options
@log_options
def status(job: str, output: str, **_: Any) -> int:
    """Show the state of the submitted JOB."""
    from ..mesh.client import Mesh

    view = _view(Mesh.job(job).refresh())
    if output == "json":
        print_json(view)
    else:
        for name, value in view.items():
            click.echo(f"{name + ':':18}{value if value is not None else '-'}")
    return 0


@click.command()
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop waiting after so long. [default: never]")
@record_options
@log_options
def wait(names: tuple[str, ...], timeout: float | None, output: str, **_: Any) -> int:
    """Wait until every JOB has ended, and exit as the worst of them did."""
    from ..mesh.client import Mesh
    from ..system.signals import stop_on_signals

    until = None if timeout is None else time.monotonic() + timeout
    with stop_on_signals() as flag:

        def waited(name: str) -> Any:
            left = None if until is None else max(0.0, until - time.monotonic())
            return Mesh.job(name).wait(left, flag)

        return _each(names, waited, output, own_codes=True)


@click.command()
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@record_options
@log_options
def cancel(names: tuple[str, ...], output: str, **_: Any) -> int:
    """Cancel every JOB; succeeds only when each is shown to have ended."""
    from ..mesh.client import Mesh
    from ..system.signals import stop_on_signals

    with stop_on_signals() as flag:
        return _each(names, lambda name: Mesh.job(name).cancel(flag), output)


@click.command()
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also a job that runs, or whose node is out of reach.")
@record_options
@log_options
def release(names: tuple[str, ...], force: bool, output: str, **_: Any) -> int:
    """Remove every JOB from the mesh, and its record; artifacts stay."""
    from ..mesh.client import Mesh
    from ..records.state_dir import jobs_directory
    from ..records.store import Record, Records

    def released(name: str) -> Any:
        if force and Records(jobs_directory()).remove_damaged(name):
            return Record(name, "", "", {}, "", "", state="damaged")
        job = Mesh.job(name)
        job.release(force=force)
        return job.record

    return _each(names, released, output)


def _each(names: tuple[str, ...], action: Callable[[str], Any], output: str, *, own_codes: bool = False) -> int:
    """Does it for every job, whatever happens to the others; the worst exit status."""
    from .main import complain, name_job

    worst = 0
    views = []
    for name in names:
        name_job(name)
        try:
            record = action(name)
        except ReceptorRunnerError as exc:
            worst = max(worst, exc.exit_code)
            complain(str(exc))
            views.append({"id": name, "error": str(exc)})
            continue
        if own_codes:
            worst = max(worst, record.exit_code)
        views.append(_view(record))
        if output == "text":
            click.echo(f"{record.id} {record.state}")
    if output == "json":
        print_json(views)
    return worst


def _view(record: Any) -> dict[str, Any]:
    """What is shown of a job; the keys are stable."""
    unit = record.units[0] if record.units else {}
    return {
        "id": record.id,
        "state": record.state,
        "status": record.status,
        "rc": record.rc,
        "exit_code": record.exit_code,
        "explanation": record.explanation,
        "node": record.node,
        "adopted": record.adopted,
        "worktype": record.worktype,
        "unit": unit.get("unit"),
        "remote_unit": unit.get("remote_unit"),
        "socket": record.endpoint.get("socket"),
        "private_data_dir": record.private_data_dir,
        "artifact_dir": record.artifact_dir,
        "created": record.created,
        "ended": record.ended,
        "delivered": record.delivered,
        "released": record.released,
    }


def _row(view: dict[str, Any]) -> tuple[str, ...]:
    return (view["id"], view["state"], view["node"], view["private_data_dir"])
