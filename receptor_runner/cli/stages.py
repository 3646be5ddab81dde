"""The commands ``transmit`` and ``process``.

Rules: as for the package.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

import click

from .options import JOB_OPTIONS, job_options, limit_options, log_options, option, output_options, stream_limits

__all__ = ["job_parameters_of", "output_printer", "process", "transmit"]


@click.command()
@click.argument("directory", metavar="DIR")
@job_options
@output_options
@log_options
def transmit(directory: str, **options: Any) -> int:
    """Turn the job in the private data dir DIR into a stream on standard output."""
    from ..stages.transmit import Transmitter, TransmitterOptions
    from ..stream.endpoints import FdOutput
    from ..system.signals import stop_on_signals

    if stat.S_ISCHR(os.fstat(1).st_mode) and os.isatty(1):
        raise click.UsageError("the stream is not for a terminal; pipe it into a worker or a file")
    parameters = job_parameters_of(directory, options)
    transmitter_options = TransmitterOptions(exclude=options["exclude"], inventory_from_cwd=True)
    with stop_on_signals() as flag:
        Transmitter(parameters, transmitter_options).run(FdOutput(1), flag)
    return 0


def job_parameters_of(directory: str, options: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a job from the job options of a command, whatever other options it has.

    :raises click.UsageError: they contradict each other.
    """
    from .job import job_parameters

    return job_parameters(directory, {name: options[name] for name in JOB_OPTIONS})


@click.command()
@click.argument("directory", metavar="DIR")
@option("-i", "--ident", help="Put the artifacts into DIR/artifacts/IDENT. [default: DIR/artifacts]")
@click.option("--in", "file", metavar="FILE", help="Read the stream from FILE instead of standard input.")
@output_options
@limit_options
@log_options
def process(directory: str, ident: str | None, file: str | None, **options: Any) -> int:
    """Read a worker's stream from standard input: print, save artifacts in the private data dir DIR, and exit as the
    job did.
    """
    from ..errors import InputError
    from ..job.private_data import PrivateDataDir
    from ..stages.process import Processor, ProcessorOptions, artifact_dir
    from ..stream.endpoints import FdInput
    from ..system.signals import stop_on_signals
    from .job import check_ident_option

    check_ident_option(ident)
    if file is None and os.isatty(0):
        raise click.UsageError("process reads a stream from standard input or --in FILE, not from a terminal")
    private_data = PrivateDataDir(directory)
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC) if file is not None else 0
    except OSError as exc:
        raise InputError(f"cannot read {file}: {exc.strerror}") from exc
    processor_options = ProcessorOptions(
        artifact_dir(private_data, None, ident),
        settings=private_data.settings(),
        printer=output_printer(options),
        limits=stream_limits(options),
    )
    with stop_on_signals() as flag:
        result = Processor(FdInput(fd, flag), flag, processor_options).run()
        if file is None and result.exit_code != InputError.exit_code:
            result.drain()
    return _report(result, exit_zero=options["exit_zero"])


def output_printer(options: dict[str, Any]) -> Any:
    """What prints the job's output, after the output options; None for nothing."""
    from ..results.printer import JSONPrinter, TextPrinter

    if options["quiet"] or sys.stdout is None:
        return None
    printer = JSONPrinter if options["json_mode"] else TextPrinter
    return printer(sys.stdout.buffer, terminal=sys.stdout.isatty())


def _report(result: Any, *, exit_zero: bool) -> int:
    """One line on standard error for an end that Ansible's output does not explain."""
    if result.job_explanation:
        from .main import complain

        complain(result.job_explanation)
    return 0 if exit_zero else int(result.exit_code)
