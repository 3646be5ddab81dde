"""Receptor's control protocol: lines to commands and back, for both ends of a control socket.

Rules: no IO. A line that begins with ``{`` is JSON, any other is words; a reply is one line of compact JSON with
sorted keys, or ``ERROR: `` and a reason (pkg/controlsvc/controlsvc.go and pkg/workceptor/controlsvc.go of Receptor
1.4). The texts of errors are the daemon's, because controllers match on them."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from ..errors import ReceptorRunnerError
from ..stream.bounded_json import ExcessError, parse_json
from ..stream.messages import JSONObject
from ..system.arguments import passable

__all__ = [
    "CONNECTING",
    "SUBMIT_FIELDS",
    "CommandError",
    "ControlCommand",
    "check_results_line",
    "command_line",
    "created_unit",
    "error_line",
    "greeted_node",
    "greeting",
    "parse_command",
    "parse_reply",
    "reply_line",
    "results_line",
    "seconds_of",
    "unit_created_line",
]

CONNECTING = b"Connecting\n"
_GREETING = "Receptor Control, node "
_RESULTS = "Streaming results for work unit "
#: What a submit takes for itself; every other field is a parameter of the work.
SUBMIT_FIELDS = frozenset(
    {"command", "subcommand", "node", "worktype", "tlsclient", "ttl", "signwork", "signature", "workUnitID"}
)
_UNIT_COMMANDS = ("status", "cancel", "release", "force-release")
_PLAIN = ("status", "reload")
_DURATION = re.compile(r"(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:ns|us|µs|ms|s|m|h)")
_LONGEST_TEXT = 100
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
#: One argument of a program has 128 KiB at most (execve(2)), with what the worktype has before it.
_LONGEST_FIELD = 100 * 1024
#: What the daemon counts bytes with: 63 bits.
_LARGEST_NUMBER = 2**63
#: Nanoseconds in 63 bits.
_LONGEST_DURATION = 9.2e9
_CREATED = re.compile(r"Work unit created with ID (.+)\. Send stdin data and EOF\.")


class CommandError(ReceptorRunnerError):
    """The other end answers, or is to be answered, ``ERROR: `` and this text."""

    exit_code = 69

    def __init__(self, text: str, *, unusable: bool = False) -> None:
        super().__init__(text)
        #: The line named no command at all: the daemon answers a second line, ``ERROR: Unknown command``.
        self.unusable = unusable


class ControlCommand(NamedTuple):
    """One command; ``subcommand`` is that of ``work``. ``fields`` are texts, but for the number ``startpos``."""

    name: str
    subcommand: str
    fields: JSONObject


def greeting(node: str) -> bytes:
    return f"{_GREETING}{node}\n".encode()


def greeted_node(line: bytes) -> str | None:
    """The id of the node that greets so; None if this is no greeting."""
    text = line.decode("utf-8", "replace").strip()
    return text.removeprefix(_GREETING) if text.startswith(_GREETING) else None


def unit_created_line(unit: str) -> bytes:
    return f"Work unit created with ID {unit}. Send stdin data and EOF.\n".encode()


def results_line(unit: str) -> bytes:
    return f"{_RESULTS}{unit}\n".encode()


def check_results_line(line: bytes) -> None:
    """:raises CommandError: no results follow this answer to ``work results``."""
    if not line.startswith(_RESULTS.encode()):
        raise CommandError(line.decode("utf-8", "replace").removeprefix("ERROR: "))


def reply_line(data: JSONObject) -> bytes:
    """The daemon sorts the keys of the reply itself, and keeps the order of what is inside."""
    ordered = {name: data[name] for name in sorted(data)}
    return _encoded(json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)) + b"\n"


def error_line(text: str) -> bytes:
    return _encoded(f"ERROR: {' '.join(text.splitlines())}") + b"\n"


def _encoded(text: str) -> bytes:
    """As it came if it came as bytes; half a character that JSON named becomes a question mark."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def command_line(**fields: object) -> bytes:
    """A command as JSON; fields that are None are left out."""
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode() + b"\n"


