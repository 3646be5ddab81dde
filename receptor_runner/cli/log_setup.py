"""The log: warnings to standard error, or all that happens to a file.

Rules: what a message says of strangers passes the gate in ``results/terminal.py``. A worker keeps silent, because
Receptor joins its standard error to its stream. Every line of a log file carries the id of the job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .. import __version__
from ..errors import UsageError
from .context import about

if TYPE_CHECKING:
    import logging

__all__ = ["configure", "silence", "track"]

_ROOT = "receptor_runner"


def configure(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    """The callback of the log options. The log is set up anew for each of them, with what is known so far."""
    import logging

    known = ctx.meta.setdefault(__name__, {"debug": False, "log_file": None})
    known[parameter.name] = value
    root = logging.getLogger(_ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.addHandler(_handler(known["log_file"]))
    root.setLevel(logging.DEBUG if known["debug"] else logging.WARNING)
    if parameter.name == "debug" and value:
        logging.getLogger(_ROOT).debug(
            "receptor-runner %s, Python %s: %s", __version__, sys.version.split()[0], " ".join(sys.argv[1:2])
        )


def _handler(path: str | None) -> logging.Handler:
    """:raises UsageError: the file cannot be written."""
    import logging

    if path is None:
        handler: logging.Handler = logging.StreamHandler()
        handler.addFilter(_wipe_line)
        handler.setFormatter(_gated("receptor-runner: %(levelname)s: %(message)s"))
        return handler
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write the log file {path}: {exc.strerror}") from exc
    handler.setFormatter(_gated("%(asctime)s %(levelname)s %(name)s %(job)s: %(message)s"))
    handler.addFilter(_add_job)
    return handler


def _gated(line: str) -> logging.Formatter:
    """Messages name what strangers said."""
    import logging

    from ..results.terminal import one_line, plain

    class Formatter(logging.Formatter):
        def formatMessage(self, record: logging.LogRecord) -> str:
            return one_line(super().formatMessage(record))

        def format(self, record: logging.LogRecord) -> str:
            return plain(super().format(record))

    return Formatter(line)


def _add_job(record: logging.LogRecord) -> bool:
    record.job = about.job
    return True


def _wipe_line(record: logging.LogRecord) -> bool:
    about.wipe()
    return True


def silence() -> None:
    """Nothing is logged."""
    import logging

    root = logging.getLogger(_ROOT)
    root.addHandler(logging.NullHandler())
    root.propagate = False


def track(exc: Exception) -> None:
    """Logs where an error of ours came from, for ``--debug``."""
    import logging

    logging.getLogger(_ROOT).debug("internal error", exc_info=exc)
