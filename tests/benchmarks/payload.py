"""A large project over a real two-node mesh: sent whole, only what has changed, and sealed; beside ansible-runner over
the same mesh, and Ansible alone. And what the node needs to make its directory, beside ``cp``.

Rules: one project, changed step by step; every step prints what left the controller, when the first line of output
came, and the client's memory. Needs the daemon for what goes over the mesh."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from receptor_runner.archive.collect import collect
from receptor_runner.archive.pack import ZipPacker
from receptor_runner.delta.content_store import ContentStore
from receptor_runner.delta.digest_index import DigestIndex
from receptor_runner.delta.packer import DeltaPacker
from receptor_runner.delta.references import Digester
from receptor_runner.delta.unpacker import unpack_delta
from receptor_runner.delta.work_tree import WorkTree
from receptor_runner.limits import DEFAULT_LIMITS
from receptor_runner.sealing.envelope import BlockCipher
from receptor_runner.sealing.sealed_file import SealingWriter
from tests.benchmarks import measure
from tests.benchmarks.mesh import RECEPTORCTL, two_nodes
from tests.support.nodes import Mesh, daemon_binary

FILES, SIZE = 20_000, 64 * 1024
LARGE = 1_000_000_000
PLAY = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: hi}\n"
HOSTS = 'localhost ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"\n'


def payload(scratch: Path, ours: str, theirs: str) -> None:
    """Prints the comparison. ``ours`` and ``theirs`` are the two commands."""
    job = _project(scratch / "job")
    _packing(scratch, job, theirs)
    _sealing(scratch, job)
    binary = daemon_binary()
    if binary is None:
        print("payload: there is no Receptor daemon on PATH or in RECEPTOR_BIN; the mesh is left out")
        return
    os.environ["XDG_STATE_HOME"] = str(scratch / "state")
    with tempfile.TemporaryDirectory(prefix="rrb-", dir="/tmp") as directory:
        mesh = _mesh(Path(directory), scratch, binary, ours, theirs)
        try:
            mesh.start()
            _over_mesh(job, mesh, ours, theirs)
        finally:
            mesh.stop()


def _project(job: Path) -> Path:
    """Half of it is text, half does not shrink."""
    choose = random.Random(1)
    words = ["".join(choose.choices("abcdefghijklmnopqrstuvwxyz", k=choose.randint(3, 10))) for _ in range(3000)]
    text, noise = " ".join(choose.choices(words, k=200_000)).encode(), choose.randbytes(1 << 20)
    for number in range(FILES):
        directory = job / "project" / "roles" / f"role{number // 100}" / "files"
        directory.mkdir(parents=True, exist_ok=True)
        source = text if number % 2 else noise
        place = choose.randrange(len(source) - SIZE)
        (directory / f"file{number % 100}").write_bytes(b"%d\n" % number + source[place : place + SIZE])
    (job / "project" / "test.yml").write_text(PLAY)
    (job / "inventory").mkdir()
    (job / "inventory" / "hosts").write_text(HOSTS)
    return job


def _report(*what: object) -> None:
    raise AssertionError(what)


def _seconds(work: Callable[[], object], times: int = 3) -> float:
    """The shortest of several, in seconds."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def _alone(work: Callable[[], object]) -> float:
    """In seconds. What others have written is on the disk before that."""
    os.sync()
    return _seconds(work, 1)