def parse_reply(line: bytes) -> JSONObject:
    """:raises CommandError: the other end refused, or did not answer with one JSON object."""
    text = line.decode("utf-8", "surrogateescape").strip()
    if text.startswith("ERROR:"):
        raise CommandError(text[6:].strip())
    try:
        value = parse_json(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CommandError(f"the control service answered {text[:200]!r}, which is not a reply")
    return value


def created_unit(line: bytes) -> str:
    """The unit's id from the answer to a submit.

    :raises CommandError: there is no unit.
    """
    text = line.decode("utf-8", "surrogateescape").strip()
    match = _CREATED.fullmatch(text)
    if match:
        return match[1]
    if text.startswith("ERROR:"):
        raise CommandError(text[6:].strip())
    raise CommandError(f"the control service answered {text[:200]!r} to a submit")


def parse_command(line: bytes) -> ControlCommand:
    """What a client asks for in one line, without its newline.

    :raises CommandError: it makes no sense.
    """
    text = line.decode("utf-8", "surrogateescape")
    if not text.startswith("{"):
        name, _, rest = text.partition(" ")
        return _from_words(name.lower(), rest)
    try:
        data = parse_json(text)
    except ExcessError as exc:
        raise CommandError(str(exc), unusable=True) from None
    except ValueError:
        raise CommandError("unexpected end of JSON input", unusable=True) from None
    if "command" not in data:
        raise CommandError("JSON did not contain a command", unusable=True)
    if not isinstance(data["command"], str):
        raise CommandError("command must be a string", unusable=True)
    return _from_json(data["command"], data)


def seconds_of(duration: str) -> float:
    """A duration as Go writes it (``1h30m``, ``1.5s``), in seconds.

    :raises CommandError: it is none, or a longer one than Go has.
    """
    parts = _DURATION.findall(duration) if len(duration) <= _LONGEST_TEXT else []
    if not parts or "".join(parts) != duration:
        raise CommandError(f'time: invalid duration "{duration[:_LONGEST_TEXT]}"')
    total = sum(float(re.split(r"[a-zµ]", part)[0]) * _UNITS[re.sub(r"[\d.]", "", part)] for part in parts)
    if total > _LONGEST_DURATION:
        raise CommandError(f'time: invalid duration "{duration[:_LONGEST_TEXT]}"')
    return total


def _from_words(name: str, rest: str) -> ControlCommand:
    words = rest.split(" ")
    if name == "work":
        return _work_from_words(words)
    if name in ("ping", "traceroute"):
        if not rest:
            raise CommandError(f"no {name} target")
        return ControlCommand(name, "", {"target": rest})
    if name == "connect":
        if len(words) < 2:
            raise CommandError("no connect target")
        if len(words) > 3:
            raise CommandError("too many parameters")
        return ControlCommand(name, "", dict(zip(("node", "service", "tls"), words, strict=False)))
    if name in _PLAIN:
        if name == "status" and rest:
            raise CommandError("status command does not take parameters")
        return ControlCommand(name, "", {})
    raise CommandError("Unknown command")


def _work_from_words(words: list[str]) -> ControlCommand:
    sub = words[0].lower()
    fields: JSONObject = {}
    if sub == "submit":
        if len(words) < 3:
            raise CommandError("work submit requires a target node and work type")
        fields = {"node": words[1], "worktype": words[2]}
        if len(words) > 3:
            fields["params"] = " ".join(words[3:])
        return _submit(fields)
    if sub == "list":
        if len(words) > 1:
            fields["unitid"] = words[1]
    elif sub in _UNIT_COMMANDS or sub == "results":
        if len(words) < 2:
            raise CommandError(f"work {sub} requires a unit ID")
        fields["unitid"] = words[1]
        fields.update(_more_words(sub, words))
    else:
        raise CommandError("bad command")
    return ControlCommand("work", sub, fields)


def _more_words(sub: str, words: list[str]) -> JSONObject:
    if sub != "results":
        if len(words) > 2:
            raise CommandError(f"work {sub} does not take parameters after the unit ID")
        return {}
    if len(words) > 3:
        raise CommandError("work results only takes a unit ID and optional start position")
    try:
        startpos = int(words[2]) if len(words) > 2 else 0
        if abs(startpos) >= _LARGEST_NUMBER:
            raise ValueError
        return {"startpos": startpos}
    except ValueError:
        reason = f'strconv.ParseInt: parsing "{words[2]}": invalid syntax'
        raise CommandError(f"error converting start position to integer: {reason}") from None


def _from_json(name: str, data: JSONObject) -> ControlCommand:
    if name == "work":
        return _work_from_json(data)
    if name in ("ping", "traceroute"):
        if "target" not in data:
            raise CommandError(f"no {name} target")
        if not isinstance(data["target"], str):
            raise CommandError(f"{name} target must be string")
        return ControlCommand(name, "", {"target": data["target"]})
    if name == "connect":
        for field, what in (("node", "node"), ("service", "service")):
            if field not in data:
                raise CommandError(f"no connect target {what}")
            if not isinstance(data[field], str):
                raise CommandError(f"connect target {what} must be string")
        return ControlCommand(name, "", {field: data[field] for field in ("node", "service", "tls") if field in data})
    if name in _PLAIN:
        return ControlCommand(
            name, "", {"requested_fields": data["requested_fields"]} if "requested_fields" in data else {}
        )
    raise CommandError("Unknown command")


def _work_from_json(data: JSONObject) -> ControlCommand:
    sub = _text(data, "subcommand").lower()
    if sub == "submit":
        for field, value in data.items():
            if not isinstance(value, str):
                raise CommandError(f"submit parameters must all be strings and {field} is not")
        return _submit({"node": _text(data, "node"), "worktype": _text(data, "worktype"), **data})
    fields = {field: data[field] for field in ("unitid", "signature") if isinstance(data.get(field), str)}
    if sub not in ("list", "results", *_UNIT_COMMANDS):
        raise CommandError("bad command")
    if sub != "list":
        _text(data, "unitid")
    if sub == "results":
        fields["startpos"] = _number(data, "startpos")
    return ControlCommand("work", sub, fields)


def _submit(fields: JSONObject) -> ControlCommand:
    for field, value in fields.items():
        if not passable(value):
            raise CommandError(f"{field} cannot be passed to a program")
        if len(value.encode("utf-8", "surrogateescape")) > _LONGEST_FIELD:
            raise CommandError(f"{field} is longer than a program can be given")
    return ControlCommand("work", "submit", fields)


def _text(data: JSONObject, field: str) -> str:
    if field not in data:
        raise CommandError(f"field {field} missing")
    value = data[field]
    if not isinstance(value, str):
        raise CommandError(f"field {field} must be a string")
    return value


def _number(data: JSONObject, field: str) -> int:
    if field not in data:
        raise CommandError(f"field {field} missing")
    value = data[field]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER:
        return int(value)
    raise CommandError(f"field {field} value {value} is not convertible to an int")
