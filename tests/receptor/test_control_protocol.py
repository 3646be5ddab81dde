"""The control protocol: what a client may say, and what both ends make of it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor_runner.errors import ReceptorRunnerError, UsageError
from receptor_runner.receptor.control_protocol import (
    CommandError,
    ControlCommand,
    command_line,
    created_unit,
    error_line,
    parse_command,
    parse_reply,
    reply_line,
    unit_created_line,
)
from receptor_runner.receptor.work_unit import UnitStatus, check_unit_id

COMMANDS: list[tuple[bytes, ControlCommand]] = [
    (b"status", ControlCommand("status", "", {})),
    (b"STATUS", ControlCommand("status", "", {})),
    (
        b'{"command":"status","requested_fields":["Version"]}',
        ControlCommand("status", "", {"requested_fields": ["Version"]}),
    ),
    (b"ping bar", ControlCommand("ping", "", {"target": "bar"})),
    (b"connect bar control", ControlCommand("connect", "", {"node": "bar", "service": "control"})),
    (b"connect bar control cli", ControlCommand("connect", "", {"node": "bar", "service": "control", "tls": "cli"})),
    (
        b"work submit bar sh echo hi",
        ControlCommand("work", "submit", {"node": "bar", "worktype": "sh", "params": "echo hi"}),
    ),
    (b"work list", ControlCommand("work", "list", {})),
    (b"work results X 12", ControlCommand("work", "results", {"unitid": "X", "startpos": 12})),
    (
        b'{"command":"work","subcommand":"results","unitid":"X","startpos":4}',
        ControlCommand("work", "results", {"unitid": "X", "startpos": 4}),
    ),
    (b"work force-release X", ControlCommand("work", "force-release", {"unitid": "X"})),
]

#: As Receptor 1.4.9 answers them, recorded.
REFUSED = [
    (b"work", "bad command"),
    (b"work foo", "bad command"),
    (b"work status", "work status requires a unit ID"),
    (b"work status  x", "work status does not take parameters after the unit ID"),
    (b"status x", "status command does not take parameters"),
    (b"ping", "no ping target"),
    (b"ping ", "no ping target"),
    (b"connect a", "no connect target"),
    (b"work submit localhost", "work submit requires a target node and work type"),
    (b'{"command":"work"}', "field subcommand missing"),
    (b'{"command":"work","subcommand":"foo"}', "bad command"),
    (b'{"command":3}', "command must be a string"),
    (b'{"command":"STATUS"}', "Unknown command"),
    (
        b"work results xx abc",
        'error converting start position to integer: strconv.ParseInt: parsing "abc": invalid syntax',
    ),
    (
        b'{"command":"work","subcommand":"results","unitid":"x","startpos":"0"}',
        "field startpos value 0 is not convertible to an int",
    ),
    (b'{"command":"work","subcommand":"results","unitid":"x"}', "field startpos missing"),
    (
        b'{"command":"work","subcommand":"submit","node":"x","worktype":"y","ttl":3}',
        "submit parameters must all be strings and ttl is not",
    ),
    (b"nonsense", "Unknown command"),
]


@pytest.mark.parametrize(("line", "command"), COMMANDS)
def test_commands_are_understood(line: bytes, command: ControlCommand) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(("line", "text"), REFUSED)
def test_what_makes_no_sense_is_refused_in_the_daemons_words(line: bytes, text: str) -> None:
    with pytest.raises(CommandError) as refused:
        parse_command(line)
    assert str(refused.value) == text


@given(st.binary())
def test_no_line_does_more_than_be_refused(line: bytes) -> None:
    with contextlib.suppress(CommandError):
        parse_command(line)


@given(st.dictionaries(st.text(), st.text()))
def test_a_reply_comes_back(data: dict[str, str]) -> None:
    line = reply_line(data)
    assert line.count(b"\n") == 1
    assert parse_reply(line) == data
    assert list(json.loads(line)) == sorted(data)


@given(st.text())
def test_an_error_is_one_line(text: str) -> None:
    assert error_line(text).count(b"\n") == 1
    with pytest.raises(CommandError):
        parse_reply(error_line(text))


@given(st.binary())
def test_a_line_that_is_no_reply_is_an_error(line: bytes) -> None:
    for parse in (parse_reply, created_unit):
        with contextlib.suppress(ReceptorRunnerError):
            parse(line)


@pytest.mark.parametrize("unit", ["bXtoqnW2", "136.156.x.xruxrZvwN", "exec-1.example.org-x_Y:z@1"])
def test_a_unit_has_any_id_that_a_daemon_gives(unit: str) -> None:
    assert created_unit(unit_created_line(unit)) == unit
    assert check_unit_id(unit) == unit
    assert (
        parse_command(command_line(command="work", subcommand="status", unitid=unit).strip()).fields["unitid"] == unit
    )


@pytest.mark.parametrize("unit", ["", "a b", "a\nwork release b", "../x", "a/b"])
def test_what_could_be_another_command_is_no_id(unit: str) -> None:
    with pytest.raises(UsageError):
        check_unit_id(unit)


def test_a_status_is_the_same_in_file_and_reply() -> None:
    status = UnitStatus(1, "Running: PID 3", 17, "sh", {"Pid": 3, "Params": "-c"})
    assert UnitStatus.from_json(status.to_file()) == UnitStatus.from_json(status.to_reply()) == status
    assert status.to_reply()["StateName"] == "Running"
    assert UnitStatus.from_json({"State": "x", "StdoutSize": None}) == UnitStatus(0, "", 0, "")
