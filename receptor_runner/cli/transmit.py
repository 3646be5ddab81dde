"""The command ``transmit``."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import click

from .job_options import JobOptions, job_options
from .options import (
    accepted_print_options,
    bare_option,
    command,
    complete,
    directory_argument,
    log_options,
    sections,
)  # fmt: skip

if TYPE_CHECKING:
    from ..stream.job_format import JobFormat

__all__ = ["transmit"]

(seal_for_option,) = sections(
    "Output",
    bare_option(
        "--seal-for", metavar="NODE", shell_complete=complete("nodes"), help="Encrypt the job for this trusted node."
    ),
)


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
@seal_for_option
def transmit(directory: str, what: JobOptions, seal_for: str | None) -> int:
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
        Transmitter(parameters, options, _sealed(seal_for)).run(FdOutput(1), flag)
    return 0


def _sealed(node: str | None) -> JobFormat | None:
    if node is None:
        return None
    from ..records.trusted_keys import TrustedKeys
    from ..sealing.format import SealedSender

    return SealedSender(None, TrustedKeys().trusted(node))
