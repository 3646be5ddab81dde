"""What strangers say reaches no terminal as more than text, whatever command shows it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from receptor_runner import Mesh as Client
from receptor_runner.receptor.address import Address
from receptor_runner.records.record import Record, Route, UnitRef
from receptor_runner.records.state_dir import jobs_directory
from receptor_runner.records.store import Records
from receptor_runner.stream.codec import END_OF_STREAM, encode
from tests.support.commands import ours
from tests.support.listeners import daemon_that_answers
from tests.support.nodes import BOTH, Mesh, running
from tests.support.streams import STARTING
from tests.support.units import ended_unit

pytestmark = pytest.mark.slow

#: Halves of characters: some encoders make any byte of them.
HALVES = "\udcc2\udc9b5n\ud800"
EVIL = "\x1b]0;owned\x07\x1b[2Jevil\x1b[31m\u009b5n\nand a second line"


@pytest.fixture(scope="module", params=BOTH)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as started:
        yield started


def test_a_workers_status_and_explanation(mesh: Mesh, tmp_path: Path) -> None:
    stream = STARTING + encode({"status": EVIL, "job_explanation": EVIL}) + END_OF_STREAM
    unit = ended_unit(mesh, stream)
    Client(str(mesh.executor.socket)).adopt(mesh.executor.name, unit, private_data_dir=tmp_path)
    commands = [["wait", unit], ["status", unit], ["jobs"], ["cancel", unit], ["attach", unit, "-q"], ["prune"]]
    for words in [*commands, ["release", unit]]:
        done = ours(*words)
        said = done.stdout + done.stderr
        assert b"evil" in said, words
        assert not set("\x1b\x07\u009b") & set(said.decode()), words
    assert b"second line" not in ours("prune").stdout


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_halves_of_characters_are_no_bytes(locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    route, address = Route(f"node{HALVES}", f"type{HALVES}", True), Address("/nowhere.sock")
    record = Record("j", f"/tmp/{HALVES}", str(tmp_path), address, route, note=HALVES, phase=HALVES)
    record.units = [UnitRef("AbCd1234", "x", True)]
    Records(jobs_directory()).save(record)
    for words in (["jobs"], ["status", "j"], ["prune"]):
        done = ours(*words)
        assert done.returncode == 0, done.stderr
        assert b"\x9b" not in done.stdout + done.stderr


@pytest.mark.parametrize("answer", [b"ERROR: " + EVIL.replace("\n", " ").encode() + b"\n", EVIL.encode() + b"\n"])
def test_a_control_service_in_a_message_and_in_the_log(answer: bytes, tmp_path: Path) -> None:
    path = Path("/tmp") / f"rr-{os.getpid()}-gate.sock"
    record = Record(
        "j", str(tmp_path), str(tmp_path / "artifacts"), Address(str(path)), Route("x", "receptor-runner", True),
        units=[UnitRef("AbCd1234", "x", True)],
    )  # fmt: skip
    Records(jobs_directory()).save(record)
    try:
        with daemon_that_answers(answer, path):
            for words in (
                ["nodes", "--socket", path],
                ["attach", "j", "-q", "--lost-after", "1"],
                ["attach", "j", "-q", "--lost-after", "1", "--debug", "--log-file", tmp_path / "log"],
                ["status", "j"],
            ):
                done = ours(*words)
                said = done.stdout + done.stderr
                assert b"evil" in said, words
                assert not set("\x1b\x07\u009b") & set(said.decode()), words
        assert "\x1b" not in (tmp_path / "log").read_text()
        assert json.loads(ours("jobs", "-o", "json").stdout)
    finally:
        path.unlink()
