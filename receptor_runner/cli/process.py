"""The command ``process``."""

from __future__ import annotations

import functools
import os

import click

from .following import told_sinks
from .help import JOB_ENDS
from .job_options import check_ident_option
from .options import (
    LimitOptions,
    PrintOptions,
    SinkOptions,
    bare_option,
    command,
    directory_argument,
    limit_options,
    log_options,
    option,
    print_options,
    sink_options,
)
from .output import complain, job_printer, printed

__all__ = ["process"]


@command(
    examples=(
        "receptor-runner process demo -i nightly < results",
        "receptor-runner process demo --in results --json",
    ),
    ends=JOB_ENDS,
)
@directory_argument
@option("-i", "--ident", help="Put the artifacts into DIR/artifacts/IDENT. [default: DIR/artifacts]")
@bare_option("--in", "file", metavar="FILE", help="Read the stream from FILE instead of standard input.")
@print_options
@sink_options
@limit_options
@log_options
def process(
    *,
    directory: str,
    ident: str | None,
    file: str | None,
    printing: PrintOptions,
    told: SinkOptions,
    limits: LimitOptions,
) -> int:
    """Print and save the results on standard input.

    The artifacts are saved in the private data dir DIR. The exit status is that of the job.
    """
    from ..errors import InputError
    from ..job.private_data import PrivateDataDir
    from ..job.secrets import known_secrets
    from ..stages import process as stage
    from ..stream.endpoints import FdInput
    from ..system.signals import stop_on_signals

    check_ident_option(ident)
    if file is None and os.isatty(0):
        raise click.UsageError("process reads a stream from standard input or --in FILE, not from a terminal")
    private_data = PrivateDataDir(directory)
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC) if file is not None else 0
    except OSError as exc:
        raise InputError(f"cannot read {file}: {exc.strerror}") from exc
    printer = job_printer(printing)
    options = stage.ProcessorOptions(
        stage.artifact_dir(private_data, None, ident),
        settings=private_data.settings(),
        printer=printer,
        limits=limits.stream_limits(),
    )
    secrets = functools.partial(known_secrets, directory)
    with stop_on_signals() as flag, told_sinks(told, ident or "", secrets) as options.sinks:
        source = FdInput(fd, flag)
        result = stage.process(source, flag, options)
        if file is None and result.exit_code != InputError.exit_code:
            stage.drain(source, flag)
    if result.verdict is not None and result.verdict.explanation:
        complain(result.verdict.explanation)
    code = printed(printer, result.exit_code)
    return 0 if printing.exit_zero else code
