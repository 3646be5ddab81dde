"""The command ``worker``, and what controllers ask a node for by it: its information, a cleanup, a probe.

Rules: controllers send the options of all three as one text (``--private-data-dir=D --delete``, ``--worker-info``,
``cleanup --file-pattern=…``), so their forms are ansible-runner's, of every age. Standard output is for the answer
alone, and standard error is captured: Receptor would join it to the stream.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..errors import OutputError
from ..limits import KEEPALIVE_SECONDS, STORE_SIZE
from .context import about
from .log_setup import silence
from .options import LimitOptions, limit_options, option_group
from .sizes import SIZE

if TYPE_CHECKING:
    from ..guard.launch import LaunchedKeeper
    from ..stages.node_means import NodeMeans
    from ..stages.worker import WorkerOptions
    from ..system.forking import Standby

__all__ = ["standby_runner", "worker"]

#: How much of standard error is told, in bytes.
_COMPLAINTS = 4096


class _WorkerGroup(click.Group):
    """Knows from its arguments whether standard output is the stream."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        silence()
        about.writes_stream = not {"--worker-info", "--help", "-h"} & set(args)
        context = super().make_context(info_name, args, *rest, **extra)
        about.writes_stream = not context.params["worker_info"]
        return context

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        resolved = super().resolve_command(ctx, args)
        about.writes_stream = False
        return resolved


class _MeansOptions(NamedTuple):
    """What the node has for jobs that are no plain archives."""

    store: str | None
    store_size: int
    seal_key: str | None
    seal_dir: str | None

    def node_means(self) -> NodeMeans:
        from ..stages.node_means import NodeMeans

        return NodeMeans(*self)


_means_options = option_group(
    _MeansOptions,
    "means",
    (
        click.option(
            "--store",
            metavar="DIR",
            help="Where contents of jobs are kept for later jobs. [default: in the cache directory]",
        ),
        click.option(
            "--store-size", type=SIZE, default=STORE_SIZE, help="What the store may take; 0 for none. [default: 10G]"
        ),
        click.option("--seal-key", metavar="FILE", help="The key for sealed jobs. [default: in the state directory]"),
        click.option(
            "--seal-dir",
            metavar="DIR",
            help="Where the private data dirs of sealed jobs are made. [default: temporary]",
        ),
    ),
)


