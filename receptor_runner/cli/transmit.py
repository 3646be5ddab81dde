"""The command ``transmit``."""

from __future__ import annotations

import os
import stat

import click

from .job_options import JobOptions, job_options
from .options import accepted_print_options, command, directory_argument, log_options

__all__ = ["transmit"]


@command(
    examples=(
        "receptor-runner transmit demo -p site.yml > job",
        "receptor-runner transmit demo -m ping --hosts all | receptor-runner worker | receptor-runner process demo",
    ),
)
@directory_argument
@job_options
@accepted_print_options
@log_options
def transmit(directory: str, what: JobOptions) -> int:
    """Turn a job into a stream on standard output.

    The job is in the private data dir DIR, which is only read.
    """
    from ..stages.transmit import Transmitter, TransmitterOptions
    from ..stream.endpoints import FdOutput
    from ..system.signals import stop_on_signals

    if stat.S_ISCHR(os.fstat(1).st_mode) and os.isatty(1):
        raise click.UsageError("the stream is not for a terminal; pipe it into a worker or a file")
    parameters = what.parameters(directory)
    with stop_on_signals() as flag:
        options = TransmitterOptions(exclude=what.exclude, collect=what.collect, extra_vars=what.extra_vars, typed=True)
        Transmitter(parameters, options).run(FdOutput(1), flag)
    return 0
