"""Sealed jobs over a mesh: nobody on their way can read them, nobody else can run them, and they go on after a crash."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from receptor_runner.stream.codec import END_OF_STREAM, encode
from tests.support.commands import OURS, ours
from tests.support.nodes import WORKER, Mesh, running_with, worktype
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import kill_at_once, processes_with, wait_for

pytestmark = pytest.mark.slow

KINDS = ["embedded", pytest.param("daemon", marks=pytest.mark.daemon)]
PLANTED = b"PLANTED-S3CRET"


class Place(NamedTuple):
    """A mesh whose executor has a key, and its own temporary directory and store."""

    mesh: Mesh
    top: Path
    temporary: Path

    def scanned(self) -> list[Path]:
        """Every file of the nodes, of the client's state, of the home of both, of the store, and what is temporary."""
        own = [Path(os.environ["XDG_STATE_HOME"]), self.top / "home", self.top / "store"]
        tops = [*(node.directory for node in self.mesh.nodes), *own]
        files = [path for top in [*tops, self.temporary] for path in top.rglob("*") if path.is_file()]
        assert len(files) > 3
        return files

    def leaks(self) -> list[Path]:
        """The files that hold something in clear. While a job runs, its own private data dir does."""
        return [path for path in self.scanned() if PLANTED in path.read_bytes() and not self._is_of_the_job(path)]

    def _is_of_the_job(self, path: Path) -> bool:
        inside = path.relative_to(self.temporary).parts if path.is_relative_to(self.temporary) else ()
        return bool(inside) and inside[0].startswith("receptor-runner-")


@contextlib.contextmanager
def placed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> Iterator[Place]:
    params = f"{WORKER} --seal-key {tmp_path}/node/key --store {tmp_path}/store {more}"
    with tempfile.TemporaryDirectory(prefix="rrt-", dir="/tmp") as temporary:
        monkeypatch.setenv("TMPDIR", temporary)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        (tmp_path / "home").mkdir()
        made = ours("worker", "--seal-key", tmp_path / "node" / "key", "seal-key")
        assert made.returncode == 0, made.stderr
        with running_with(kind, [worktype(params=params)]) as mesh:
            mesh.wait_ready()
            node = mesh.executor.name
            trusted = ours("trust", node, "--fingerprint", made.stdout.decode().strip(), *mesh.arguments())
            assert trusted.returncode == 0, trusted.stderr
            yield Place(mesh, tmp_path, Path(temporary))


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with placed(request.param, tmp_path, monkeypatch) as place:
        yield place


@pytest.fixture
def secrets(make_dir: DirFactory, tmp_path: Path) -> Path:
    """A private data dir with something in every input; its job says it, and waits."""
    planted = PLANTED.decode()
    book = tasks(
        f"debug: {{msg: 'said {planted}-book'}}",
        f"wait_for: {{path: {tmp_path}/go, sleep: 1, timeout: 60}}",
    )
    directory = make_dir(book)
    (directory / "project" / "file").write_text(f"{planted}-project " * 3000)
    (directory / "inventory" / "group_vars").mkdir(parents=True)
    (directory / "inventory" / "group_vars" / "all").write_text(f"a: {planted}-inventory\n")
    env = directory / "env"
    env.mkdir(exist_ok=True)
    (env / "passwords").write_text(json.dumps({"^unlikely$": f"{planted}-password"}))
    (env / "extravars").write_text(json.dumps({"b": f"{planted}-variable"}))
    (env / "settings").write_text(json.dumps({"pexpect_timeout": 5, "of_the_job": f"{planted}-setting"}))
    (env / "envvars").write_text(json.dumps({"OF_THE_JOB": f"{planted}-environment"}))
    (env / "cmdline").write_text(f"-e d={planted}-cmdline")
    return directory


WORDS = ("-p", "test.yml", "-e", f"c={PLANTED.decode()}-option", "--seal-results")


@pytest.mark.parametrize("delta", [(), ("--delta",)])
def test_no_file_on_the_way_holds_anything_in_clear(place: Place, secrets: Path, delta: tuple[str, ...]) -> None:
    for number in range(2):
        done = place.mesh.run("submit", secrets, *WORDS, *delta, "-i", f"j{number}")
        assert done.returncode == 0, done.stderr
        wait_for(functools.partial(_says_it, f"j{number}"), "it says it")
        assert place.leaks() == []
        (place.top / "go").touch()
        assert ours("wait", f"j{number}").returncode == 0
        assert place.leaks() == []
        followed = ours("attach", f"j{number}")
        assert followed.returncode == 0, followed.stderr
        assert PLANTED + b"-book" in followed.stdout
        assert place.leaks() == []
        (place.top / "go").unlink()
    assert [path for path in place.temporary.rglob("*") if PLANTED in path.name.encode()] == []


