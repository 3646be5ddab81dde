"""``worker cleanup`` of container images, with real podman."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.commands import ours
from tests.support.commands_in_isolation import READY_AND_WAIT
from tests.support.engines import Podman
from tests.support.jobs import job, start
from tests.support.nodes import running_with, worktype
from tests.support.private_data import DirFactory
from tests.support.processes import exit_code, wait_for

pytestmark = pytest.mark.slow

CHANGED, UNCHANGED = "(changed: True)", "(changed: False)"


def cleanup(*arguments: str) -> list[str]:
    done = ours("worker", "cleanup", *arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def images(podman: Podman) -> set[str]:
    return set(podman("images", "--all", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())


@pytest.fixture
def small(podman: Podman, tmp_path: Path) -> Path:
    """A file that ``podman import`` takes for a file system of next to nothing."""
    (tmp_path / "content").write_text(str(tmp_path))
    with tarfile.open(tmp_path / "small.tar", "w") as tar:
        tar.add(tmp_path / "content", "content")
    return tmp_path / "small.tar"


@pytest.mark.parametrize(
    "form",
    [
        ["--remove-images", "localhost/a:1", "localhost/b:1"],
        ["--remove-images=localhost/a:1", "--remove-images=localhost/b:1"],
        ["--remove-images=localhost/a:1 localhost/b:1"],
    ],
)
def test_images_are_removed_by_name(form: list[str], podman: Podman, small: Path) -> None:
    """In each form that controllers have used."""
    for name in ("localhost/a:1", "localhost/b:1", "localhost/c:1"):
        podman("import", "--quiet", small, name)
    before = images(podman)
    assert cleanup(*form, "--dry-run")[-1] == UNCHANGED
    assert images(podman) == before
    assert cleanup(*form) == ["Removed 2 image(s)", CHANGED]
    assert before - images(podman) == {"localhost/a:1", "localhost/b:1"}
    assert cleanup(*form) == [UNCHANGED]
    assert cleanup("--remove-images", "localhost/c:1")[-1] == CHANGED


def test_images_without_a_name_are_pruned(podman: Podman, small: Path) -> None:
    podman("import", "--quiet", small)
    assert "<none>:<none>" in images(podman)
    assert cleanup("--image-prune") == ["Pruned images", CHANGED]
    assert "<none>:<none>" not in images(podman)
    assert cleanup("--image-prune") == [UNCHANGED]


def test_the_image_of_a_running_job_stays(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    """Removing it by force would take the job's container along."""
    image = podman.settings()["container_image"]
    results = tmp_path / "results"
    place = tmp_path / "place"
    stream = job(make_dir(args=f"sh -c '{READY_AND_WAIT}'"), **podman.settings())
    worker = start(stream, "--private-data-dir", str(place), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the job runs")
    assert cleanup("--remove-images", image) == [f"Kept the image {image}: a container of it is running", UNCHANGED]
    (place / "go").write_text("")
    assert exit_code(worker, 90) == 0
    assert image in images(podman)


def test_an_image_is_pulled_before_it_is_needed(podman: Podman, small: Path, tmp_path: Path) -> None:
    """From a directory, which needs no registry."""
    podman("import", "--quiet", small, "localhost/wanted:1")
    podman("push", "--quiet", "localhost/wanted:1", f"dir:{tmp_path}/pushed")
    with running_with("embedded", [worktype()]) as mesh:
        mesh.wait_ready()

        def prepared(image: str) -> subprocess.CompletedProcess[bytes]:
            return ours("prepare", mesh.executor.name, "--image", image, *mesh.arguments())

        present = prepared("localhost/wanted:1")
        assert present.returncode == 0, present.stderr
        assert present.stdout.endswith(b"localhost/wanted:1: present\n")
        pulled = prepared(f"dir:{tmp_path}/pushed")
        assert pulled.returncode == 0, pulled.stderr
        assert pulled.stdout.endswith(b": pulled\n")
        missing = prepared(f"dir:{tmp_path}/missing")
        assert missing.returncode == 69
        assert b"missing" in missing.stderr
        assert mesh.units() == []
