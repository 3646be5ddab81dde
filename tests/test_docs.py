"""The documentation is true: its commands run, its Python runs, its examples of the stream are what the decoder takes
them for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from receptor_runner.errors import ReceptorRunnerError
from receptor_runner.stream.codec import Decoder
from receptor_runner.stream.messages import Unknown
from tests.support.commands import BIN
from tests.support.nodes import NO_DAEMON, daemon_binary, free_port

pytestmark = pytest.mark.slow

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


def blocks(language: str) -> list[ParameterSet]:
    """The code blocks of a language, each a parameter named by its page and line."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.S | re.M):
            line = text[: match.start()].count("\n") + 1
            found.append(pytest.param(match[1], id=f"{page.name}:{line}"))
    return found


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the demo in it, as a reader would have."""
    shutil.copytree(TOP / "demo", tmp_path / "demo", ignore=shutil.ignore_patterns("artifacts"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", blocks("console"))
def test_commands_of_the_documentation_run(block: str, demo: Path) -> None:
    """Each as it stands, with this environment in the place of a new one."""
    for line in block.splitlines():
        command = re.sub(r"python3 -m venv \.venv && \.venv/bin/pip install [^&]*&& ", "", line.removeprefix("$ "))
        command = command.replace(".venv/bin/", f"{BIN}/")
        if "pytest" in command:
            assert command == f"{BIN}/python -m pytest -n 4"
            continue
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
    if "transmit" in block:
        assert (demo / "demo" / "artifacts" / "rc").read_text() == "0"


@pytest.mark.daemon
def test_the_mesh_of_the_readme_works(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of its second screen, in one shell."""
    binary = daemon_binary()
    if binary is None:
        pytest.skip(NO_DAEMON)
    (demo / "bin").mkdir()
    (demo / "bin" / "receptor").symlink_to(binary)
    monkeypatch.setenv("PATH", f"{demo}/bin:{BIN}:/usr/bin:/bin")
    script = "\n".join(match for match in re.findall(r"^```sh\n(.*?)^```$", PAGES[0].read_text(), re.S | re.M))
    script = "set -e -o pipefail\ntrap 'kill $(jobs -p)' EXIT\n" + script.replace("2222", str(free_port()))
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    assert text.count("nice to meet you") == 3
    assert re.search(r"exec1 +yes +receptor-runner", text)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_of_the_documentation_run(block: str, demo: Path) -> None:
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


@pytest.mark.parametrize("block", blocks("json"))
def test_examples_of_the_stream_are_understood(block: str) -> None:
    for line in block.splitlines():
        assert json.dumps(json.loads(line)) == line
        (message, *_) = Decoder().receive(line.encode() + b"\n")
        assert not isinstance(message, Unknown)


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_exit_status_is_documented() -> None:
    text = (TOP / "docs" / "exit-status.md").read_text()
    errors: list[type[ReceptorRunnerError]] = [ReceptorRunnerError, *_below(ReceptorRunnerError)]
    for error in errors:
        assert f"| {error.exit_code} |" in text


def _below(error: type[ReceptorRunnerError]) -> list[type[ReceptorRunnerError]]:
    return [found for child in error.__subclasses__() for found in (child, *_below(child))]


def test_the_ci_script_is_the_readmes_command() -> None:
    command = next(line for line in (TOP / "README.md").read_text().splitlines() if "pytest" in line).removeprefix("$ ")
    assert command in (TOP / ".ci" / "run").read_text()


def test_every_need_of_a_controller_names_a_test_that_exists() -> None:
    named = re.findall(r"`([a-z_/]+\.py)::(\w+)`", (TOP / "docs" / "controllers.md").read_text())
    assert len(named) > 40
    for file, name in named:
        assert re.search(rf"^def {name}\(", (TOP / "tests" / file).read_text(), re.M), f"{file}::{name}"
