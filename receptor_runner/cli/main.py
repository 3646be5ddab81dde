"""The entry point: one group of commands, one place where errors become a line and an exit status.

Rules: usage errors are 64, every other error has its status in its class. A worker says what went wrong in its
stream, not on standard error."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import OutputError, ReceptorRunnerError, UsageError
from ..system.signals import ignore_signals, remember_interrupts

__all__ = ["complain", "main", "name_job"]

_COMMANDS = {
    "transmit": "stages",
    "worker": "worker",
    "process": "stages",
    "run": "jobs",
    "submit": "jobs",
    "attach": "jobs",
    "jobs": "jobs",
    "status": "jobs",
    "wait": "jobs",
    "cancel": "jobs",
    "release": "jobs",
    "prune": "meshes",
    "nodes": "meshes",
    "serve": "node",
    "worktype": "node",
}


#: The job that the command is about, for the log.
_about = {"job": "-"}


#: Commands whose only use is what they print.
_PRINTING = ("transmit", "worker", "submit", "jobs", "status", "nodes", "worktype")


#: What makes of ``worker`` a command with an answer of its own.
_NO_STAGE = {"cleanup", "probe", "--worker-info", "--help", "-h"}


class _LazyGroup(click.Group):
    """Loads the module of a command when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{_COMMANDS[cmd_name]}", __package__)
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="receptor-runner", message="%(prog)s %(version)s")
def cli() -> None:
    """Run Ansible across a Receptor mesh.

    \b
    receptor-runner transmit DIR -p site.yml | receptor-runner worker | receptor-runner process DIR
    """


def main() -> NoReturn:
    """``receptor-runner``."""
    arguments = sys.argv[1:]
    closed = _open_standard_descriptors()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    remember_interrupts()
    if 1 in closed and arguments[:1] and arguments[0] in _PRINTING:
        complain("standard output is closed, and what the command is for must go there")
        _leave(OutputError.exit_code)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        _configure_logging(arguments)
        code = cli.main(arguments, prog_name="receptor-runner", standalone_mode=False)
    except click.ClickException as exc:
        code = _fail(arguments, _usage_text(exc), UsageError.exit_code)
    except ReceptorRunnerError as exc:
        code = _fail(arguments, str(exc), exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except Exception as exc:
        code = _fail_unexpectedly(arguments, exc)
    _leave(code if isinstance(code, int) else 0)


def _fail_unexpectedly(arguments: list[str], exc: Exception) -> int:
    """An error with a file has become ours before, so an ``OSError`` without one is standard output's."""
    if isinstance(exc, OSError) and exc.errno == errno.EPIPE:
        return OutputError.exit_code
    if isinstance(exc, OSError) and exc.filename is None:
        return _fail(arguments, f"cannot write: {exc.strerror or exc}", OutputError.exit_code)
    import logging

    logging.getLogger("receptor_runner").debug("internal error", exc_info=True)
    return _fail(arguments, f"internal error: {exc!r}; --debug shows where", ReceptorRunnerError.exit_code)


def _open_standard_descriptors() -> list[int]:
    """Descriptors 0 to 2 that were closed, opened on nothing: no file to be opened must become one of them."""
    closed = []
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            closed.append(fd)
            os.open(os.devnull, os.O_RDWR)
    return closed


def complain(text: str) -> None:
    """One line on standard error. The text may come from a stranger: no escape sequence reaches a terminal."""
    from ..results.printer import safe_for_terminal

    line = safe_for_terminal(" ".join(text.splitlines()))
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"receptor-runner: {line}\n")
        sys.stderr.flush()


def _usage_text(exc: click.ClickException) -> str:
    hint = ""
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        hint = f" (see {exc.ctx.command_path} --help)"
    return exc.format_message() + hint


def _fail(arguments: list[str], text: str, code: int) -> int:
    if arguments[:1] == ["worker"] and _NO_STAGE.isdisjoint(arguments) and not os.isatty(1):
        from ..stream.codec import END_OF_STREAM, encode
        from ..stream.status import error_status

        with contextlib.suppress(OSError):
            os.write(1, encode(error_status(text, text, code)) + END_OF_STREAM)
    else:
        complain(text)
    return code


def _configure_logging(arguments: list[str]) -> None:
    """Warnings to standard error; all of it with ``--debug``; a worker keeps silent."""
    if not arguments or not {"-h", "--help", "--version"}.isdisjoint(arguments):
        return
    import logging

    root = logging.getLogger("receptor_runner")
    if arguments[:1] == ["worker"]:
        root.addHandler(logging.NullHandler())
        root.propagate = False
        return
    debug = "--debug" in arguments or os.environ.get("RECEPTOR_RUNNER_DEBUG", "").lower() not in (
        "",
        "0",
        "false",
        "no",
    )
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("receptor-runner: %(levelname)s: %(message)s"))
    path = _log_file(arguments)
    if path:
        try:
            handler = logging.FileHandler(path, encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"cannot write the log file {path}: {exc.strerror}") from exc
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(job)s: %(message)s"))
    handler.addFilter(_name_job)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.WARNING)


def name_job(job: str) -> None:
    """From here on every line of the log carries the id of ``job``."""
    _about["job"] = job


def _name_job(record: Any) -> bool:
    record.job = _about["job"]
    return True


def _log_file(arguments: list[str]) -> str | None:
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in ("--log-file", "--logfile"):
            return value if equals else next(iter(arguments[number + 1 :]), None)
    return os.environ.get("RECEPTOR_RUNNER_LOG_FILE") or None


def _leave(code: int) -> NoReturn:
    """Ends the process; a reader of our output who has gone is no reason for a traceback, and a signal that comes now
    no reason to end otherwise than the command did.
    """
    ignore_signals()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as exc:
        if code == 0 and isinstance(exc, OSError) and exc.errno != errno.EPIPE:
            complain(f"cannot write: {exc.strerror}")
            code = OutputError.exit_code
        devnull: Any = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
    sys.exit(code)