def test_a_crash_leaves_nothing_in_clear(place: Place, secrets: Path) -> None:
    place.mesh.run("submit", secrets, *WORDS, "--delta", "-i", "crash")
    wait_for(functools.partial(_says_it, "crash"), "it says it")
    for process in processes_with(str(place.temporary)):
        if "receptor_runner" in process.cmdline() and "worker" in process.cmdline():
            process.kill()
    wait_for(lambda: not list(place.temporary.glob("receptor-runner-*")), "its directory is gone", 30)
    assert place.leaks() == []
    assert ours("attach", "crash", "-q").returncode != 0
    assert place.leaks() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_lost_its_power_has_nothing_in_clear_on_its_disk(
    kind: str, secrets: Path, in_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything of it ends at once, and nobody is left to clean up."""
    with placed(kind, tmp_path, monkeypatch, f"--seal-dir {in_memory}") as place:
        place.mesh.run("submit", secrets, *WORDS, "--delta", "-i", "power")
        wait_for(functools.partial(_says_it, "power"), "it says it")
        assert any(PLANTED in path.read_bytes() for path in in_memory.rglob("*") if path.is_file())
        kill_at_once(lambda: processes_with(str(place.temporary)))
        wait_for(lambda: not processes_with(str(place.temporary)), "they are dead")
        assert [path for path in place.scanned() if PLANTED in path.read_bytes()] == []


def test_a_follower_that_was_killed_is_followed_by_another(place: Place, secrets: Path) -> None:
    place.mesh.run("submit", secrets, *WORDS, "-i", "f")
    follower = psutil.Popen([*OURS, "attach", "f", "-q"])
    events = secrets / "artifacts" / "f" / "job_events"
    wait_for(lambda: events.is_dir() and len(list(events.iterdir())) > 4, "events are saved")
    follower.send_signal(signal.SIGKILL)
    follower.wait()
    (place.top / "go").touch()
    done = ours("attach", "f")
    assert done.returncode == 0, done.stderr
    counters = sorted(int(path.name.split("-")[0]) for path in events.glob("*.json"))
    assert counters == list(range(1, counters[-1] + 1))
    assert (secrets / "artifacts" / "f" / "rc").read_text() == "0"


def test_what_is_asked_of_a_sealed_job_is_answered(place: Place, secrets: Path) -> None:
    place.mesh.run("submit", secrets, *WORDS, "-i", "q")
    wait_for(lambda: json.loads(ours("inspect", "q", "-o", "json").stdout)["running"], "something runs")
    assert ours("cancel", "q").returncode == 0
    assert ours("attach", "q", "-q").returncode == 130


def test_another_controller_is_refused_with_one_line(place: Place, secrets: Path, tmp_path: Path) -> None:
    """And what he does then ends nothing."""
    place.mesh.run("submit", secrets, *WORDS, "-i", "mine")
    wait_for(functools.partial(_says_it, "mine"), "it says it")
    unit = place.mesh.executor.units()[0]
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "theirs")}
    words = ("--node", place.mesh.executor.name, "--unit", unit)
    taken = ours("attach", *words, "-i", "stolen", *place.mesh.arguments(), env=env, cwd=tmp_path)
    assert taken.returncode == 77, taken.stderr
    assert b"sealed" in taken.stderr
    assert len(taken.stderr.splitlines()) == 1
    assert json.loads(ours("status", "stolen", "-o", "json", env=env).stdout)["status"] is None
    assert ours("release", "stolen", env=env).returncode == 64
    (tmp_path / "go").touch()
    assert ours("wait", "stolen", env=env).returncode == 77
    assert ours("attach", "mine", "-q").returncode == 0


def test_a_last_word_in_clear_is_no_verdict(place: Place, secrets: Path) -> None:
    """Whoever is on the way can say anything in the place of what was sealed."""
    (place.top / "go").touch()
    place.mesh.run("submit", secrets, *WORDS, "-i", "forged")
    (results,) = _ended(place, 1)
    told = {"status": "error", "job_explanation": "submit it again", "receptor_runner": {"exit_status": 66}}
    _replace(place, results, (encode(told) + END_OF_STREAM).ljust(len(results)))
    assert ours("wait", "forged").returncode == 77
    followed = ours("attach", "forged", "-q")
    assert followed.returncode == 77
    assert b"submit it again (this came in clear" in followed.stderr
    _is_kept(place, "forged")


@pytest.mark.parametrize("change", ["A", "é"])
def test_results_that_were_changed_are_kept_where_they_are(place: Place, secrets: Path, change: str) -> None:
    """They may be whole elsewhere, and no command falls over them."""
    (place.top / "go").touch()
    place.mesh.run("submit", secrets, *WORDS, "-i", "changed")
    (results,) = _ended(place, 1)
    at = results.rindex(b'"data": "') + 40
    new = change.encode() if results[at : at + 1] != b"A" else b"B"
    _replace(place, results, results[:at] + new + results[at + len(new) :])
    assert ours("jobs").returncode == 0
    assert ours("wait", "changed").returncode == 77
    assert ours("attach", "changed", "-q").returncode == 77
    _is_kept(place, "changed")


def _is_kept(place: Place, job: str) -> None:
    """The work unit of a job whose results are not believed: who looks there finds what happened."""
    assert place.mesh.executor.units()
    assert ours("attach", job, "-q").returncode == 77
    assert ours("release", job).returncode == 64
    assert ours("prune", "--yes").returncode == 0
    assert place.mesh.executor.units()
    assert ours("release", "--force", job).returncode == 0
    wait_for(lambda: not place.mesh.executor.units(), "by force it goes")


def test_the_results_of_another_job_are_refused(place: Place, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    for name in ("one", "two"):
        assert place.mesh.run("submit", directory, "-p", "test.yml", "-i", name).returncode == 0
    one, two = _ended(place, 2)
    _replace(place, one, two.ljust(len(one)) + b" ")
    _replace(place, two, one.ljust(len(two)))
    for name in ("one", "two"):
        assert ours("wait", name).returncode == 77
        for words in (["attach", name, "-q"], ["logs", name], ["inspect", name]):
            done = ours(*words)
            assert done.returncode == 77, words
            assert b"another job" in done.stderr
            assert b"hi" not in done.stdout


def test_what_was_sealed_is_not_told_in_results_in_clear(place: Place, secrets: Path) -> None:
    (place.top / "go").touch()
    done = place.mesh.run("run", secrets, *[word for word in WORDS if word != "--seal-results"], "-q", "-i", "clear")
    assert done.returncode == 0, done.stderr
    place.mesh.run("submit", secrets, *[word for word in WORDS if word != "--seal-results"], "-i", "kept")
    (results,) = _ended(place, 1)
    for secret in (b"-option", b"-password", b"-variable", b"-inventory", b"-project"):
        assert PLANTED + secret not in results


def test_a_sealed_job_that_is_sent_again_by_somebody_else_does_not_run(place: Place, make_dir: DirFactory) -> None:
    """Whoever has seen it on its way has all of it."""
    directory = make_dir(tasks("debug: {msg: once}"))
    assert place.mesh.run("submit", directory, "-p", "test.yml", "-i", "seen").returncode == 0
    assert ours("wait", "seen").returncode == 0
    payload = next(place.mesh.executor.data.glob("*/stdin")).read_bytes()
    assert b'"sealed"' in payload
    assert b"once" not in payload
    answer = _submitted(place.mesh, payload)
    assert b"came before" in answer
    assert b'"exit_status": 77' in answer
    assert b"starting" not in answer


@pytest.mark.parametrize("how", ["archive behind", "archive before", "parameters behind", "archive instead"])
def test_nothing_can_be_added_to_a_sealed_job(place: Place, make_dir: DirFactory, tmp_path: Path, how: str) -> None:
    """Somebody on its way would have his own playbook run."""
    directory = make_dir(tasks("debug: {msg: harmless}"))
    assert place.mesh.run("submit", directory, "-p", "test.yml", "-i", "seen").returncode == 0
    assert ours("wait", "seen").returncode == 0
    payload = next(place.mesh.executor.data.glob("*/stdin")).read_bytes()
    evil = make_dir(tasks(f"file: {{path: {tmp_path}/ran, state: touch}}"), name="evil")
    theirs = ours("transmit", evil, "-p", "test.yml").stdout
    line, _, archive = theirs.partition(b"\n")
    archive = archive.removesuffix(b'{"eof": true}\n')
    own_line, _, own = payload.partition(b"\n")
    own = own.removesuffix(b'{"eof": true}\n')
    parts = {
        "archive behind": [own_line + b"\n", own, archive],
        "archive before": [own_line + b"\n", archive, own],
        "parameters behind": [own_line + b"\n", own, line + b"\n"],
        "archive instead": [own_line + b"\n", archive],
    }[how]
    shutil.rmtree(tmp_path / "node" / "key.opened")  # it has not come before
    answer = _submitted(place.mesh, b"".join(parts) + b'{"eof": true}\n')
    assert b'"exit_status": 77' in answer
    assert not (tmp_path / "ran").exists()


def test_a_node_with_another_key_refuses(place: Place, make_dir: DirFactory) -> None:
    (place.top / "node" / "key").unlink()
    made = ours("worker", "--seal-key", place.top / "node" / "key", "seal-key")
    new = made.stdout.decode().strip()
    directory = make_dir(tasks("debug: {msg: never}"))
    done = place.mesh.run("run", directory, "-p", "test.yml")
    assert done.returncode == 77
    assert new.encode() in done.stderr
    old = ours("trust", "--list").stdout.split()[-1]
    assert old in done.stderr
    again = ours("trust", place.mesh.executor.name, *place.mesh.arguments())
    assert again.returncode == 77
    assert new.encode() in again.stderr
    assert old in again.stderr
    assert ours("trust", "--forget", place.mesh.executor.name).returncode == 0
    unseen = ours("trust", place.mesh.executor.name, *place.mesh.arguments())
    assert (unseen.returncode, unseen.stdout.decode().strip()) == (0, new)
    assert b"compare this" in unseen.stderr, "whoever answered may not be the node"
    assert place.mesh.run("run", directory, "-p", "test.yml").returncode == 0


def test_workers_that_cannot_open_it_run_nothing(
    place: Place, make_dir: DirFactory, tmp_path: Path, ansible_runner: list[str]
) -> None:
    """Ours without a key, and ansible-runner's, in the place of the one that has it."""
    directory = make_dir(tasks(f"file: {{path: {tmp_path}/ran, state: touch}}"))
    theirs = {"work-command": {"worktype": "receptor-runner", "command": ansible_runner[0], "params": "worker"}}
    for item in (worktype(params=f"{WORKER} --seal-key {tmp_path}/none"), theirs):
        with running_with(place.mesh.kind, [item]) as mesh:
            mesh.wait_ready()
            done = mesh.run("run", directory, "-p", "test.yml", "-q")
            assert done.returncode != 0
            assert not (tmp_path / "ran").exists()
            assert item is theirs or b"make one on the node: receptor-runner worker seal-key" in done.stderr
    assert ours("trust", "nobody", *place.mesh.arguments()).returncode == 69


def test_scripts_seal_what_they_transmit(place: Place, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: PLANTED}"))
    done = ours("transmit", directory, "-p", "test.yml", "--seal-for", place.mesh.executor.name)
    assert done.returncode == 0, done.stderr
    assert b"PLANTED" not in done.stdout
    assert b"test.yml" not in done.stdout
    assert b'"status": "successful"' in _submitted(place.mesh, done.stdout)
    assert ours("transmit", directory, "-p", "test.yml", "--seal-for", "nobody").returncode == 78


def test_what_cannot_be_sealed_is_not_sent(place: Place, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    node = place.mesh.executor.name
    assert ours("trust", "--forget", node).returncode == 0
    for word in ("--seal", "--seal-results"):
        done = place.mesh.run("run", directory, "-p", "test.yml", word)
        assert done.returncode == 78
        assert b"receptor-runner trust" in done.stderr
    assert place.mesh.run("run", directory, "-p", "test.yml", "--no-seal", "--seal-results").returncode == 64
    for word in ("--seal", "--seal-results"):
        here = ours("run", directory, "-p", "test.yml", word)
        assert here.returncode == 64
        assert b"for a mesh" in here.stderr
    assert place.mesh.run("run", directory, "-p", "test.yml").returncode == 0


def _ended(place: Place, count: int) -> set[bytes]:
    """The results of ``count`` jobs, at every node."""

    def are_there() -> bool:
        found = _results(place).values()
        return len(found) == count * len(place.mesh.nodes) and all(one.endswith(END_OF_STREAM) for one in found)

    wait_for(are_there, "they have ended")
    return set(_results(place).values())


def _results(place: Place) -> dict[Path, bytes]:
    return {path: path.read_bytes() for node in place.mesh.nodes for path in node.data.glob("*/stdout")}


def _replace(place: Place, results: bytes, by: bytes) -> None:
    for path, found in _results(place).items():
        if found == results:
            path.write_bytes(by)


def _says_it(job: str) -> bool:
    return PLANTED in ours("logs", job).stdout


def _submitted(mesh: Mesh, payload: bytes) -> bytes:
    """The results of a unit with ``payload``."""
    from receptor_runner.mesh.endpoint import connect
    from receptor_runner.mesh.units import UnitHandle
    from receptor_runner.mesh.waiting import run
    from receptor_runner.receptor.address import Address

    address = Address(str(mesh.controller.socket))
    with run(connect(address)) as connection:
        node = "localhost" if len(mesh.nodes) == 1 else mesh.executor.name
        unit = run(connection.create_unit(node=node, worktype="receptor-runner"))
        run(connection.send(payload))
        connection.half_close()
        run(connection.readline(30))
    return run(UnitHandle(address, unit).head(60, lambda head: b'"eof"' in head))