def _packing(scratch: Path, job: Path, theirs: str) -> None:
    digester = Digester(b"k" * 32)
    index = scratch / "index"

    def whole() -> int:
        with tempfile.TemporaryFile(dir=scratch) as file:
            packer = ZipPacker(file, _report)
            _run(packer.pack(collect(str(job), _report)))
            return packer.size

    def delta(there: frozenset[bytes], file: IO[bytes] | None = None) -> DeltaPacker:
        with tempfile.TemporaryFile(dir=scratch) as own:
            packer = DeltaPacker(file or own, _report, digester, DigestIndex(index, digester), there)
            _run(packer.pack(collect(str(job), _report)))
            return packer

    def anew() -> None:
        index.unlink(missing_ok=True)
        delta(frozenset())

    first = delta(frozenset())
    named = frozenset(first.named)
    a, b = _seconds(anew), _seconds(whole)
    print(f"{'pack 1.3 GB the first time, delta : whole':50} {a:8.2f} s {b:8.2f} s {a / b:6.3f}")
    print(f"{'  bytes':50} {first.size:10} {whole():10} {first.size / whole():6.4f}")
    command = f"{theirs} transmit {job} -p test.yml > /dev/null"
    c = _seconds(lambda: subprocess.run(["bash", "-c", command], check=True), 1)
    print(f"{'pack 1.3 GB, delta : ansible-runner transmit':50} {a:8.2f} s {c:8.2f} s {a / c:6.3f}")
    d = _seconds(lambda: delta(named))
    print(f"{'pack what has not changed : ansible-runner':50} {d:8.2f} s {c:8.2f} s {d / c:6.3f}")
    with tempfile.TemporaryFile(dir=scratch) as all_of_it, tempfile.TemporaryFile(dir=scratch) as nothing:
        delta(frozenset(), all_of_it)
        delta(named, nothing)
        make = functools.partial(_make, scratch, digester)
        make(all_of_it)
        times = [(_alone(lambda: make(nothing)), _alone(lambda: _copy(job, scratch))) for _ in range(4)][1:]
        _make(scratch, digester, nothing, keep=True)
        kept = min(_alone(lambda: _make(scratch, digester, nothing, keep=True)) for _ in range(3))
    own, copied = min(one for one, _ in times), min(two for _, two in times)
    text = "make the directory from the store : cp -a --reflink=auto"
    print(f"{text:50} {own:8.2f} s {copied:8.2f} s {own / copied:6.3f}")
    print(f"{'  from what an earlier job has left':50} {kept:8.2f} s {copied:8.2f} s {kept / copied:6.3f}")


def _make(scratch: Path, digester: Digester, archive: IO[bytes], *, keep: bool = False) -> None:
    """:param keep: begin with what is left of the last time, and leave it."""
    target, owner = scratch / "made", "0" * 32
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with ContentStore(scratch / "made-store", 10 * LARGE) as store:
        tree = WorkTree(store, str(target), owner, owner) if keep else None
        _run(unpack_delta(archive, str(target), DEFAULT_LIMITS, digester, store.owned(owner), tree))
    if tree is not None:
        tree.give_back(lambda: ContentStore(scratch / "made-store", 10 * LARGE))


