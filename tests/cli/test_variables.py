"""Mappings that a user types."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from receptor_runner.cli.variables import file_text, load_mapping, role_vars
from receptor_runner.errors import InputError


def test_a_file_of_variables_is_read_with_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "vars.yml").write_bytes(b"\xef\xbb\xbfa: {b: [1]}\n")
    assert load_mapping(file_text(f"{tmp_path}/vars.yml"), "vars.yml") == {"a": {"b": [1]}}
    with pytest.raises(InputError, match="cannot read the file"):
        file_text(f"{tmp_path}/missing.yml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{a: [}", "neither JSON nor YAML"),
        ("[1]", "not a mapping"),
        ("{a: !!binary aGk=}", "cannot travel: JSON has no bytes"),
    ],
)
def test_what_is_no_mapping_is_a_usage_error(text: str, says: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        load_mapping(text, "FILE")
    assert says in refused.value.message


@pytest.mark.parametrize(("text", "says"), [("a", "'a' is not name=value"), ("a='1", "cannot be split into words")])
def test_what_is_no_variable_of_a_role_is_a_usage_error(text: str, says: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        role_vars(text)
    assert says in refused.value.message


def test_the_variables_of_a_role_are_literals_or_texts() -> None:
    assert role_vars("a=1 b='[1, 2]' c=word d=None") == {"a": 1, "b": [1, 2], "c": "word", "d": None}
    assert role_vars(r"path=D:\docs\share re='^a\d+ #x$'") == {"path": r"D:\docs\share", "re": r"^a\d+ #x$"}
