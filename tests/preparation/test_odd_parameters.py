"""Whatever JSON a parameter is, a job that cannot be made of it is told so, and is no fault of ours."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from receptor_runner.errors import ConfigurationError, ReceptorRunnerError
from receptor_runner.job.parameters import DEFAULTS, Parameters
from receptor_runner.job.private_data import PrivateDataDir
from receptor_runner.preparation.prepare import PreparationContext, prepare
from receptor_runner.system.removal import remove_tree
from tests.support.json_values import SETTINGS, VALUES

BASES: dict[str, dict[str, Any]] = {
    "playbook": {"playbook": "t.yml"},
    "module": {"module": "ping", "host_pattern": "all"},
    "role": {"role": "r"},
    "sandbox": {"playbook": "t.yml", "process_isolation": True, "process_isolation_executable": "bwrap"},
    "container": {"playbook": "t.yml", "process_isolation": True, "container_image": "x"},
}


def prepared(kwargs: Any, top: Path) -> None:
    for name in ("project", "inventory", "scratch"):
        (top / name).mkdir(exist_ok=True)
    (top / "project" / "t.yml").write_text("[]")
    made: list[str] = []
    context = PreparationContext(PrivateDataDir(top), str(top / "scratch"), made.append)
    refusal: ReceptorRunnerError | None = None
    try:
        prepare(Parameters.from_wire(kwargs), context)
    except ReceptorRunnerError as exc:
        refusal = exc
    finally:
        for path in made:  # some are outside of ``top``
            remove_tree(path)
    if refusal is not None:
        assert refusal.exit_code in (66, 69, 73, 78), (kwargs, refusal)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DEFAULTS, *(f"settings.{name}" for name in SETTINGS)])
def test_a_parameter_of_any_type(name: str, tmp_path: Path) -> None:
    first, _, inner = name.partition(".")
    for number, value in enumerate(VALUES):
        for base, kwargs in BASES.items():
            top = tmp_path / f"{number}-{base}"
            top.mkdir()
            prepared({**kwargs, first: {inner: value} if inner else value}, top)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: json.dumps(value)[:20])
def test_values_in_mappings_of_any_type(value: Any, tmp_path: Path) -> None:
    cases = [{"envvars": {"k": value}}, {"passwords": {"k": value}}, {"role": "x", "role_vars": value}]
    cases += [{"container_auth_data": {"host": "h", key: value}} for key in ("host", "username", "verify_ssl")]
    cases += [{mapping: {value: "x"}} for mapping in ("envvars", "passwords") if isinstance(value, str)]
    for number, case in enumerate(cases):
        top = tmp_path / str(number)
        top.mkdir()
        prepared({**BASES["container"], **case}, top)
    prepared(value, tmp_path)


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("envvars", BOMB), ("settings", BOMB + "job_timeout: *a8\n"), ("settings", "a: &a [*a]"),
        ("settings", 'job_timeout: !!int ""'), ("settings", 'job_timeout: !!float ""'), ("settings", 'a: !!bool "x"'),
        ("settings", 'a: !!timestamp "x"'), ("settings", "job_timeout: [1]"), ("settings", "fact_cache: stdout"),
        ("envvars", "x: [" + "a," * 1_000_000 + "]"), ("passwords", '"a{99999999999999999999}": x'),
    ],
    ids=range(11),
)  # fmt: skip
@pytest.mark.slow
def test_a_file_of_env_that_is_odd(name: str, text: str, tmp_path: Path) -> None:
    """78, before memory and time are spent."""
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / name).write_text(text)
    (tmp_path / "scratch").mkdir()
    context = PreparationContext(PrivateDataDir(tmp_path), str(tmp_path / "scratch"), lambda _: None)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError):
            prepare(Parameters.from_wire({"module": "ping"}), context)
        assert tracemalloc.get_traced_memory()[1] < 20 * 1024 * 1024
    finally:
        tracemalloc.stop()
