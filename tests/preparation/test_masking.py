"""What is told about a command has no secret in it: neither by its name nor by its form."""

from __future__ import annotations

import json
import time

import pytest

from receptor_runner.preparation.masking import MASK, Masker

MASKER = Masker(["long-secret", "abc"])


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWORD", "my_api_key", "PGPASS", "DB_PASS_1", "SSHKEY", "LICENSE_KEY_EU", "DBPWD", "ADMIN_PW", "AUTHORIZATION",
        "REST_API_AUTH", "SESSION_COOKIE", "MYSQL_PWD", "GITHUB_PAT", "AWS_SECRET_ACCESS_KEY", "AdminPw", "adminpw2", "JWT",
        "SLACK_WEBHOOK", "CLIENT_CERT", "TLS_PRIVATE", "CONNECTION_STRING", "PASSPHRASE", "VAULT_ADDR_TOKEN", "userPassword",
    ],
)  # fmt: skip
def test_a_name_that_may_be_a_secrets_hides_its_value(name: str) -> None:
    assert MASKER.env({name: "x"}) == {name: MASK}
    assert MASKER.env({name: ""}) == {name: ""}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSH_KEY_FILE", "/k"), ("OLDPWD", "/x"), ("PWD", "/x"), ("PATH", "/bin:/usr/bin"), ("LANG", "de_DE.UTF-8"),
        ("ANSIBLE_HOST_KEY_CHECKING", "False"), ("SSH_AUTH_SOCK", "/tmp/s"), ("SHORT", "with abc inside"), ("TZ", ":/etc/localtime"),
        ("URL", "https://host:8443/x?y=z"), ("TIME", "12:30:01"), ("JSON", '{"a": 1}'), ("SPIN", "1"), ("PWDX_FILE", "a=b"),
    ],
)  # fmt: skip
def test_what_is_no_secret_is_shown(name: str, value: str) -> None:
    assert MASKER.env({name: value}) == {name: value}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("abc", MASK),
        ("with long-secret inside", f"with {MASK} inside"),
        ("https://u:pw@h/x", f"https://u:{MASK}@h/x"),
        ("https://TOKEN@host/x", f"https://{MASK}@host/x"),
        ("https://u:p:w@h", f"https://u:{MASK}@h"),
        ("user:pw@host", f"user:{MASK}@host"),
        ("a user:pw@host:5432/db b", f"a user:{MASK}@host:5432/db b"),
        ('{"user": "u", "password": "x"}', f'{{"user": "u", "password": "{MASK}"}}'),
        (
            '{"db": {"pw": "x", "urls": ["https://u:x@h"]}}',
            f'{{"db": {{"pw": "{MASK}", "urls": ["https://u:{MASK}@h"]}}}}',
        ),
        ("Server=db;User Id=u;Password=x;Port=1", f"Server=db;User Id=u;Password={MASK};Port=1"),
        ("db_password='x y' other=1", f"db_password={MASK} other=1"),
        ("Authorization: Bearer abcdefgh", f"Authorization: Bearer {MASK}"),
        ("curl -H 'X: Bearer abcdefgh.ijk'", f"curl -H 'X: Bearer {MASK}'"),
        ("{not json, token: x}", f"{{not json, token: {MASK}}}"),
    ],
)
def test_a_secret_inside_of_a_value_is_masked(value: str, shown: str) -> None:
    assert MASKER.env({"VALUE": value}) == {"VALUE": shown}


def test_arguments_are_masked_by_the_name_before_them() -> None:
    argv = [
        "ansible-playbook",
        "-e",
        "db_password=x user=u",
        "--token",
        "x",
        "--vault-password-file",
        "pw",
        "--ask-pass",
        "test.yml",
    ]
    assert MASKER.argv(argv) == [
        "ansible-playbook", "-e", f"db_password={MASK} user=u", "--token", MASK, "--vault-password-file", "pw", "--ask-pass", "test.yml",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["pass", "a.", "a:", "x@", "://", '{"', "key=", "Bearer ", "pw", "'"])
def test_masking_takes_no_longer_than_the_text(text: str) -> None:
    long = text * (120_000 // len(text))
    begun = time.process_time()
    MASKER.env({"VALUE": long, "OTHER": json.dumps([long])})
    assert time.process_time() - begun < 5
