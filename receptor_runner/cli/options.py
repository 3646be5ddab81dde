"""Options that several commands share, and how they become typed.

Rules: a group of options reaches its command as one named tuple. Every option can be given as
``RECEPTOR_RUNNER_<OPTION>``, except where that is said: a daemon's environment leaks into its workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from ..limits import StreamLimits
from . import logs

__all__ = [
    "PrintOptions",
    "command",
    "limit_options",
    "log_options",
    "option",
    "option_group",
    "output_option",
    "print_options",
]

F = TypeVar("F", bound=Callable[..., Any])


class _Command(click.Command):
    """A command that takes each option once, unless its values add up: which of two was meant nobody knows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in order:
            several = isinstance(param, click.Option) and (param.multiple or param.count)
            if isinstance(param, click.Option) and not several and order.count(param) > 1:
                raise click.UsageError(f"{param.opts[-1]} is given {order.count(param)} times; give it once", ctx)
        return super().parse_args(ctx, args)


#: As :func:`click.command`.
command = functools.partial(click.command, cls=_Command)


def option(*names: str, envvar: Sequence[str] = (), **attributes: Any) -> Callable[[F], F]:
    """A click option that also reads its variable."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "RECEPTOR_RUNNER_" + long.lstrip("-").replace("-", "_").upper()
    return click.option(*names, envvar=[variable, *envvar], **attributes)


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

        decorated: Any = command
        for one in reversed(options):
            decorated = one(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def log_options(function: F) -> F:
    """The options of the log, which take effect by themselves."""
    for one in (
        option(
            "--log-file", "--logfile", "log_file", metavar="FILE", help="Append the log to FILE.",
            callback=logs.configure, expose_value=False,
        ),
        option(
            "--debug/--no-debug", default=False, help="Log what happens, to standard error or the log file.",
            callback=logs.configure, expose_value=False,
        ),
    ):  # fmt: skip
        function = one(function)
    return function


class PrintOptions(NamedTuple):
    """How a job's output is printed, and whether its end counts."""

    quiet: bool
    json_mode: bool
    exit_zero: bool


print_options = option_group(
    PrintOptions,
    "printing",
    [
        option("-q", "--quiet", is_flag=True, help="Print nothing of the job's output."),
        option("-j", "--json", "json_mode", is_flag=True, help="Print the job's events as JSON lines."),
        option("--exit-zero", is_flag=True, help="Exit 0 however the job ended, as ansible-runner process does."),
    ],
)

output_option = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print. [default: text]"
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
    return click.option(name, type=click.IntRange(min=1), metavar="N", help=text)


#: Without variables: a worker's must not come from the environment of a daemon.
limit_options = option_group(
    LimitOptions,
    "limits",
    [
        _limit("--max-line", "Longest line of a stream, in bytes."),
        _limit("--max-archive", "Largest archive in a stream, in bytes."),
        _limit("--max-unpacked", "Most that an archive may grow to, in bytes."),
        _limit("--max-members", "Most files in an archive."),
    ],
)
