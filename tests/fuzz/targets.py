"""What is fuzzed, and what must hold for it whatever the input is.

Rules: each target is a function of generated data that raises if something is wrong. What a target calls is what a
stage calls with the bytes of strangers. A target needs no mesh, and leaves nothing."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from receptor_runner.archive.unpack import unpack_zip, zip_member
from receptor_runner.errors import ReceptorRunnerError
from receptor_runner.guard.event_carver import Carver
from receptor_runner.job.parameters import DEFAULTS, Parameters
from receptor_runner.job.private_data import PrivateDataDir
from receptor_runner.limits import StreamLimits
from receptor_runner.node.units import Units
from receptor_runner.preparation.prepare import PreparationContext, prepare
from receptor_runner.receptor.address import Address
from receptor_runner.receptor.control_protocol import CommandError, error_line, parse_command, parse_reply, reply_line
from receptor_runner.records.journal import Journal
from receptor_runner.records.record import Record, Route, UnitRef
from receptor_runner.records.store import Records
from receptor_runner.stream.codec import Decoder
from receptor_runner.system.removal import remove_tree
from tests.support.archives import headers_only, overlapping
from tests.support.frames import KEY, event, frame
from tests.support.json_values import SETTINGS, VALUES
from tests.support.strategies import describe, hostile_archives

__all__ = ["TARGETS"]

logging.disable(logging.CRITICAL)

# without the phase that explains a finding: it takes longer than the finding did
settings.register_profile(
    "fuzz",
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.load_profile("fuzz")

#: One extraction may write so much, in bytes, and take so much memory.
_ROOM = 64 * 1024 * 1024
_MEMORY = 8 * 1024 * 1024
#: What parsing one line may take for each of its bytes.
_MEMORY_PER_BYTE = 14


@contextlib.contextmanager
def little_memory(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
        assert peak <= limit, f"{peak} bytes of memory, more than {limit}"
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def refused_as(*codes: int) -> Iterator[None]:
    """What is inside may be refused with one of these exit statuses, and not end otherwise."""
    refusal: ReceptorRunnerError | None = None
    try:
        yield
    except ReceptorRunnerError as exc:
        refusal = exc
    assert refusal is None or refusal.exit_code in codes, refusal


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * levels + b"1" + closing * levels


#: Lines that look like those of a stage, with anything inside.
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_deep = st.builds(
    lambda head, levels, pair: b'{"%s": ' % head + nested(levels, *pair) + b"}",
    st.sampled_from([b"status", b"event", b"kwargs", b"eof", b"zipfile"]),
    st.integers(1, 3000),
    st.sampled_from([(b"[", b"]"), (b'{"a": ', b"}")]),
)
_keys = st.sampled_from(["status", "event", "kwargs", "zipfile", "eof", "counter", "uuid", "receptor_runner"])
_objects = st.dictionaries(_keys, _json, max_size=4).map(lambda data: json.dumps(data).encode())
_lines = st.one_of(_objects, _deep, st.binary(max_size=40), st.just(b""))


@given(st.lists(_lines, max_size=6), st.sampled_from([b"\n", b"", b"\r\n"]), st.integers(1, 4000))
def decoder(lines: list[bytes], between: bytes, size: int) -> None:
    """Any bytes are messages or an error of the stream; what becomes data can be written again."""
    stream = between.join([*lines, b""])
    reader = Decoder(StreamLimits(line=1 << 20, archive=1 << 20))
    with refused_as(76):
        for place in range(0, len(stream), size):
            for message in reader.receive(stream[place : place + size]):
                data = getattr(message, "data", None)
                if isinstance(data, dict):
                    _written_from_deep(data)
        reader.receive_eof()


def _written_from_deep(data: object, frames: int = 250) -> None:
    """Writes ``data`` as a caller does whose own calls are nested, too."""
    if frames:
        _written_from_deep(data, frames - 1)
    else:
        json.dumps(data)


@settings(max_examples=4, phases=[Phase.generate])
@given(st.sampled_from([b"[],", b"{},", b"[[]],"]))
def values(piece: bytes) -> None:
    """A line of very many values takes no more than a few times its own size."""
    line = b'{"x": [' + piece * 4_100_000 + b"1]}\n"
    with little_memory(len(line) * _MEMORY_PER_BYTE):
        Decoder(StreamLimits(line=1 << 30)).receive(line)


def extracted(data: bytes, top: str, members: int = 1000) -> int:
    """How many bytes the extraction wrote."""
    target = os.path.join(top, "target")
    os.mkdir(target)
    before = _bytes_written()
    with refused_as(73, 76):
        for _ in unpack_zip(io.BytesIO(data), target, StreamLimits(members=members, unpacked=_ROOM)):
            pass
    return _bytes_written() - before


def _bytes_written() -> int:
    """By this process so far (proc(5), ``wchar``)."""
    return int(Path("/proc/self/io").read_text().split()[3])


@given(st.data())
def unpack(data: st.DataObject) -> None:
    """No archive reaches outside of its target, and none grows beyond what its own bytes can hold."""
    with tempfile.TemporaryDirectory() as top:
        victim = Path(top, "victim")
        victim.mkdir()
        (victim / "secret").write_text("secret")
        before = describe(victim)
        archive = data.draw(hostile_archives(str(victim)))
        for _ in range(data.draw(st.integers(0, 2))):
            place = data.draw(st.integers(0, max(0, len(archive) - 1)))
            archive = archive[:place] + data.draw(st.binary(min_size=1, max_size=4)) + archive[place + 1 :]
        extracted(archive, top)
        assert describe(victim) == before
        with contextlib.suppress(ReceptorRunnerError):
            zip_member(io.BytesIO(archive), "rc", 32)


@settings(max_examples=10, phases=[Phase.generate])
@given(st.integers(60_000, 120_000), st.integers(0, 3), st.sampled_from([b"", b"PK\5\6" + bytes(40), b"c" * 60_000]))
def members(count: int, told: int, comment: bytes) -> None:
    """The members of an archive are bounded before they cost memory, whatever the archive says of their number."""
    archive = headers_only(count, told=told, comment=comment)
    with tempfile.TemporaryDirectory() as top, little_memory(_MEMORY):
        extracted(archive, top, members=20_000)


@given(st.integers(2, 200), st.integers(1_000, 400_000))
def overlap(count: int, size: int) -> None:
    """No byte of an archive is the data of two members: such an archive grows without bound."""
    archive = overlapping(count, size)
    assume(count * size > len(archive) * 1100)
    with tempfile.TemporaryDirectory() as top:
        written = extracted(archive, top)
        assert written <= len(archive) * 1100, f"{written} bytes of {len(archive)}"


@given(st.data())
def methods(data: st.DataObject) -> None:
    """No packing method asks for more memory than the archive is worth."""
    buffer = io.BytesIO()
    method = data.draw(st.sampled_from([zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]))
    with zipfile.ZipFile(buffer, "w", method) as made:
        made.writestr("f", data.draw(st.binary(max_size=300)))
    archive = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 3))):
        archive[data.draw(st.integers(30, len(archive) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as top:
        extracted(bytes(archive), top)


_frames = st.one_of(
    st.builds(frame, st.integers(1, 5), st.sampled_from("odc"), st.just(event("e"))),
    st.sampled_from([b"\x1b", b"\x1b_", b"\x1b_r", b"\x1b_rr", b"\x1b_rr;", b"rr;", b"r", b"\n", b"\x1b\\"]),
    st.binary(max_size=6),
)
_damaged = st.builds(lambda one, place, byte: one[:-place] + byte, _frames, st.integers(1, 4), st.binary(max_size=4))


@given(st.lists(_frames | _damaged, max_size=6).map(b"".join), st.lists(st.integers(0, 400), max_size=6))
def carver(stream: bytes, places: list[int]) -> None:
    """However the output is split, the text and the events are the same, and no byte of it is said twice."""
    cuts = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(cuts)]
    assert _carved(pieces) == _carved([stream])


def _carved(pieces: list[bytes]) -> tuple[bytes, list[Any]]:
    carving = Carver(KEY, "job")
    text = b"".join([*(carving.receive(piece) for piece in pieces), carving.finish()])
    events = [json.loads(line) for line in carving.lines]
    return text, [(one.get("event"), one["stdout"], one["start_line"], one["end_line"]) for one in events]


_BASES: tuple[dict[str, Any], ...] = (
    {"playbook": "t.yml"},
    {"module": "ping"},
    {"role": "r"},
    {"playbook": "t.yml", "process_isolation": True, "process_isolation_executable": "bwrap"},
    {"playbook": "t.yml", "process_isolation": True, "container_image": "x"},
)
_values = st.sampled_from(VALUES) | _json


@given(
    st.sampled_from(_BASES),
    st.dictionaries(st.sampled_from(list(DEFAULTS)), _values, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from([*DEFAULTS, *SETTINGS]), _values, max_size=1),
)
def parameters(base: dict[str, Any], given_: dict[str, Any], settings_: dict[str, Any]) -> None:
    """Parameters of any type are a job or an error that names what is wrong; never a fault of ours."""
    kwargs = {**base, **given_}
    if settings_:
        kwargs["settings"] = settings_
    made: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for directory in ("project", "inventory", "scratch"):
            (top / directory).mkdir()
        (top / "project" / "t.yml").write_text("[]")
        context = PreparationContext(PrivateDataDir(top), str(top / "scratch"), made.append)
        try:
            with contextlib.suppress(ReceptorRunnerError):
                prepare(Parameters.from_wire(kwargs), context)
        finally:
            for path in made:  # some are outside of ``top``
                remove_tree(path)


_text = st.text(max_size=8) | st.sampled_from(["\ud800", "\0", ".h.gone", "..", "x" * 300, "localhost", "sh"])
_requests = st.one_of(
    st.dictionaries(
        st.sampled_from(["command", "subcommand", "node", "worktype", "unitid", "startpos", "params", "target", "ttl"]),
        _text | st.floats() | st.sampled_from(["work", "submit", "results", "status", "ping", "connect"]) | _json,
        max_size=6,
    ).map(lambda data: json.dumps(data).encode()),
    st.builds(
        lambda sub, more: json.dumps(
            {"command": "work", "subcommand": sub, "unitid": "x", "node": "n", **more}
        ).encode(),
        st.sampled_from(["submit", "results", "status", "cancel", "release", "list"]),
        st.fixed_dictionaries(
            {}, optional={"worktype": _text, "params": _text, "startpos": st.floats() | st.integers()}
        ),
    ),
    st.lists(_text, max_size=5).map(lambda words: " ".join(words).encode("utf-8", "replace")),
    st.integers(1, 3000).map(lambda levels: b'{"command": ' + nested(levels) + b"}"),
    st.binary(max_size=60),
)


@given(_requests)
def control(line: bytes) -> None:
    """A command of any client is one to be obeyed, or an ``ERROR`` that can be sent; a reply of any service is one,
    too."""
    line = line.replace(b"\n", b" ")
    try:
        command = parse_command(line)
        reply_line({name: value for name, value in command.fields.items() if isinstance(value, str)})
        _check_passable(command.fields)
    except CommandError as exc:
        error_line(str(exc))
    with contextlib.suppress(CommandError):
        reply_line(parse_reply(line))


def _check_passable(fields: dict[str, Any]) -> None:
    """What a node does with the fields of a command: arguments of a program, names of directories, places in files."""
    for value in fields.values():
        if isinstance(value, str):
            assert "\0" not in value, "NUL in a field"
            os.fsencode(value)
        elif isinstance(value, int):
            assert abs(value) < 2**63


def _record(top: Path) -> Path:
    records = Records(top)
    address, route = Address("/x.sock"), Route("n", "w")
    records.save(
        Record("j", "/d", "/d/artifacts/j", address, route, created=1.5, units=[UnitRef("AbCd1234", "n", True)])
    )
    return top / "j" / "job.json"


@given(st.data())
def records(data: st.DataObject) -> None:
    """A record that was cut or changed anywhere is itself or damaged, and the records beside it are read."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        path = _record(top)
        path.write_bytes(_damaged_bytes(data, path.read_bytes()))
        (top / "k").mkdir()
        (top / "k" / "job.json").write_text("{}")
        with refused_as(66):
            Records(top).load("j")
        for _ in Records(top).all():
            pass


