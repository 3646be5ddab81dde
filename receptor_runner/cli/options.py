"""Options that several commands share, and how they become typed.

Rules: a group of options reaches its command as one named tuple. Every option can be given as
``RECEPTOR_RUNNER_<OPTION>``, except where that is said: a daemon's environment leaks into its workers. Every option
belongs to a section of the help."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from ..limits import StreamLimits
from . import log_setup
from .help import OWN_VARIABLE, Command, Option

__all__ = [
    "PrintOptions",
    "ShowOptions",
    "SinkOptions",
    "accepted_print_options",
    "add_options",
    "bare_option",
    "command",
    "complete",
    "directory_argument",
    "job_argument",
    "limit_options",
    "log_options",
    "option",
    "option_group",
    "output_option",
    "print_options",
    "sections",
    "show_options",
    "sink_options",
    "view_option",
]

F = TypeVar("F", bound=Callable[..., Any])


#: As :func:`click.command`.
command = functools.partial(click.command, cls=Command)
#: As :func:`click.option`, for an option that has no variable and no place in the configuration file.
bare_option = functools.partial(click.option, cls=Option)


def complete(what: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """What completes a value: a function of ``cli/completion.py``, which is loaded when a shell asks."""

    def found(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from . import completion

        return getattr(completion, what)(ctx, param, incomplete)  # type: ignore[no-any-return]

    return found


def option(*names: str, envvar: Sequence[str] = (), **attributes: Any) -> Callable[[F], F]:
    """A click option that also reads its variable."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    own = OWN_VARIABLE + long.lstrip("-").replace("-", "_").upper()
    return click.option(*names, cls=Option, envvar=[own, *envvar], **attributes)


def sections(title: str, *options: Callable[[Any], Any]) -> list[Callable[[Any], Any]]:
    """``options`` as they stand in one section of the help."""

    def placed(one: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            decorated = one(function)
            decorated.__click_params__[-1].section = title
            return decorated

        return decorate

    return [placed(one) for one in options]


def add_options(function: Any, options: Sequence[Callable[[Any], Any]]) -> Any:
    """``function`` with ``options``, which stand in its help in this order."""
    for one in reversed(options):
        function = one(function)
    return function


def option_group(kind: type[Any], name: str, options: Sequence[Callable[[Any], Any]]) -> Callable[[F], F]:
    """A decorator that adds ``options`` to a command, which gets them as one argument.

    :param kind: a named tuple with a field for each option.
    :param name: what the command calls the argument.
    """
    fields = kind._fields

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(*arguments: Any, **values: Any) -> Any:
            values[name] = kind(**{field: values.pop(field) for field in fields})
            return function(*arguments, **values)

        return add_options(command, options)  # type: ignore[no-any-return]

    return decorate


#: The private data dir of a job.
directory_argument = click.argument("directory", metavar="DIR", shell_complete=complete("directories"))


def job_argument(name: str = "job", metavar: str = "JOB", **attributes: Any) -> Callable[[F], F]:
    """The submitted job, or jobs, that a command is about."""
    return click.argument(name, metavar=metavar, shell_complete=complete("jobs"), **attributes)


def log_options(function: F) -> F:
    """The options of the log, which take effect by themselves."""
    options = sections(
        "Output",
        option(
            "--debug/--no-debug", default=False, help="Log what happens, to standard error or the log file.",
            callback=log_setup.configure, expose_value=False,
        ),
        option(
            "--log-file", "--logfile", "log_file", metavar="FILE", help="Append the log to FILE.",
            callback=log_setup.configure, expose_value=False,
        ),
    )  # fmt: skip
    return add_options(function, options)  # type: ignore[no-any-return]


class PrintOptions(NamedTuple):
    """How a job's output is printed, and whether its end counts."""

    quiet: bool
    json_mode: bool
    color: str
    exit_zero: bool


class _SinkType(click.ParamType):
    """A sink, as it is written; what is none is refused where it is given."""

    name = "sink"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ..errors import UsageError
        from ..sinks.choice import SinkChoice

        try:
            SinkChoice((str(value),)).check()
        except UsageError as exc:
            self.fail(str(exc), param, ctx)
        return str(value)


class SinkOptions(NamedTuple):
    """Where results go besides the artifacts."""

    sinks: tuple[str, ...]
    webhook_secret_file: str | None


class ShowOptions(NamedTuple):
    """How the output of an earlier job is printed."""

    json_mode: bool
    color: str

    @property
    def quiet(self) -> bool:
        """Whoever asks for the output wants it."""
        return False


_quiet = option("-q", "--quiet", is_flag=True, help="Print nothing of the job's output.")
_json = option("-j", "--json", "json_mode", is_flag=True, help="Print the job's events as JSON lines.")
_color = option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours in the job's output. auto: on a terminal, unless NO_COLOR is set.",
)
_exit_zero = option("--exit-zero", is_flag=True, help="Exit 0 however the job ended, as ansible-runner process does.")

print_options = option_group(PrintOptions, "printing", sections("Output", _quiet, _json, _color, _exit_zero))
sink_options = option_group(
    SinkOptions,
    "told",
    sections(
        "Output",
        option(
            "--sink",
            "sinks",
            multiple=True,
            type=_SinkType(),
            metavar="KIND:TARGET",
            help="Tell somebody else, too: jsonl:FILE, junit:FILE, webhook:URL, otlp:URL. Give it several times for "
            "several. The variable takes several, with blanks between.",
        ),
        option(
            "--webhook-secret-file", metavar="FILE", help="What is in FILE signs what a webhook gets (HMAC-SHA256)."
        ),
    ),
)
(view_option,) = sections(
    "Output", option("--view", is_flag=True, help="Instead of the output, show hosts and tasks live on a terminal.")
)
show_options = option_group(ShowOptions, "shown", sections("Output", _json, _color))


def accepted_print_options(function: F) -> F:
    """Options that ``ansible-runner transmit`` has, too, and that mean nothing there."""
    accepted = [
        bare_option(
            *names, is_flag=True, expose_value=False, help="Accepted as ansible-runner does; nothing is printed."
        )
        for names in (("-j", "--json", "json_mode"), ("-q", "--quiet"))
    ]
    return add_options(function, sections("Output", *accepted))  # type: ignore[no-any-return]


(output_option,) = sections(
    "Output",
    bare_option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print."),
)


class LimitOptions(NamedTuple):
    """What is taken from a stream before it is refused; None for the default."""

    max_line: int | None
    max_archive: int | None
    max_unpacked: int | None
    max_members: int | None

    def stream_limits(self) -> StreamLimits:
        given = (self.max_line, self.max_archive, self.max_unpacked, self.max_members)
        return StreamLimits(
            *(own if own is not None else usual for own, usual in zip(given, StreamLimits(), strict=True))
        )


def _limit(name: str, text: str) -> Callable[[F], F]:
    return bare_option(name, type=click.IntRange(min=1), metavar="N", help=text)


#: Without variables: a worker's must not come from the environment of a daemon.
limit_options = option_group(
    LimitOptions,
    "limits",
    sections(
        "Limits of a stream",
        _limit("--max-line", "Longest line of a stream, in bytes."),
        _limit("--max-archive", "Largest archive in a stream, in bytes."),
        _limit("--max-unpacked", "Most that an archive may grow to, in bytes."),
        _limit("--max-members", "Most files in an archive."),
    ),
)