def _copy(job: Path, scratch: Path) -> None:
    shutil.rmtree(scratch / "copied", ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", job, scratch / "copied"], check=True)


def _run(generator: Any) -> None:
    for _ in generator:
        pass


def _sealing(scratch: Path, job: Path) -> None:
    """What encryption adds to packing, on one core."""
    block = os.urandom(128 * 1024)

    def seal() -> None:
        with tempfile.TemporaryFile(dir=scratch) as file:
            writer = SealingWriter(file, BlockCipher(b"s" * 32, "payload"))
            for _ in range(4000):
                writer.write(block)
            writer.finish()

    def plain() -> None:
        with tempfile.TemporaryFile(dir=scratch) as file:
            for _ in range(4000):
                file.write(block)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    added = _seconds(seal) - _seconds(plain)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    megabytes = 4000 * len(block) / 1e6
    print(f"{'sealing: MB/s more than writing it; memory added':50} {megabytes / added:8.0f} MB/s {grown} KiB")


def _mesh(directory: Path, scratch: Path, binary: str, ours: str, theirs: str) -> Mesh:
    params = f"worker --keepalive-seconds 10 --store {scratch}/store --store-size 100G --seal-key {scratch}/key"
    work = {"worktype": "receptor-runner", "command": ours, "params": params, "allowruntimeparams": True}
    peer = {"worktype": "ansible-runner", "command": theirs, "params": "worker"}
    return two_nodes(directory, binary, [{"work-command": work}, {"work-command": peer}])


def _over_mesh(job: Path, mesh: Mesh, ours: str, theirs: str) -> None:
    print(f"{'over one hop':50} {'bytes sent':>14} {'first line':>12} {'memory':>10}")
    peer = _peer(job, mesh, theirs)
    step = functools.partial(_step, job, mesh, ours)
    whole = step("whole")
    first = step("delta, the first time", "--delta")
    time.sleep(3)
    step("delta, files read again because they were young", "--delta")
    unchanged = min(step(f"delta, nothing changed, {number}", "--delta") for number in (1, 2, 3))
    print(f"{'Ansible alone, no mesh':50} {0:14} {_alone_first(job):10.2f} s")
    print(f"{'  nothing changed : ansible-runner':50} {unchanged / peer:6.3f}")
    print(f"{'  delta, the first time : whole':50} {first / whole:6.3f}")
    files = job / "project" / "roles" / "role7" / "files"
    with (files / "file7").open("r+b") as file:
        file.write(os.urandom(1000))
    step("delta, 1 kB changed in one file", "--delta")
    (job / "project" / "renamed").mkdir()
    for number in range(16):
        (job / "project" / "roles" / f"role{number + 20}").rename(job / "project" / "renamed" / f"role{number}")
    step("delta, 100 MB renamed", "--delta")
    large = job / "project" / "large"
    with large.open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(LARGE // 100))
    step("delta, a file of 1 GB is new", "--delta")
    with large.open("r+b") as file:
        file.seek(LARGE // 2)
        rest = file.read()
        file.seek(LARGE // 2)
        file.write(b"one more line\n" + rest)
    step("delta, one line more in that", "--delta")
    large.unlink()
    fingerprint = subprocess.run(
        [ours, "worker", "--seal-key", job.parent / "key", "seal-key"], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(
        [ours, "trust", "exec-1", "--fingerprint", fingerprint, *mesh.arguments()], check=True, capture_output=True
    )
    step("whole, sealed, results too", "--seal-results")
    step("delta, sealed, the first time", "--seal-results", "--delta")
    step("delta, sealed, nothing changed", "--seal-results", "--delta")


def _peer(job: Path, mesh: Mesh, theirs: str) -> float:
    """What :func:`_step` does, with ansible-runner's stages and receptorctl; the seconds until the first line."""
    counted, what = job.parent / "counted", shlex.quote(str(job))
    submit = f"{RECEPTORCTL} --socket {mesh.controller.socket} work submit ansible-runner --node exec-1 -f --rm -p -"
    sent = f"tee >(wc -c > {shlex.quote(str(counted))})"
    command = f"{theirs} transmit {what} -p test.yml | {sent} | {submit} | {theirs} process {what}"
    first = measure.timed(["bash", "-c", command]).first
    print(f"{'ansible-runner':50} {int(counted.read_text()):14} {first:10.2f} s", flush=True)
    return first


def _alone_first(job: Path) -> float:
    """Seconds until the first line of Ansible itself, here."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventory", "project/test.yml"]
    return min(measure.timed(command, job).first for _ in range(3))


def _step(job: Path, mesh: Mesh, ours: str, name: str, *words: str) -> float:
    """Runs the job; prints what left the controller, when the first line came, and the client's memory. The seconds
    until that line.
    """
    where = [*mesh.arguments(), "--node", "exec-1"]
    words = (ours, "run", str(job), "-p", "test.yml", *where, "--debug", *words)
    measured = job.parent / "measured.json"
    with tempfile.TemporaryFile() as said:
        first = measure.timed([sys.executable, "-I", "-S", measure.__file__, str(measured), *words], said=said).first
        said.seek(0)
        text = said.read()
    sent = sum(int(size) for size in re.findall(rb"(\d+) bytes are sent", text))
    print(f"{name:50} {sent:14} {first:10.2f} s {json.loads(measured.read_text())[2]:6.0f} MiB", flush=True)
    return first
