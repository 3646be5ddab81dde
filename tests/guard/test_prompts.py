"""Prompts are found at the end of output, in the user's order, once each."""

from __future__ import annotations

from receptor_runner.guard.prompts import Prompts


def test_the_answer_comes_once_for_each_prompt() -> None:
    prompts = Prompts([(r"^SSH password:\s*$", "one"), (r"^Vault password:\s*$", "two")])
    assert prompts.answer() is None
    prompts.receive(b"some output\r\nVault password: ")
    assert prompts.answer() == "two"
    assert prompts.answer() is None
    prompts.receive(b"\r\nSSH password: ")
    assert prompts.answer() == "one"
    prompts.receive(b"\r\nSSH password: ")
    assert prompts.answer() == "one"


def test_two_waiting_at_once_are_answered_in_the_order_of_their_place() -> None:
    prompts = Prompts([("second\\?", "2"), ("first\\?", "1")])
    prompts.receive(b"first? second?")
    assert [prompts.answer(), prompts.answer(), prompts.answer()] == ["1", "2", None]


def test_the_users_order_decides_between_two_that_match() -> None:
    prompts = Prompts([("pass.*:", "by the first"), ("password:", "by the second")])
    prompts.receive(b"password:")
    assert prompts.answer() == "by the first"


def test_a_long_prompt_fits() -> None:
    name = "x" * 1500
    prompts = Prompts([(rf"^Enter passphrase for /{name}:\s*$", "answer")])
    for piece in (b"Enter passphrase for /", name.encode()[:700], name.encode()[700:], b": "):
        prompts.receive(piece)
    assert prompts.answer() == "answer"


def test_characters_may_arrive_in_halves() -> None:
    prompts = Prompts([("^Paßwort für é:$", "ja")])
    for byte in "Paßwort für é:".encode():
        prompts.receive(bytes([byte]))
    assert prompts.answer() == "ja"


def test_a_pattern_that_matches_nothing_is_answered_once_for_each_output() -> None:
    prompts = Prompts([("", "x")])
    prompts.receive(b"text")
    assert prompts.answer() == "x"
    assert prompts.answer() is None
