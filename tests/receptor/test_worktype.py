"""Worktypes: fragments that a daemon takes, and a joined configuration in which nothing is silently wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.commands import ours
from tests.support.nodes import NO_DAEMON, daemon_binary
from tests.support.processes import wait_for

TOP = Path(__file__).parents[2]
NODE = "- node: {id: node1, datadir: data}\n- local-only\n- control-service: {service: control, filename: n.sock}\n"
WORK = "- work-command:\n    worktype: w\n    command: cat\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    directory = tmp_path / "conf.d"
    directory.mkdir()
    (tmp_path / "base.yml").write_text(NODE)
    return directory


def test_print_makes_a_fragment_for_this_machine() -> None:
    done = ours("worktype", "print", "--name", "my-type", "--signed")
    (item,) = yaml.safe_load(done.stdout)
    work = item["work-command"]
    assert (work["worktype"], work["verifysignature"], work["allowruntimeparams"]) == ("my-type", True, True)
    assert Path(work["command"]).is_absolute()
    assert b"restart" in done.stderr
    told = subprocess.run([work["command"], *work["params"].split(), "--help"], capture_output=True, check=False)
    assert told.returncode == 0
    assert ours("worktype", "print", "--name", "two words").returncode == 78


def test_the_fragments_that_ship_hold_work_commands_alone() -> None:
    files = sorted((TOP / "receptor.conf.d").iterdir())
    assert [file.name for file in files if file.suffix == ".yml"] == ["receptor-runner.yml"]
    names = []
    for file in files:
        (item,) = yaml.safe_load(file.read_text())
        work = item["work-command"]
        assert work["command"] == "receptor-runner"
        assert work["params"] == "worker --keepalive-seconds 10"
        names.append(work["worktype"])
    assert names == ["ansible-runner", "local", "receptor-runner", "receptor-runner"]


def test_render_joins_in_the_order_of_names(conf: Path, tmp_path: Path) -> None:
    (conf / "20-b.yml").write_text("--- # ours\n" + WORK.replace("w\n", "b\n"))
    (conf / "10-a.yml").write_text("[{work-command: {worktype: a, command: cat}}]\n")
    (conf / "ignored.yml.example").write_text("nonsense: [")
    out = tmp_path / "receptor.yml"
    done = ours("worktype", "render", conf, "--base", tmp_path / "base.yml", "--out", out)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    items = yaml.safe_load(out.read_text())
    assert [item["work-command"]["worktype"] for item in items if "work-command" in item] == ["a", "b"]
    assert items[0]["node"]["id"] == "node1"
    flags = ours("worktype", "render", conf, "--flags").stdout.decode().split()
    assert flags == ["--config", str(conf / "10-a.yml"), "--config", str(conf / "20-b.yml")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- node: {id: other}\n", "line 1: node: it is there already, in"),
        ("\n- control-service: {filename: x}\n", "line 2: control-service: 'control' is there already"),
        (WORK, "line 1: work-command: 'w' is there already"),
        ("- work-commands: {worktype: x, command: cat}\n", "line 1: Receptor has no item 'work-commands'"),
        ("- work-command: {worktype: x, command: cat, runtimeparams: 1}\n", "no field 'runtimeparams'"),
        ("- work-command: {worktype: x}\n", "'command' is missing"),
        ("- work-command: {worktype: x, command: /nonexistent/y}\n", "/nonexistent/y is not there"),
        ('- work-command: {worktype: x, command: cat, params: "\'"}\n', "cannot be split"),
        ("- work-command: {worktype: x, command: cat, allowruntimeparams: maybe}\n", "must be true or false"),
        ("- work-command: {worktype: x, command: cat, verifysignature: true}\n", "work-verification"),
        ("- work-signing: {privatekey: k}\n", "'tokenexpiration' is missing"),
        ("version: 2\nnode: {id: x}\n", "version 2"),
        (WORK.replace("w\n", "x\n") + "---\n" + WORK.replace("w\n", "y\n"), "line 5: a second document"),
        ("- work-command:\n  worktype: x\n  command: cat\n", "several names"),
        ("- [", "not YAML"),
        ("- work-command: {worktype: y, command: cat}\n", "line 1: 'y' is true or false for YAML; write it in quotes"),
    ],
)
def test_render_refuses_what_the_daemon_would_get_wrong(text: str, says: str, conf: Path, tmp_path: Path) -> None:
    (conf / "10-good.yml").write_text(WORK)
    (conf / "20-bad.yml").write_text(text)
    out = tmp_path / "out.yml"
    done = ours("worktype", "render", conf, "--base", tmp_path / "base.yml", "--out", out)
    assert done.returncode == 78
    assert says in done.stderr.decode()
    assert "20-bad.yml" in done.stderr.decode()
    assert not out.exists()


def test_a_private_data_dir_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert ours("worktype", "render", tmp_path / "none").returncode == 66
    assert ours("worktype", "render", tmp_path).returncode == 66


@pytest.mark.daemon
@pytest.mark.parametrize("as_flags", [False, True])
def test_the_daemon_takes_what_is_rendered(as_flags: bool, conf: Path, tmp_path: Path) -> None:
    binary = daemon_binary()
    if binary is None:
        pytest.skip(NO_DAEMON)
    (conf / "a.yml").write_text(WORK)
    (conf / "b.yml").write_text("[{work-command: {worktype: b, command: cat}}]\n")
    words = ["worktype", "render", str(conf), "--base", str(tmp_path / "base.yml")]
    if as_flags:
        flags = ours(*words, "--flags").stdout.decode().split()
    else:
        ours(*words, "--out", tmp_path / "all.yml")
        flags = ["--config", str(tmp_path / "all.yml")]
    daemon = subprocess.Popen([binary, *flags], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        offered = _offered(tmp_path)
    finally:
        daemon.terminate()
        daemon.wait()
    assert offered == {"w", "b"}


def _offered(directory: Path) -> set[str]:
    def ask() -> set[str]:
        done = ours("nodes", "node1", "--socket", "n.sock", "-o", "json", cwd=directory)
        return set(json.loads(done.stdout)["worktypes"] or ()) if done.returncode == 0 else set()

    return set(wait_for(ask, "the daemon offers its worktypes"))
