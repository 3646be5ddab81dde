"""What ``--help`` says, and how options are read.

Rules: an option stands in the section that it names. A default is shown unless it says nothing. A command takes each
option once, unless its values add up: which of two was meant nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: What completes a value, by what its help calls it.
_COMPLETED = {"FILE": "file", "PATH": "file", "SOURCE": "file", "DIR": "dir", "DIRS": "dir"}

__all__ = ["JOB_ENDS", "OWN_VARIABLE", "Command", "Group", "Option", "write_examples"]

#: How a command ends that ends as its job did.
JOB_ENDS = (
    "That of the job: 0, or Ansible's own (2: hosts failed, 4: hosts unreachable, or a playbook that cannot be read). "
    "64: usage. 66: an input is missing. 69: no way to the mesh, node or worktype. 73: cannot write. 74: lost. "
    "75: it goes on, and nobody follows it. 76: the stream broke off. 77: refused. 78: configuration. 124: timeout. "
    "130: cancelled. The page exit-status of the documentation has all of them."
)

#: Where an option goes that names no section.
_REST = "This command"
#: The order of the sections.
_ORDER = (
    _REST,
    "Job",
    "Ansible",
    "Mesh",
    "Waiting",
    "Output",
    "More about the job",
    "Isolation",
    "Limits of a stream",
)
#: What each variable of ours begins with.
OWN_VARIABLE = "RECEPTOR_RUNNER_"


class Option(click.Option):
    """An option with a place in the help."""

    section = _REST

    @property
    def variables(self) -> list[str]:
        """The variables that it is read from, its own first."""
        return [self.envvar] if isinstance(self.envvar, str) else list(self.envvar or ())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Files and directories, where they are wanted."""
        from click.shell_completion import CompletionItem

        found = super().shell_complete(ctx, incomplete)
        kind = _COMPLETED.get(str(self.metavar))
        return found or ([CompletionItem(incomplete, type=kind)] if kind is not None else [])

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None:
            return None
        names, text = record
        notes = [f"default: {_short(self.default)}"] if self.has_default_to_show() else []
        notes += [f"also {name}" for name in self.variables if not name.startswith(OWN_VARIABLE)]
        return names, f"{text} [{'; '.join(notes)}]" if notes else text

    def has_default_to_show(self) -> bool:
        """Whether it has one that says something, and its help does not say it."""
        shown = isinstance(self.default, (str, int, float)) and not isinstance(self.default, bool)
        return shown and not (self.is_flag or self.count or self.show_default or "[default:" in (self.help or ""))


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class Command(click.Command):
    """A command with sections and examples.

    :param examples: whole command lines.
    :param ends: what its exit status is, in a line or two.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), ends: str = "", **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.examples = examples
        self.ends = ends

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in order:
            several = isinstance(param, click.Option) and (param.multiple or param.count)
            if isinstance(param, click.Option) and not several and order.count(param) > 1:
                raise click.UsageError(f"{param.opts[-1]} is given {order.count(param)} times; give it once", ctx)
        return super().parse_args(ctx, args)

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        """Whoever comes from ``ansible-playbook`` is told where its other options go."""
        given = list(args)
        try:
            return super().make_context(info_name, args, *rest, **extra)
        except click.UsageError as exc:
            if any("--cmdline" in param.opts for param in self.params):
                from .habits import ansible_hint

                hint = ansible_hint(exc, given)
                exc.message = f"{exc.message.rstrip('.')}; {hint}" if hint else exc.message
                if hint and isinstance(exc, click.NoSuchOption):
                    exc.possibilities = None
            raise

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        write_examples(self.examples, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, records in self.sections(ctx):
            with formatter.section(title):
                formatter.write_dl(records)

    def sections(self, ctx: click.Context) -> list[tuple[str, list[tuple[str, str]]]]:
        """The sections in their order, with names and texts of their options."""
        found: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                found.setdefault(getattr(param, "section", _REST), []).append(record)
        return [(title, found[title]) for title in _ORDER if title in found]

    def _a_variable(self, ctx: click.Context) -> tuple[str, str] | None:
        """One of the command's own variables, with its option."""
        for param in self.get_params(ctx):
            for name in param.variables if isinstance(param, Option) and not param.hidden else ():
                if name.startswith(OWN_VARIABLE):
                    return name, next(one for one in param.opts if one.startswith("--"))
        return None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        example = self._a_variable(ctx)
        if example is not None:
            with formatter.section("Variables and configuration"):
                formatter.write_text(
                    f"An option that is not given is taken from its variable ({example[0]} is {example[1]}), then from "
                    "the configuration file: receptor-runner config show."
                )
        if self.ends:
            with formatter.section("Exit status"):
                formatter.write_text(self.ends)


class Group(click.Group):
    """Several commands. Without one it shows its help, and a name that is none gets a guess."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            from difflib import get_close_matches

            meant = get_close_matches(args[0], self.list_commands(ctx))
            if meant and not ctx.resilient_parsing:
                exc.message = f"{exc.message} Did you mean {' or '.join(meant)}?"
            raise


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for line in examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
