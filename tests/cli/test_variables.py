"""Variables take the forms that Ansible's own -e takes, and the later one wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from receptor_runner.cli.variables import extra_vars, role_vars
from receptor_runner.errors import InputError


@pytest.mark.parametrize(
    ("given", "variables"),
    [
        (["a=1 b='two words'"], {"a": "1", "b": "two words"}),
        (['{"a": [1, null]}'], {"a": [1, None]}),
        (["a: 1\nb: two"], {"a": 1, "b": "two"}),
        (["day: 2001-02-03\nx: y"], {"day": "2001-02-03", "x": "y"}),
        (["a=1", '{"a": 2, "b": 3}', "b=4"], {"a": 2, "b": "4"}),
        ([], {}),
    ],
)
def test_each_form_becomes_a_dictionary(given: list[str], variables: dict[str, Any]) -> None:
    assert extra_vars(given) == variables


def test_a_file_of_variables_is_read(tmp_path: Path) -> None:
    (tmp_path / "vars.yml").write_text("a: {b: [1]}\n")
    assert extra_vars([f"@{tmp_path}/vars.yml"]) == {"a": {"b": [1]}}
    with pytest.raises(InputError, match="cannot read the file"):
        extra_vars([f"@{tmp_path}/missing.yml"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a", "'a' is not name=value"),
        ("=1", "is not name=value"),
        ("a='1", "cannot be split into words"),
        ("{a: [}", "neither JSON nor YAML"),
        ("[1]", "not a mapping"),
        ("{a: !!binary aGk=}", "cannot travel: JSON has no bytes"),
    ],
)
def test_what_is_no_variable_is_a_usage_error(text: str, says: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        extra_vars([text])
    assert says in refused.value.message


def test_the_variables_of_a_role_are_literals_or_texts() -> None:
    assert role_vars("a=1 b='[1, 2]' c=word d=None") == {"a": 1, "b": [1, 2], "c": "word", "d": None}
