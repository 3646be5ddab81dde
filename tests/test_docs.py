"""The documentation is true: its commands run, its Python runs, its examples of the stream are what the decoder takes
them for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from _pytest.mark.structures import ParameterSet

from receptor_runner.cli.main import cli
from receptor_runner.errors import ReceptorRunnerError
from receptor_runner.stream.codec import Decoder
from receptor_runner.stream.messages import Unknown
from tests.support.commands import BIN, ours
from tests.support.nodes import NO_DAEMON, daemon_binary, free_port
from tests.support.processes import processes_with, words_of

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
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        words = ["bash", "-o", "pipefail", "-c", command]
        done = subprocess.run(words, capture_output=True, timeout=90, check=False, env=env)
        assert done.returncode == 0, done.stderr.decode()
    if "transmit" in block and "-i " not in block:
        assert (demo / "demo" / "artifacts" / "rc").read_text() == "0"


class Machine:
    """One of the two of the tutorial: a network namespace of its own, if there may be one."""

    def __init__(self, name: str, around: list[str]) -> None:
        self.name = name
        self._around = around

    def run(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        words = [*self._around, "bash", "-e", "-o", "pipefail", "-c", script]
        # what it leaves running has the files, and not a pipe that would be waited for
        with tempfile.TemporaryFile() as out:
            code = subprocess.run(words, stdout=out, stderr=out, timeout=150, check=False, env=env).returncode
            out.seek(0)
            return subprocess.CompletedProcess(words, code, out.read())


@pytest.fixture
def two_machines() -> Iterator[tuple[dict[str, Machine], str]]:
    """Two network namespaces with a cable between them, and the address of the first; without the right to make them,
    this machine twice."""
    names = {name: f"rr-{name}-{os.getpid()}" for name in ("ctl", "exec1")}
    tail = os.getpid() % 250
    addresses = {"ctl": f"10.99.{tail}.1", "exec1": f"10.99.{tail}.2"}
    cable = {"ctl": f"rra{os.getpid()}", "exec1": f"rrb{os.getpid()}"}
    steps = [["netns", "add", name] for name in names.values()]
    steps.append(["link", "add", cable["ctl"], "type", "veth", "peer", "name", cable["exec1"]])
    for machine, name in names.items():
        steps.append(["link", "set", cable[machine], "netns", name])
        steps.append(["-n", name, "addr", "add", f"{addresses[machine]}/24", "dev", cable[machine]])
        steps += [["-n", name, "link", "set", device, "up"] for device in (cable[machine], "lo")]
    try:
        if all(_ip(*step) for step in steps):
            yield {one: Machine(one, ["ip", "netns", "exec", name]) for one, name in names.items()}, addresses["ctl"]
        else:
            yield {one: Machine(one, []) for one in names}, "127.0.0.1"
    finally:
        for name in names.values():
            _ip("netns", "del", name)


def _ip(*words: str) -> bool:
    return shutil.which("ip") is not None and not subprocess.run(["ip", *words], capture_output=True).returncode


@pytest.mark.daemon
def test_the_tutorial_ends_with_a_mesh_of_two_machines(
    demo: Path, two_machines: tuple[dict[str, Machine], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of it, on the machine that it names."""
    binary = daemon_binary()
    if binary is None:
        pytest.skip(NO_DAEMON)
    machines, address = two_machines
    (demo / "bin").mkdir()
    (demo / "bin" / "receptor").symlink_to(os.path.abspath(binary))
    env = {**os.environ, "PATH": f"{demo}/bin:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"}
    port, said = str(free_port()), b""
    try:
        for block in re.findall(r"^```sh\n(.*?)^```$", (TOP / "docs" / "tutorial-mesh.md").read_text(), re.S | re.M):
            (name,) = re.findall(r"^# on (\w+)$", block, re.M)
            done = machines[name].run(block.replace("127.0.0.1", address).replace("27199", port), env)
            assert done.returncode == 0, f"{block}\n{done.stdout.decode()}"
            said += done.stdout
            for variable, value in re.findall(r"^export (\w+)=(\S+)$", block, re.M):
                env[variable] = value
    finally:
        for process in processes_with(f"{demo}/bin"):
            if words_of(process)[:1] == ["receptor"]:
                process.kill()
    assert said.count(b"nice to meet you") == 4, "run, logs, attach, and through receptorctl"
    assert b"exec1 offers receptor-runner, signed" in said
    assert b"fault" not in said


def test_the_command_lines_of_the_documentation_are_understood() -> None:
    """Those that cannot be run here: commands and options exist."""
    for page in PAGES:
        for line in re.findall(r"^(?:\S+/)?receptor-runner ([a-z].*)$", page.read_text(), re.M):
            if "[" in line:
                continue  # the usage of a command, made by click
            for part in re.split(r" \| (?:ssh \S+ )?receptor-runner |(?: +on | {3,})", line)[:1]:
                words = shlex.split(part.replace("…", ""), comments=True)
                _understand(words, f"{page.name}: {line}")


def _understand(words: list[str], where: str) -> None:
    words = words[: next((at for at, word in enumerate(words) if word in (">", "<", "|", "&&", ">>")), len(words))]
    command: click.Command = cli
    ctx = click.Context(cli, info_name="receptor-runner")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(ctx, words[0])
        assert found is not None, where
        command, words, ctx = found, words[1:], click.Context(found, info_name=words[0], parent=ctx)
    if not isinstance(command, click.Group):
        try:
            command.make_parser(ctx).parse_args(args=list(words))
        except click.UsageError as exc:
            raise AssertionError(f"{where}: {exc.message}") from exc


@pytest.mark.parametrize("page", ["commands.md", "variables.md", "messages.md", "json.md"])
def test_a_page_that_is_made_from_the_code_is_up_to_date(page: str, tmp_path: Path) -> None:
    script = "import sys, runpy; from pathlib import Path\n"
    script += f"made = runpy.run_path({str(TOP / 'docs' / 'generate.py')!r})\n"
    script += f"sys.stdout.write(made['PAGES'][{page!r}]())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=True)
    assert done.stdout.decode() == (TOP / "docs" / page).read_text(), "run: python docs/generate.py"


@pytest.mark.parametrize("block", blocks("toml"))
def test_examples_of_configuration_are_understood(block: str, tmp_path: Path) -> None:
    file = tmp_path / "config" / "receptor-runner" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(block)
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert ours("config", "show", env=env, cwd=tmp_path).returncode == 0
    done = ours("jobs", env=env, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("block", blocks("yaml"))
def test_examples_of_yaml_are_mappings(block: str) -> None:
    assert isinstance(yaml.safe_load(block), dict)


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


def test_every_need_and_every_promise_names_a_test_that_exists() -> None:
    pages = [(TOP / "docs" / page).read_text() for page in ("controllers.md", "promises.md")]
    named = re.findall(r"`([a-z_/]+\.py)::(\w+)`", "".join(pages))
    assert len(named) > 55
    for file, name in named:
        assert re.search(rf"^def {name}\(", (TOP / "tests" / file).read_text(), re.M), f"{file}::{name}"
