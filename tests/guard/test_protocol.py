"""What a stage and its guard say to each other comes through, in pieces and from other versions."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor_runner.guard.protocol import (
    Cancel,
    CommandEnd,
    CommandMissing,
    GuardFault,
    Lines,
    Order,
    Own,
    Ready,
    ReportParser,
    Run,
    Setup,
    decode_order,
    encode_lines,
    encode_order,
    encode_report,
)
from receptor_runner.isolation.isolated import Isolated
from receptor_runner.preparation.run_spec import RunSpec
from tests.support.strategies import splits

SPEC = RunSpec(
    "j", ["ansible-playbook", "x.yml"], {"A": "1"}, "/cwd", "/artifacts",
    Isolated("podman", "ansible-playbook", {"B": "2"}, name="n", engine="/usr/bin/podman", image="i"),
    prompts=[("Password:", "geheim")], job_timeout=5.0, made=["/x"],
)  # fmt: skip
ORDERS: list[Order] = [Setup(True, None), Setup(False, "/gone"), Own("/tree"), Run(SPEC), Cancel()]
REPORTS: list[Ready | CommandEnd | CommandMissing | GuardFault] = [
    Ready("/work", "/scratch"),
    CommandEnd(2, "failed", 7, output_error="full", killed_by="SIGKILL", isolation_error="no image", gone=False),
    CommandMissing("ansible-playbook was not found"),
    GuardFault("Traceback"),
    GuardFault("cannot make a temporary directory", no_space=True),
]


@pytest.mark.parametrize("order", ORDERS, ids=repr)
def test_an_order_comes_through(order: Order) -> None:
    line = encode_order(order)
    assert line.endswith(b"\n")
    assert decode_order(line[:-1]) == order


def test_an_order_of_another_version_is_no_fault() -> None:
    assert decode_order(b'{"pause": true}') is None
    spec = {**SPEC.to_json(), "colour": "red", "isolated": {**SPEC.to_json()["isolated"], "user": "x"}}
    del spec["made"]
    order = decode_order(json.dumps({"run": spec}).encode())
    assert isinstance(order, Run)
    assert order.spec.made == []
    assert order.spec.isolated == SPEC.isolated


def test_a_report_of_another_version_is_no_fault() -> None:
    newer = {"rc": 0, "status": "successful", "events": 3, "seconds": 1.5}
    data = b"".join(
        kind + struct.pack(">I", len(content)) + content
        for kind, content in [(b"?", b"\0\1"), (b"R", json.dumps(newer).encode())]
    )
    assert list(ReportParser().feed(data)) == [CommandEnd(0, "successful", 3)]


@given(st.data())
def test_reports_come_through_in_any_pieces(data: st.DataObject) -> None:
    stream = b"".join(encode_report(report) for report in REPORTS)
    stream += encode_lines(memoryview(b"part"), whole=False) + encode_lines(memoryview(b" of a line\n"), whole=True)
    parser = ReportParser()
    reports = [report for piece in data.draw(splits(stream)) for report in parser.feed(piece)]
    assert reports == [*REPORTS, Lines(b"part", False), Lines(b" of a line\n", True)]


def test_nothing_secret_is_in_what_may_be_told_about_a_command() -> None:
    spec = RunSpec(
        "j", ["x", "geheim-und-lang"], {"API_TOKEN": "abc", "PLAIN": "v", "URL": "https://u:pw@h/"}, "/", "/a",
        prompts=[("P:", "geheim-und-lang")],
    )  # fmt: skip
    masked = spec.masked()
    assert "geheim" not in json.dumps(masked)
    assert masked["env"] == {"API_TOKEN": "**********", "PLAIN": "v", "URL": "https://u:**********@h/"}
