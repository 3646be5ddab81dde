"""What a node tells about itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import yaml

from receptor_runner import __version__
from receptor_runner.utils import capacity
from tests.support.commands import OURS, ours


def test_worker_info_prints_one_dictionary_and_nothing_else(tmp_path: Path) -> None:
    """The first three keys make a node healthy, and standard error lands in the same file."""
    done = subprocess.run(
        [*OURS, "worker", "--worker-info"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "HOME": str(tmp_path)},
        check=True,
    )
    info = yaml.safe_load(done.stdout)
    assert info["runner_version"] == version("ansible-runner")
    assert 0 < info["cpu_count"] <= psutil.cpu_count()
    assert 2**20 < info["mem_in_bytes"] <= psutil.virtual_memory().total
    assert len(info["uuid"]) <= 40
    assert info["errors"] == []
    assert info["version"] == __version__
    assert info["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert info["ansible_core_version"] == version("ansible-core")
    assert "sha256" in info["stream_extensions"]
    assert isinstance(info["container_engines"], list)


def info(**environment: str) -> dict[str, object]:
    done = ours("worker", "--worker-info", env=environment)
    assert done.returncode == 0
    found: dict[str, object] = yaml.safe_load(done.stdout)
    return found


def test_a_nodes_uuid_is_the_same_every_time(tmp_path: Path) -> None:
    first = info(HOME=str(tmp_path))["uuid"]
    assert info(HOME=str(tmp_path))["uuid"] == first
    assert (tmp_path / ".ansible_runner_uuid").stat().st_mode & 0o777 == 0o600


def test_a_node_keeps_the_uuid_that_ansible_runner_gave_it(tmp_path: Path, ansible_runner: list[str]) -> None:
    """And the other way round: a controller warns when it changes."""
    env = {**os.environ, "HOME": str(tmp_path)}
    theirs = yaml.safe_load(
        subprocess.run([*ansible_runner, "worker", "--worker-info"], stdout=subprocess.PIPE, env=env).stdout
    )
    assert info(HOME=str(tmp_path))["uuid"] == theirs["uuid"]
    (tmp_path / ".ansible_runner_uuid").unlink()
    mine = info(HOME=str(tmp_path))["uuid"]
    theirs = yaml.safe_load(
        subprocess.run([*ansible_runner, "worker", "--worker-info"], stdout=subprocess.PIPE, env=env).stdout
    )
    assert theirs["uuid"] == mine


def test_a_home_that_is_none_is_no_traceback(tmp_path: Path) -> None:
    """The uuid comes from the machine then; where that has none, the error is told."""
    found = [info(HOME=str(tmp_path / "absent")) for _ in range(2)]
    if os.path.exists("/etc/machine-id"):
        assert found[0]["uuid"] == found[1]["uuid"] == str(uuid.UUID(str(found[0]["uuid"])))
    else:
        assert "uuid" in str(found[0]["errors"])
    assert found[0]["cpu_count"]


@pytest.mark.parametrize("content", ["", "x" * 50, "\x1b[2J", "some-other-id"])
def test_a_damaged_uuid_is_no_new_one_each_time(content: str, tmp_path: Path) -> None:
    (tmp_path / ".ansible_runner_uuid").write_text(content)
    first, second = info(HOME=str(tmp_path)), info(HOME=str(tmp_path))
    assert first["uuid"] == second["uuid"]
    assert first["uuid"] or first["errors"]


def test_a_node_without_ansible_says_so(tmp_path: Path) -> None:
    """An interpreter that has this package and nothing beside it."""
    lonely = tmp_path / "bin" / "python"
    lonely.parent.mkdir()
    lonely.symlink_to(sys.executable)
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.executable = {str(lonely)!r}; "
        "from receptor_runner.stages.worker_info import worker_info; print(worker_info('1'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path), "HOME": str(tmp_path)}, stdout=subprocess.PIPE
    )
    assert b"there is no ansible-playbook here" in done.stdout
    assert b"'ansible_core_version': None" in done.stdout


GIB = 2**30


@pytest.mark.parametrize(
    ("membership", "files", "cpus", "memory"),
    [
        ("0::/\n", {}, None, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/b/memory.max": "max"}, None, None),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000", "a/b/memory.max": str(GIB)}, 0.5, GIB),
        ("0::/a/b\n", {"a/cpu.max": "70000 100000", "a/memory.max": str(GIB)}, 0.7, GIB),
        ("0::/host/path\n", {"cpu.max": "100000 100000", "memory.max": str(GIB)}, 1, GIB),
        (
            "4:memory:/j\n2:cpu,cpuacct:/j\n0::/\n",
            {
                "cpu/j/cpu.cfs_quota_us": "25000",
                "cpu/j/cpu.cfs_period_us": "50000",
                "memory/j/memory.limit_in_bytes": str(GIB),
            },
            0.5,
            GIB,
        ),
        (
            "4:memory:/docker/j\n2:cpuacct,cpu:/docker/j\n",
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": str(GIB),
            },
            None,
            GIB,
        ),
        ("0::/a\n", {"a/memory.max": str(2**62)}, None, None),
    ],
)
def test_limits_of_control_groups_count(
    membership: str,
    files: dict[str, str],
    cpus: float | None,
    memory: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both versions, as a file tree: to make real groups takes privileges."""
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    (tmp_path / "membership").write_text(membership)
    monkeypatch.setattr(capacity, "_TOP", tmp_path / "groups")
    monkeypatch.setattr(capacity, "_MEMBERSHIP", tmp_path / "membership")
    assert capacity.get_cpu_count() == (cpus or len(os.sched_getaffinity(0)))
    assert capacity.get_mem_in_bytes() == (memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def test_a_store_that_cannot_be_made_is_told() -> None:
    info = json.loads(ours("worker", "--store", "/proc/store", "--worker-info").stdout)
    assert info["store"] is None
    assert any("what is stored" in error and "/proc/store" in error for error in info["errors"])
