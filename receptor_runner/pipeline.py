"""The three stages as one command on this machine.

Rules: the worker is a process of its own with a session of its own, so that Ctrl-C reaches it once, from here. When
this process goes, for whatever reason, the worker finds its output closed and ends its job."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from .archive.pack import spool
from .boot import command
from .limits import KILL_SECONDS
from .process import Processor, ProcessorOptions
from .signals import StopFlag
from .streams import FdInput, FileOutput
from .transmit import Transmitter, TransmitterOptions

__all__ = ["run_here"]


def run_here(
    parameters: Mapping[str, Any], transmitter: TransmitterOptions, processor: ProcessorOptions, flag: StopFlag
) -> Processor:
    """Transmits, works and processes one job.

    :raises InputError: the job cannot be transmitted; nothing was started.
    :raises OutputError: a temporary file or the artifact directory cannot be written.
    """
    with spool() as payload:
        Transmitter(parameters, transmitter).run(FileOutput(payload), flag)
        payload.seek(0)
        worker = subprocess.Popen(
            command("receptor_runner.cli.main", "worker"),
            stdin=payload,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    assert worker.stdout is not None
    with worker.stdout as results:
        processor.on_interrupt = lambda: worker.send_signal(signal.SIGINT)
        try:
            return Processor(FdInput(results.fileno(), flag), flag, processor).run()
        finally:
            results.close()
            if len(flag.reasons) < 2:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(KILL_SECONDS * 2)
