"""What the tests isolate jobs with: a podman of their own with an image of their own, and bubblewrap.

Rules: nothing of the tester's containers, images or configuration is touched. What cannot run here skips, with the
reason that it gave."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import rootfs
from tests.support.processes import processes_with

IMAGE = "localhost/receptor-runner-test:latest"
#: In a sandbox where ``crun`` or the default limits are refused, these were not.
_RUNTIMES = ("runc", "crun")
_LIMITS = '["nofile=1024:1024", "nproc=1000:1000"]'
_ENVIRONMENT = ("PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHONPATH={rootfs.PACKAGES}")


class Engine:
    """One way to isolate a job, with the same questions for each."""

    kind = ""

    def settings(self, **more: Any) -> dict[str, Any]:
        """Parameters, or settings, of a job that is to be isolated."""
        return {"process_isolation": True, "process_isolation_executable": self.kind, **more}

    def around(self, artifacts: Path) -> bool:
        """Whether the job of these artifacts was started by it."""
        program: str = json.loads((artifacts / "command").read_text())["command"][0]
        return os.path.basename(program) == self.kind

    def options(self) -> list[str]:
        """The same as options of a command."""
        return ["--process-isolation", "--process-isolation-executable", self.kind]

    def left(self) -> list[str]:
        """Containers or sandboxes that are there."""
        raise NotImplementedError


class Sandbox(Engine):
    kind = "bwrap"

    def left(self) -> list[str]:
        """Another test run at the same time has another state directory."""
        found = []
        for process in processes_with(os.environ["XDG_STATE_HOME"]):
            with contextlib.suppress(psutil.Error):
                if process.name() == "bwrap":
                    found.append(" ".join(process.cmdline()))
        return found


class Podman(Engine):
    kind = "podman"

    def __init__(self, directory: Path, runtime: str) -> None:
        self.directory = directory
        self.env = {
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
        }
        # short, for sockets are made below it
        self.runtime = Path(tempfile.mkdtemp(prefix="rrp-", dir="/tmp"))
        if os.geteuid():
            # else it would take the temporary directory, which the tests look into
            self.env["XDG_RUNTIME_DIR"] = str(self.runtime)
        limits = f'[containers]\ndefault_ulimits = {_LIMITS}\nnetns = "none"\n'
        engine = f'[engine]\nruntime = "{runtime}"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        # nothing is shared with another podman of this machine, the state and the locks of a running one included
        engine += f'lock_type = "file"\ntmp_dir = "{self.runtime}/libpod"\n'
        (directory / "containers.conf").write_text(limits + engine)
        graph = f'graphroot = "{directory}/graph"\nrootless_storage_path = "{directory}/graph"\n'
        storage = f'[storage]\ndriver = "overlay"\nrunroot = "{self.runtime}/run"\n{graph}'
        (directory / "storage.conf").write_text(storage)

    def settings(self, **more: Any) -> dict[str, Any]:
        return {**super().settings(container_image=IMAGE), **more}

    def options(self) -> list[str]:
        return ["--container-image", IMAGE]

    def __call__(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *words], env={**os.environ, **self.env}, capture_output=True, text=True, check=check, timeout=120
        )

    def left(self) -> list[str]:
        return self("ps", "--all", "--quiet").stdout.split()

    def remove(self) -> None:
        """All that it has."""
        self("system", "reset", "--force", check=False)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def make_image(self, tar: Path, name: str = IMAGE) -> None:
        changes = [word for one in _ENVIRONMENT for word in ("--change", f"ENV={one}")]
        self("import", "--quiet", *changes, tar, name)


@contextlib.contextmanager
def podman_in(directory: Path) -> Iterator[Podman]:
    """A podman with a store in ``directory``, and the image in it; skips if there is none that works."""
    if shutil.which("podman") is None:
        pytest.skip("there is no podman (Debian: apt-get install podman runc)")
    packages = directory / "packages"
    rootfs.installed_packages(packages)
    rootfs.build(directory / "image.tar", packages)
    said = "there is no runc and no crun"
    for runtime in filter(shutil.which, _RUNTIMES):
        podman = Podman(directory, runtime)
        try:
            podman.make_image(directory / "image.tar")
            podman("run", "--rm", "--network", "none", IMAGE, "true")
        except subprocess.CalledProcessError as exc:
            said = f"with {runtime}: {exc.stderr.strip()[-300:]}"
            podman.remove()
            continue
        try:
            yield podman
        finally:
            podman.remove()
        return
    pytest.skip(f"podman cannot run a container here, tried with limits {_LIMITS}: {said}")


@functools.cache
def sandbox_refusal() -> str | None:
    """Why bubblewrap does not work here."""
    if shutil.which("bwrap") is None:
        return "there is no bwrap (Debian: apt-get install bubblewrap)"
    tried = ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--dev-bind", "/dev", "/dev", "--proc", "/proc", "true"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"bwrap does not work here: {done.stderr.strip()[-300:]}"
