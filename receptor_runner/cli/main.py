"""The entry point: one group of commands, and the one place where errors become a line and an exit status.

Rules: usage errors are 64, and every other error has its status in its class. A worker says what went wrong in its
stream, not on standard error. The name of this module is in the configuration of private nodes on disk: it stays."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from typing import NoReturn

import click

from .. import __version__
from ..errors import SHORTAGES, InputError, OutputError, ReceptorRunnerError, UsageError, exit_code_of, reason_of
from ..system.signals import ignore_signals, remember_interrupts
from .context import about
from .help import JOB_ENDS, Group, write_examples
from .output import complain, text_of

__all__ = ["cli", "main"]

#: Each in the file of its name.
_COMMANDS = {
    "Run jobs": ("run", "submit", "attach"),
    "Look after jobs": ("jobs", "status", "inspect", "logs", "report", "wait", "kill", "cancel", "release", "prune"),
    "The three stages": ("transmit", "worker", "process"),
    "Mesh and nodes": ("doctor", "nodes", "prepare", "trust", "serve", "worktype"),
    "This tool": ("config", "completion"),
}
_EXAMPLES = (
    "receptor-runner run DIR -p site.yml",
    "receptor-runner run DIR -p site.yml --node exec1 --limit web",
    "receptor-runner transmit DIR -p site.yml | ssh exec1 receptor-runner worker | receptor-runner process DIR",
)
#: Commands that read no configuration file: a worker and a node run in a daemon's working directory.
_UNCONFIGURED = ("worker", "serve", "worktype", "completion", "config")
#: Commands whose only use is what they print.
_PRINTING = (
    "transmit", "worker", "submit", "jobs", "status", "inspect", "logs", "report", "nodes", "prepare", "trust",
    "worktype", "config", "completion", "doctor",
)  # fmt: skip


class _LazyGroup(Group):
    """Loads the module of a command when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in _COMMANDS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f".{cmd_name}", __package__)
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        write_examples(_EXAMPLES, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _COMMANDS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, one.get_short_help_str(80)) for name, one in found if one is not None])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit status"):
            formatter.write_text(JOB_ENDS)


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="receptor-runner", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run Ansible across a Receptor mesh: on this machine, or on a node far away as if it were here.

    A job is a directory: playbooks are in project/, hosts in inventory/, variables and passwords in env/. What comes
    back is in artifacts/.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    elif ctx.invoked_subcommand not in _UNCONFIGURED:
        from .config_file import default_map

        group = ctx.command
        assert isinstance(group, click.Group)
        ctx.default_map = {ctx.invoked_subcommand: default_map(ctx, group, ctx.invoked_subcommand)}


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
        code = cli.main(arguments, prog_name="receptor-runner", standalone_mode=False)
    except click.ClickException as exc:
        code = _fail(_usage_text(exc), UsageError.exit_code)
    except ReceptorRunnerError as exc:
        code = _fail(text_of(exc), exc.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except Exception as exc:
        code = _fail_unexpectedly(exc)
    _leave(code if isinstance(code, int) else 0)


def _fail_unexpectedly(exc: Exception) -> int:
    """An ``OSError`` is a shortage of this machine, or its standard output's."""
    if isinstance(exc, OSError) and exc.errno == errno.EPIPE:
        return OutputError.exit_code
    if isinstance(exc, FileNotFoundError) and exc.filename is None and not _has_working_directory():
        return _fail("the working directory does not exist any more; change to one that does", InputError.exit_code)
    if isinstance(exc, SHORTAGES):
        where = f" {exc.filename}" if isinstance(exc, OSError) and exc.filename else ""
        return _fail(f"cannot go on{where}: {reason_of(exc)}", exit_code_of(exc))
    from .log_setup import track

    track(exc)
    return _fail(f"internal error: {exc!r}; --debug shows where", ReceptorRunnerError.exit_code)


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


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


def _usage_text(exc: click.ClickException) -> str:
    hint = ""
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        hint = f" (see {exc.ctx.command_path} --help)"
    return exc.format_message() + hint


def _fail(text: str, code: int) -> int:
    if not about.writes_stream or os.isatty(1):
        complain(text)
        return code
    from ..stream.codec import END_OF_STREAM, encode
    from ..stream.status import error_status

    with contextlib.suppress(OSError):
        os.write(1, encode(error_status(text, text, code)) + END_OF_STREAM)
    return code


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
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
    logging = sys.modules.get("logging")
    if logging is not None:
        logging.shutdown()
    os._exit(code)  # all is written, and taking the interpreter apart takes longer than many a command