@click.group(cls=_WorkerGroup, invoke_without_command=True)
@click.option(
    "--private-data-dir", "--private_data_dir", "private_data_dir", help="Where to work. [default: temporary]"
)
@click.option("--delete", is_flag=True, help="Delete the private data dir before and after.")
@click.option("--keepalive-seconds", type=float, help="Send a keep-alive after this long a silence.")
@click.option("--in-place", is_flag=True, hidden=True, help="Work where the job says; for private nodes.")
@click.option("--worker-info", is_flag=True, help="Only tell what this node is and can do, as YAML.")
@_means_options
@limit_options
def worker(  # noqa: PLR0913 - an option each
    *,
    private_data_dir: str | None,
    delete: bool,
    keepalive_seconds: float | None,
    in_place: bool,
    worker_info: bool,
    means: _MeansOptions,
    limits: LimitOptions,
) -> int:
    """Run the job on standard input.

    The results go to standard output as they come.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return 0
    if worker_info:
        return _print_info(means.node_means())
    if os.isatty(0):
        raise click.UsageError("worker reads a job from standard input; pipe the output of transmit into it")
    if delete and private_data_dir is None:
        raise click.UsageError("--delete needs --private-data-dir")
    if keepalive_seconds is not None and not 0 <= keepalive_seconds < math.inf:
        raise click.UsageError(f"--keepalive-seconds must be a number of seconds, not {keepalive_seconds}")
    with _launched(private_data_dir) as keeper:
        from ..stages.worker import WorkerOptions

        return _work(
            WorkerOptions(
                private_data_dir,
                delete,
                keepalive_seconds,
                limits=limits.stream_limits(),
                in_place=in_place,
                keeper=keeper,
                means=means.node_means(),
            )
        )


@contextlib.contextmanager
def _launched(private_data_dir: str | None, *, fork: bool = False) -> Iterator[LaunchedKeeper | None]:
    """What becomes the guard of a temporary private data dir, on another processor while this process loads what it
    needs. None if that is impossible: the worker says so then.
    """
    from ..guard.launch import LaunchedKeeper

    keeper: LaunchedKeeper | None = None
    if private_data_dir is None:
        with contextlib.suppress(OutputError):
            keeper = LaunchedKeeper(fork=fork)
    with keeper or contextlib.nullcontext():
        yield keeper


def standby_runner() -> Standby:
    """The runner of a job in place: it loads its worker while this process reads what the job is."""
    from ..system.forking import Standby

    def load() -> None:
        from ..guard import main as _guard  # noqa: F401
        from ..node import units as _units  # noqa: F401
        from ..stages import worker as _worker  # noqa: F401

    def run(directory: str) -> int:
        from ..node.units import serve_unit

        return serve_unit(directory, _work_in_place)

    return Standby("receptor-unit", load, run)


def _work_in_place() -> int:
    """What ``worker --in-place`` does, in a process that was forked for it."""
    from ..stages.worker import WorkerOptions

    with _launched(None, fork=True) as keeper:
        return _work(WorkerOptions(keepalive=KEEPALIVE_SECONDS, in_place=True, keeper=keeper))


def _work(options: WorkerOptions) -> int:
    from ..limits import LEFTOVER_KILL_SECONDS, LEFTOVER_TERM_SECONDS
    from ..receptor.unit_probe import own_unit
    from ..stages.worker import Worker
    from ..stream.endpoints import FdInput, FdOutput
    from ..system.process_tree import stop_descendants
    from ..system.signals import stop_on_signals
    from ..system.subreaper import adopt_orphans

    adopt_orphans()
    with stop_on_signals() as flag, _captured_stderr() as complaints:
        output = FdOutput(1)
        options.unit_directory, options.complaints = own_unit(), complaints
        result = Worker(FdInput(0, flag, output), output, flag, options).run()
        stop_descendants(LEFTOVER_TERM_SECONDS, LEFTOVER_KILL_SECONDS)
    return result.exit_code


@contextlib.contextmanager
def _captured_stderr() -> Iterator[Callable[[], str]]:
    """What this process, or a library in it, says on standard error meanwhile goes to a file; yields what reads the
    end of that. The log's warnings go there too.
    """
    import logging
    import tempfile

    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:  # the job will say so
        file = open(os.devnull, "rb+")  # noqa: SIM115 - closed below

    def complaints() -> str:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _COMPLAINTS))
        return file.read().decode("utf-8", "replace").strip()

    before = os.dup(2)
    handler = logging.StreamHandler()
    logging.getLogger("receptor_runner").addHandler(handler)
    try:
        os.dup2(file.fileno(), 2)
        yield complaints
    finally:
        logging.getLogger("receptor_runner").removeHandler(handler)
        os.dup2(before, 2)
        os.close(before)
        file.close()


def _means_of(ctx: click.Context) -> NodeMeans:
    """What the options of ``worker`` say of it, for a command below it."""
    assert ctx.parent is not None
    return _MeansOptions(*(ctx.parent.params[name] for name in _MeansOptions._fields)).node_means()


def _print_info(means: NodeMeans) -> int:
    """Prints JSON on one line, which is YAML too."""
    from .. import __version__
    from ..stages.worker_info import worker_info

    os.write(1, json.dumps(worker_info(__version__, means)).encode() + b"\n")
    return 0


@worker.command(hidden=True)
@click.argument("unit")
def probe(unit: str) -> int:
    """Tell in one line of JSON whether anything works on the work unit UNIT of this node."""
    from ..receptor.unit_probe import is_worked_on

    os.write(1, json.dumps({"unit": unit, "alive": is_worked_on(unit)}).encode() + b"\n")
    return 0


@worker.command(hidden=True)
@click.argument("unit")
def inspect(unit: str) -> int:
    """Tell in one line of JSON what the job of the work unit UNIT of this node does."""
    from ..inspection.look import inspect_unit

    return _print_answer("inspection", inspect_unit(unit).to_json())


@worker.command(hidden=True)
@click.argument("unit")
@click.argument("host")
def kill(unit: str, host: str) -> int:
    """End what the job of the work unit UNIT of this node does for HOST, and tell in one line of JSON."""
    from ..inspection.host_end import end_host

    return _print_answer("ending", end_host(unit, host).to_json())


def _print_answer(name: str, data: dict[str, Any]) -> int:
    """One line, whole."""
    with os.fdopen(1, "wb", closefd=False) as output:
        output.write(json.dumps({name: data}).encode() + b"\n")
    return 0


@worker.command(hidden=True)
@click.option("--image", "images", multiple=True)
@click.option("--engine", default="podman")
@click.pass_context
def prepare(ctx: click.Context, /, images: tuple[str, ...], engine: str) -> int:
    """Take the files of the job on standard input into the store, and pull images; tell in one line of JSON."""
    from ..stages.preparing import Preparation
    from ..stream.endpoints import FdInput, FdOutput
    from ..stream.results_writer import ResultsWriter
    from ..system.signals import check, stop_on_signals

    assert ctx.parent is not None
    given = ctx.parent.params
    with stop_on_signals() as flag, _captured_stderr():
        output = FdOutput(1)
        writer = ResultsWriter(output, given["keepalive_seconds"] or KEEPALIVE_SECONDS)
        source = FdInput(0, flag, output)
        means = _means_of(ctx)._replace(purpose="prepare")
        preparation = Preparation(source, writer, lambda: check(flag), means, engine)
        ready = preparation.run(images, LimitOptions(*(given[name] for name in LimitOptions._fields)).stream_limits())
    return 0 if ready else 1


@worker.command("seal-key")
@click.pass_context
def seal_key(ctx: click.Context, /) -> int:
    """Make the key of this node for sealed jobs, if there is none, and print its fingerprint."""
    from ..sealing.envelope import fingerprint
    from ..sealing.node_key import NodeKey

    os.write(1, fingerprint(NodeKey(_means_of(ctx).key_file).make()).encode() + b"\n")
    return 0


class _SeveralValues(click.Command):
    """Options that may be given several times may also be given several values at once, up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        several = {name for param in self.params if getattr(param, "multiple", False) for name in param.opts}
        return super().parse_args(ctx, list(_spread(args, several)))


