"""What must not leave this machine is taken out, and nothing else is touched."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from private_s3 import clean as module
from private_s3.clean import clean, cleaned, secrets
from private_s3.errors import BadInput, CheckFailed
from private_s3.folder import write_json
from private_s3.journal import Journal
from private_s3.network import name
from private_s3.tables import table
from tests.support import readings as worlds

ACCESS_KEY = "AKIA" + "QXPLANTED0000001"
SECRETS = {
    "access key": ACCESS_KEY,
    "temporary access key": "ASIA" + "QXPLANTED0000002",
    "session token": "IQoJb3JpZ2lu" + "Planted" * 8 + "==",
    "older session token": "FwoGZXIv" + "Planted" * 8,
    "secret key": "aws_secret_access_key = planted/K7MDENG/bPxRfiCYplanted",
    "JSON answer": '"SecretAccessKey": "planted/K7MDENG/bPxRfiCYplanted"',
    "signed URL": "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4&X-Amz-Signature=" + "ab" * 32,
    "older signed URL": "https://b.s3.amazonaws.com/k?AWSAccessKeyId=x&Signature=planted%3D",
    "signature alone": "X-Amz-Security-Token=planted%2Ftoken&",
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----",
    "private key, cut": "-----BEGIN RSA PRIVATE KEY-----\nplanted",
    "bearer": "Authorization: Bearer planted.planted.planted",
    "JSON web token": "eyJhbGciOiJI.eyJzdWIiOiIx.planted-planted",
    "GitHub": "ghp_" + "Planted00" * 4,
    "GitLab": "glpat-planted-planted-planted",
    "password": "password=planted-planted",
}
KEPT = [
    "arn:aws:iam::123456789012:role/app-instance",
    "arn:aws:iam::123456789012:root",
    "arn:aws:s3:::bucket/home/alice/*",
    "s3://bucket/home/alice/file",
    "AROAEXAMPLE000000000:session",
    "vpce-0123456789abcdef0 -> rtb-0123456789abcdef0",
    "StringNotEquals aws:SourceVpce, aws:TokenIssueTime, secretsmanager:SecretId",
    "the token of the plan: 65b469e156e5",
    "a line\nand\ta tab, ünïcödé, 日本語",
    "10.0.1.5 (app-1), rehearsal-private-data",
]


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_taken_out_and_told(kind: str) -> None:
    text = f"before {SECRETS[kind]} after"
    assert "lanted" not in clean(text).lower().replace("planted00", "lanted")
    assert "withheld" in clean(text)
    assert clean(text).startswith("before ")
    (found,) = secrets(text)
    assert "lanted" not in found


@pytest.mark.parametrize("text", KEPT)
def test_what_is_none_stays(text: str) -> None:
    assert clean(text) == text
    assert secrets(text) == []


def test_what_is_clean_stays_clean() -> None:
    for text in SECRETS.values():
        assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "name", ["GITHUB_TOKEN", "DB_PASSWORD", "aws_secret_access_key", "X_API_KEY"]
)
def test_what_the_environment_calls_secret_is_taken_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "planted.*value")
    assert clean("it is planted.*value, not plantedXXvalue") == (
        "it is [withheld: secret of the environment], not plantedXXvalue"
    )
    monkeypatch.setenv(name, "short")
    assert clean("short") == "short"


def test_a_secret_that_holds_another_goes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "planted-")
    monkeypatch.setenv("B_TOKEN", "planted-and-longer")
    assert clean("planted-and-longer") == "[withheld: secret of the environment]"


@pytest.mark.parametrize("home", ["/root", "/home/alice", "/srv/people/alice"])
def test_a_home_directory_is_a_tilde(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    assert clean(f"in {home}/.aws/config and {home}") == "in ~/.aws/config and ~"
    assert clean(f"arn:aws:s3:::bucket{home}/x") == f"arn:aws:s3:::bucket{home}/x"
    assert clean("/home/somebody/x /Users/else/y") == "~/x ~/y"
    assert secrets(f"{home}/x") == []


def test_without_a_home_nothing_is_mistaken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    assert clean("/ a/b") == "/ a/b"
    monkeypatch.delenv("HOME")
    assert clean("/ a/b") == "/ a/b"


@pytest.mark.parametrize(
    ("host", "text", "expected"),
    [
        ("build-7", "on build-7: no", "on [this host]: no"),
        ("build-7", "me@build-7.example.org", "me@[this host].example.org"),
        ("build-7.example.org", "https://build-7.example.org/x", "https://[this host]/x"),
        ("build-7", "rebuild-70", "rebuild-70"),
        # Called like a word of the runbook, it must not blot that out.
        ("endpoint", "the endpoint of endpoint.example.org", "the endpoint of [this host]"),
        ("endpoint", "me@endpoint", "me@[this host]"),
        ("vm", "vm", "vm"),
        ("localhost", "localhost", "localhost"),
    ],
)
def test_the_name_of_this_host_is_taken_out(
    host: str, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as container:
        container.setenv("HOSTNAME", host)
        assert clean(text) == expected
    monkeypatch.setattr(module.socket, "gethostname", lambda: host)
    assert clean(text) == expected
    assert secrets(text) == []


def test_controls_are_made_visible() -> None:
    assert clean("\x1b[0;31mred\x1b[m") == "red"
    assert clean("\x1b[2J\x9b1m\x07\r\x00\u202e\u2028") == (
        "\\x1b[2J\\x9b1m\\x07\\x0d\\x00\\u202e\\u2028"
    )


def test_a_whole_value_is_cleaned_and_keeps_its_shape() -> None:
    value = {"a": [ACCESS_KEY, 1, None, True], ACCESS_KEY: ("x",)}
    withheld = "[withheld: access key]"
    assert cleaned(value) == {"a": [withheld, 1, None, True], withheld: ["x"]}


def test_whatever_is_shown_or_kept_is_clean(tmp_path: Path) -> None:
    Journal(tmp_path).append("refused", answer=f"no {ACCESS_KEY}", request={"tags": [ACCESS_KEY]})
    assert ACCESS_KEY not in (tmp_path / "journal.jsonl").read_text()
    assert ACCESS_KEY not in str(CheckFailed(ACCESS_KEY, ACCESS_KEY, ACCESS_KEY))
    assert ACCESS_KEY not in table([[ACCESS_KEY, 1]], ["a", "b"]).to_string()
    assert ACCESS_KEY not in name({"Tags": [{"Key": "Name", "Value": ACCESS_KEY}]})


def test_a_file_with_a_secret_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "plans/x.json"
    with pytest.raises(CheckFailed) as caught:
        write_json(path, {"policy": ACCESS_KEY})
    assert "access key" in caught.value.answer
    assert ACCESS_KEY not in str(caught.value)
    assert not path.exists()


def test_a_parameter_with_a_secret_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as caught:
        worlds.parameters(note=f"uses {ACCESS_KEY}")
    assert "note" in caught.value.answer
    assert ACCESS_KEY not in str(caught.value)


def test_the_own_host_is_asked_of_the_system() -> None:
    assert socket.gethostname() in module._own()[2]