@given(st.data())
def statuses(data: st.DataObject) -> None:
    """A unit's status that was cut or changed anywhere harms this unit alone, and the node starts."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        units = Units(top)
        first, second = units.create("sh"), units.create("sh")
        path = first.directory / "status"
        path.write_bytes(_damaged_bytes(data, path.read_bytes()))
        getattr(units, "close", lambda: None)()
        again = Units(top)
        for unit in again.all():
            with contextlib.suppress(CommandError):
                reply_line(unit.status().to_reply())
        assert again.find(second.id).status().ended
        getattr(again, "close", lambda: None)()


@given(st.data())
def journals(data: st.DataObject) -> None:
    """A follower's journal that was cut or changed anywhere is the whole of it, or none of it."""
    with tempfile.TemporaryDirectory() as name:
        journal = Journal(Path(name))
        for number in range(1, 4):
            journal.remember({"status": {"status": f"s{number}"}})
            journal.passed(number * 100, number, number)
        journal.close()
        whole = {(0, 0, 0, "None"), (300, 3, 3, "{'status': 's3'}")}
        for path in sorted(Path(name).iterdir()):
            before = path.read_bytes()
            path.write_bytes(_damaged_bytes(data, before))
            again = Journal(Path(name))
            found = (again.offset, again.skip, again.events, str(again.memory.get("status")))
            again.close()
            assert found in whole, found
            path.write_bytes(before)


def _damaged_bytes(data: st.DataObject, content: bytes) -> bytes:
    place = data.draw(st.integers(0, len(content)))
    how = data.draw(st.sampled_from(["cut", "zeros", "byte", "deep"]))
    if how == "cut":
        return content[:place]
    if how == "zeros":
        return content[:place] + bytes(len(content) - place)
    if how == "deep":
        return nested(data.draw(st.integers(1, 3000)))
    return content[:place] + data.draw(st.binary(min_size=1, max_size=1)) + content[place + 1 :]


TARGETS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        decoder, values, unpack, members, overlap, methods, carver, parameters, control, records, statuses, journals,
    )
}  # fmt: skip
