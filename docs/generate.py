"""Makes the pages of the reference that are made from the code: commands, messages, JSON.

Rules: a page is the same for every reader of one version; ``tests/test_docs.py`` says when one is out of date. The man
pages are made of the same pages, by Sphinx. Run it with ``python docs/generate.py``."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "receptor_runner"
sys.path[:0] = [str(DOCS.parent)]

from receptor_runner import errors  # noqa: E402
from receptor_runner.cli.config_file import configurable  # noqa: E402
from receptor_runner.cli.help import Option  # noqa: E402
from receptor_runner.cli.main import cli  # noqa: E402
from receptor_runner.cli.schemas import OUTPUTS  # noqa: E402

_NEVER = "This page is made from the code by `docs/generate.py`. Do not edit it.\n"


# commands


def commands_page() -> str:
    parts = [
        "# Commands\n",
        _NEVER,
        "An option that is not given is taken from its variable, then from the configuration file, where it has its long name "
        "without the dashes ([configuration](configuration.md)). Options without a variable are decisions about one call.\n",
    ]
    for words, command in _walk(cli, ["receptor-runner"]):
        parts += _command(words, command)
    return "\n".join(parts)


def _walk(group: click.Group, words: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    ctx = click.Context(group, info_name=words[-1])
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        yield [*words, name], command
        if isinstance(command, click.Group):
            yield from _walk(command, [*words, name])


def _command(words: list[str], command: click.Command) -> Iterator[str]:
    ctx = click.Context(command, info_name=" ".join(words))
    yield f"## {' '.join(words)}\n"
    yield "```text\n" + " ".join([*words, *command.collect_usage_pieces(ctx)]) + "\n```\n"
    yield f"{_paragraphs(command.help or '')}\n"
    examples = getattr(command, "examples", ())
    if examples:
        yield "```text\n" + "\n".join(examples) + "\n```\n"
    sections: dict[str, list[click.Option]] = {}
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            sections.setdefault(getattr(param, "section", "This command"), []).append(param)
    for title, options in sections.items():
        yield f"**{title}**\n"
        for option in options:
            yield _option(option, ctx)
        yield ""
    ends = getattr(command, "ends", "")
    if ends:
        yield f"Exit status: {ends}\n"


def _option(option: click.Option, ctx: click.Context) -> str:
    record = click.Option.get_help_record(option, ctx)
    names = record[0] if record else ", ".join(option.opts)
    text, _, said = (option.help or "").partition(" [default: ")
    default = said.rstrip("]")
    if not default and isinstance(option, Option) and option.has_default_to_show():
        default = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
    variables = option.variables if isinstance(option, Option) else []
    notes = [f"Default: {default}."] if default else []
    notes += [f"Variable: {', '.join(f'`{name}`' for name in variables)}."] if variables else []
    return " ".join([f"- `{names}`: {text}", *notes])


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))


# variables


def variables_page() -> str:
    rows: dict[str, tuple[Option, list[str]]] = {}
    ctx = click.Context(cli, info_name="receptor-runner")
    for name in cli.list_commands(ctx):
        for key, option in configurable(cli.get_command(ctx, name)).items():
            rows.setdefault(key, (option, []))[1].append(name)
    parts = [
        "# Variables and configuration keys\n",
        _NEVER,
        "Each key can stand in `[defaults]` of the [configuration](configuration.md). A variable wins over a file, and an option of a command line over both.\n",
    ]
    for key, (option, names) in sorted(rows.items()):
        told = ", ".join(f"`{name}`" for name in option.variables)
        parts.append(f"- `{key}`: {told}. {(option.help or '').partition(' [default: ')[0]} For {', '.join(names)}.")
    parts.append("\n## Other variables\n")
    parts += [f"- `{name}`: {text}" for name, text in _OTHERS.items()]
    return "\n".join(parts) + "\n"


#: Variables that are no options.
_OTHERS = {
    "ANSIBLE_RUNNER_KEEPALIVE_SECONDS": "the keep-alive of a worker that is not told one, in seconds, as for ansible-runner.",
    "NO_COLOR": "no colours on a terminal, if it is not empty.",
    "TERM": "with `dumb`, the terminal gets no status line and no colours.",
    "XDG_CONFIG_HOME": "where the configuration file is; default: `~/.config`.",
    "XDG_STATE_HOME": "where jobs are noted; default: `~/.local/state`.",
}


# messages


class Message(NamedTuple):
    """A text that we print, with ``…`` for what differs, the name of its class, and its hint."""

    kind: str
    text: str
    hint: str


def messages() -> list[Message]:
    """Every text of an error or a warning in the code."""
    found: dict[str, Message] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "callback" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                message = _message(node)
                if message is not None:
                    found.setdefault(message.text, message)
    return sorted(found.values(), key=lambda message: re.sub(r"^[…: ,%s]+", "", message.text).lower())


def _message(node: ast.Call) -> Message | None:
    function = node.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    kind = {"complain": "a remark", "warning": "a warning", "refuse": "ConfigurationError"}.get(name, name)
    if name not in ("complain", "warning", "refuse") and _class(name) is None:
        return None
    text = _text(node.args[-1] if name == "UnitEnd" else node.args[0])
    hint = next((_text(keyword.value) for keyword in node.keywords if keyword.arg == "hint"), "")
    letters = re.sub(r"[^a-zA-Z]", "", text)
    return Message(kind, text, hint) if len(letters) > 3 else None


def _class(name: str) -> type[errors.ReceptorRunnerError] | None:
    found = getattr(errors, name, None) or _DERIVED.get(name)
    return found if isinstance(found, type) and issubclass(found, errors.ReceptorRunnerError) else None


#: Classes of modules, by what they are.
_DERIVED = {
    "NoJobError": errors.InputError,
    "BusyError": errors.OutputError,
    "UnitGoneError": errors.LostError,
    "SilenceError": errors.UnreachableError,
    "GuardDiedError": errors.ReceptorRunnerError,
    "GuardHangsError": errors.ReceptorRunnerError,
    "CommandKilledError": errors.ReceptorRunnerError,
    "CommandError": errors.UnreachableError,
}


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[.\d]*[srd]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


#: What to do, by the words of a message; the first row that fits counts. Where none does, that of its class.
_DO = (
    (
        "nothing was done|the end of … cannot be shown",
        "See [end what hangs for one host](how-to-look.md#end-what-hangs-for-one-host).",
    ),
    (r"\bseal|results of the job come in clear", "See [sealed jobs](how-to-payload.md#seal-a-job)."),
    (
        r"\bthe store\b|has no store|they were sent|whose store",
        "See [the store](how-to-payload.md#the-store-of-a-node).",
    ),
    (r"\bsink\b|the collector|the webhook", "See [sinks](how-to-report.md#while-the-job-runs-sinks)."),
    (
        r"\[defaults\]|a mesh has|is not TOML|not a table|in the configuration|^…: ….…|defaults\.",
        "Correct the file that the message names: [configuration](configuration.md).",
    ),
    (
        "the archive|members of the archive|an archive|a member of",
        "The stream was damaged on its way, or something else than a stage wrote it. Send it again; compare sizes at both ends.",
    ),
    (
        "stream ended|a line is longer|the stream|byte",
        "Look at what stands between the stages: a proxy, a log, a full disk. A limit can be raised: `--max-line`, `--max-archive`.",
    ),
    (
        "cannot write|cannot make|no room|cannot extract|cannot copy|cannot store",
        "Look at the path's permissions and at the room on its disk (`df -h`). The job can be attached to again.",
    ),
    ("cannot read", "Look at the path's permissions, and whether the file is there."),
    (
        "does not exist|is not a directory|is neither a file",
        "Correct the path, or make what is missing. Paths of a job are relative to its private data dir.",
    ),
    (
        "the control socket|mesh|control service|the node|worktype",
        "`receptor-runner doctor` looks at each link and says what to do: [doctor](doctor.md).",
    ),
    ("vault|password|asks on", "See [vault](how-to-jobs.md#vault) and [prompts](how-to-jobs.md#prompts)."),
    (
        "container|mount|image|sandbox|engine|isolat",
        "See [isolation](isolation.md). The engine's own words are in the message.",
    ),
    (
        "is already|is taken|exists already|another process|in use",
        "Choose another name (`-i`), or wait for whoever has it: `receptor-runner jobs`.",
    ),
    ("environment variable|argument", "Linux gives a program at most 128 KiB in one word. Put the value into a file."),
    (
        "configuration|config",
        "The message has file and line. See [configuration](configuration.md) for ours; Receptor's own is version 1.",
    ),
)
#: The same for warnings and remarks.
_REMARKS = (
    (
        r"in the store|the store takes|no store",
        "Everything travels. See [the store](how-to-payload.md#the-store-of-a-node).",
    ),
    (r"the sink", "The job was not harmed. See [sinks](how-to-report.md#while-the-job-runs-sinks)."),
    ("could not be ended", "They belong to another user, or hang in the kernel: look at them on the node."),
    ("link", "Copy what the link points to into the private data dir, if the job needs it."),
    ("roles directory", "Correct `--roles-path`, or make the directory."),
    ("unknown parameter", "Correct the name of the parameter."),
    ("released|may be left|is left", "`receptor-runner prune` removes it later."),
    ("events of an earlier run", "Give each run a name of its own: `-i`."),
    ("did not arrive", "The verdict holds. Look for the cut: a log that was rotated, a disk that was full."),
    ("missed|gets nothing more", "Look at the handler that the message names; the job was not harmed."),
    (
        "everybody may write",
        "Take the write permission for others from the directory, or name what is in the file by options.",
    ),
    (
        "compare this",
        "If it differs, somebody else has answered: `receptor-runner trust --forget NODE`, and look who it was.",
    ),
    ("facts|fact cache", "The next run gathers these facts again."),
    ("already submitted", "`receptor-runner attach` follows it. `--again` submits it anew when it has ended."),
    ("process isolation off", "Correct `env/settings`, if the job was to be isolated."),
    ("ssh_key", "Look at the file: it must be a private key."),
    ("inventory", "Use `--inventory` for an inventory; `-i` is the name of the job."),
    ("standard output|cannot write", "Look at where the output goes: a full disk, a reader that has ended."),
    ("does not exist", "Correct the path, or make what is missing."),
)
_CLASSES = {
    "a remark": "Nothing: the command goes on.",
    "a warning": "Nothing is wrong with the job. It is what somebody may miss.",
    "UsageError": "Correct the command line; `--help` of the command has its options.",
    "InputError": "Correct the path, or make what is missing.",
    "MissingError": "Correct the path, or make what is missing.",
    "OutputError": "Make room, or permit writing. The job itself may go on: `receptor-runner jobs`.",
    "OutputClosedError": "Whoever read the output has ended. Look there.",
    "ProtocolError": "What came is no stream of a stage. Look at its beginning.",
    "TruncatedStreamError": "The verdict is unknown. Look at what stands between the stages.",
    "ArchiveError": "Send the stream again.",
    "LimitError": "Raise the limit if the stream may be so large.",
    "ConfigurationError": "Correct the parameter or the file that the message names.",
    "UnreachableError": "`receptor-runner doctor` says what is in the way.",
    "RefusedError": "Look at keys, certificates and permissions: [doctor](doctor.md).",
    "LostError": "What ran the job is gone; submit it again. See [states and verdicts](mesh.md).",
    "DetachedError": "The job goes on: `receptor-runner attach JOB` follows it.",
    "WaitTimeoutError": "The job goes on: wait again, or attach to it.",
    "Interrupted": "Somebody asked for it: a signal, `cancel`, or a cancel callback.",
    "CommandError": "`receptor-runner doctor` says what is in the way.",
    "BusyError": "Wait for the other process, or end it.",
    "NoJobError": "`receptor-runner jobs` lists those that are there.",
    "UnitGoneError": "Its results may have been saved: look into the artifact directory.",
    "SilenceError": "`receptor-runner doctor` says what is in the way.",
}


def advice(message: Message) -> str:
    if message.hint:
        return message.hint[0].upper() + message.hint[1:] + "."
    rows = {"a remark": _REMARKS, "a warning": _REMARKS, "UsageError": _DO[1:2]}.get(message.kind, _DO)
    for pattern, text in rows:
        if re.search(pattern, message.text):
            return text
    return _CLASSES.get(message.kind, "A fault of ours: please report it, with `--debug`.")


def messages_page() -> str:
    rows = []
    for message in messages():
        found = _class(message.kind)
        code = f" ({found.exit_code})" if found is not None else ""
        rows.append(f"- `{' '.join(message.text.split()).replace('`', chr(39))}`{code}: {advice(message)}")
    return "\n".join(
        [
            "# Every message\n",
            _NEVER,
            "Search this page for words of the message that you see. `…` stands for what differs: a path, a name, a number. In brackets is the exit status of a command that ends with the message. What a status means in general is on the page "
            "[exit status](exit-status.md). If a mesh is involved, `receptor-runner doctor` is quicker: [doctor](doctor.md).\n",
            "What Ansible says is not here: it is in the job's output and in the artifact `stdout`.\n",
            *rows,
            "",
        ]
    )


# JSON


def json_page() -> str:
    parts = [
        "# JSON\n",
        _NEVER,
        "What `-o json` prints, as JSON Schema. Keys stay; a version may add some. Times are ISO 8601 in UTC.\n",
    ]
    for name, (commands, kind, several) in OUTPUTS.items():
        parts.append(f"## {name}\n")
        parts.append(f"Printed by {', '.join(f'`{command}`' for command in commands)}.\n")
        parts.append(_paragraphs(kind.__doc__ or "") + "\n")
        schema = schema_of(kind)
        parts.append(
            "```{code-block} json\n"
            + json.dumps({"type": "array", "items": schema} if several else schema, indent=1)
            + "\n```\n"
        )
    return "\n".join(parts)


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type."""
    simple = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    if kind in simple:
        return {"type": simple[kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        found = [schema_of(one) for one in arguments]
        if all(set(one) == {"type"} for one in found):
            return {"type": [one["type"] for one in found]}
        return {"anyOf": found}
    if origin in (list, tuple):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        return {
            "type": "object",
            "properties": {name: schema_of(value) for name, value in hints.items()},
            "required": sorted(kind.__required_keys__),
        }
    return {}


PAGES = {
    "commands.md": commands_page,
    "variables.md": variables_page,
    "messages.md": messages_page,
    "json.md": json_page,
}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    importlib.import_module("receptor_runner")
    main()
