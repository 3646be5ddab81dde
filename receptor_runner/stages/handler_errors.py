"""The error of a caller's handler becomes the status of a job, the same way in a stream and in a local run.

Rules: a job's own error is told before that of a handler. A handler's error is told once."""

from __future__ import annotations

from ..errors import ReceptorRunnerError
from ..results.handlers import HandlerSink
from ..results.sinks import Sinks
from ..results.verdict import Verdict, verdict_of
from ..stream.status import ERROR, error_status

__all__ = ["tell_handler_error"]


def tell_handler_error(
    handlers: HandlerSink, sinks: Sinks, verdict: Verdict | None, ident: str | None = None
) -> Verdict | None:
    """``verdict``, or the one that a handler's error makes of it."""
    if handlers.error is None or sinks.status == ERROR:
        return verdict
    text = "a handler of the controller failed: " + handlers.error.strip().splitlines()[-1]
    sinks.status_change(error_status(text, handlers.error, ReceptorRunnerError.exit_code, ident))
    rc = verdict.rc if verdict is not None else None
    return verdict_of(ERROR, rc, ReceptorRunnerError.exit_code, text)