def _spread(words: list[str], several: set[str]) -> Iterator[str]:
    current: str | None = None
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            current = name if name in several else None
            if current is None:
                yield word
            elif equals:
                yield f"{current}={value}"
        else:
            yield word if current is None else f"{current}={word}"


@worker.command(cls=_SeveralValues)
@click.option("--file-pattern", metavar="PATTERN", help="Remove the private data dirs that PATTERN matches.")
@click.option(
    "--exclude-strings", multiple=True, metavar="TEXT...", help="Keep those that have one of these in their path."
)
@click.option("--grace-period", type=float, default=60.0, show_default=True, help="Keep what is younger, in minutes.")
@click.option("--remove-images", multiple=True, metavar="IMAGE...", help="Remove these container images.")
@click.option("--image-prune", is_flag=True, help="Remove container images that nothing uses and that have no name.")
@click.option("--process-isolation-executable", default="podman", show_default=True, help="The container engine.")
@click.option("--store", is_flag=True, help="Remove what is in the store of this node.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.pass_context
def cleanup(ctx: click.Context, /, **options: Any) -> int:
    """Remove what jobs left on this node.

    The last line of the output is (changed: True) or (changed: False).
    """
    from ..cleanup import run_cleanup

    if options["store"]:
        options["store"] = _means_of(ctx).store_directory
    run_cleanup(options)
    return 0
