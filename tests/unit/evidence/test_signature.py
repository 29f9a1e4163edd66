"""Who has signed a file, and what no signature is taken for."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from private_s3.errors import BadInput, CheckFailed
from private_s3.evidence import signature
from tests.support.sealed import make_key, vouch

WHEN = "2026-11-24T18:20:00.123+00:00"
NAME = "keeper@example.com"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


@pytest.fixture
def file(tmp_path: Path, key: Path) -> Path:
    """A file that is signed."""
    path = tmp_path / "manifest.json"
    path.write_text("{}\n")
    assert signature.sign(path, key) == tmp_path / "manifest.json.sig"
    return path


def test_a_signature_names_who_the_allowed_signers_say_it_is(file: Path, key: Path) -> None:
    allowed = vouch(file.with_name("allowed"), NAME, key, 'namespaces="private-s3-evidence"')
    signer = signature.signer(file, allowed, WHEN)
    assert signer.name == NAME
    command = ["ssh-keygen", "-l", "-f", str(key)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.split()[1] == signer.fingerprint


def test_without_allowed_signers_or_for_an_unknown_key_only_the_fingerprint_is_told(
    file: Path, key: Path
) -> None:
    unknown = vouch(file.with_name("allowed"), NAME, make_key(file.with_name("other")))
    empty = file.with_name("empty")
    empty.write_text("")
    found = {signature.signer(file, allowed, WHEN) for allowed in (None, unknown, empty)}
    assert [one.name for one in found] == [""]
    assert all(one.fingerprint.startswith("SHA256:") for one in found)


@pytest.mark.parametrize(
    "limit, holds",
    [
        ('valid-before="20261124181959Z"', False),
        ('valid-before="20261124182000Z"', True),
        ('valid-after="20261124182001Z"', False),
        ('valid-after="20261124182000Z"', True),
        ('valid-before="20261124181959"', False),
        ('valid-before="20261124182000"', True),
        ('namespaces="git"', False),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_a_key_is_good_for_the_moment_of_sealing_in_every_time_zone(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch, zone: str, limit: str, holds: bool
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    allowed = vouch(file.with_name("allowed"), NAME, key, limit)
    moments = WHEN, "2026-11-25T03:20:00.123+09:00"
    names = {signature.signer(file, allowed, when).name for when in moments}
    monkeypatch.undo()
    time.tzset()
    assert names == {NAME if holds else ""}


def test_a_name_of_several_or_that_looks_like_an_option_is_only_a_name(
    file: Path, key: Path
) -> None:
    for names, name in (("a@x,b@x", "a@x"), ("-Overify-time=1", "-Overify-time=1"), ("*@x", "*@x")):
        allowed = vouch(file.with_name("allowed"), names, key)
        assert signature.signer(file, allowed, WHEN).name == name


def test_signing_again_replaces_the_signature(file: Path) -> None:
    before = signature.signer(file, None, WHEN)
    signature.sign(file, make_key(file.with_name("other")))
    assert signature.signer(file, None, WHEN) != before
    assert sorted(path.name for path in file.parent.glob(".*")) == []


def test_a_changed_file_and_another_namespace_are_refused(file: Path, key: Path) -> None:
    file.write_text("{} \n")
    with pytest.raises(CheckFailed, match="not a signature of this file"):
        signature.signer(file, None, WHEN)
    beside = file.with_name("manifest.json.sig")
    beside.unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(key), str(file)]
    subprocess.run(command, check=True)
    with pytest.raises(CheckFailed, match="namespace"):
        signature.signer(file, None, WHEN)


def _signatures(good: bytes) -> dict[str, bytes]:
    head, *body, foot = good.splitlines(keepends=True)
    blob = base64.b64decode(b"".join(body))

    def armoured(content: bytes) -> bytes:
        digits = base64.b64encode(content)
        lines = [digits[at : at + 70] + b"\n" for at in range(0, len(digits), 70)]
        return b"".join([head, *lines, foot])

    assert armoured(blob) == good
    return {
        "nothing": b"",
        "no text": os.urandom(3000),
        "a name of ours": b"-n\n--help\n$(touch /tmp/x)\n",
        "only the armour": head + foot,
        "something before": b"\n" + good,
        "something after": good + b"and more\n",
        "twice": good + good,
        "without its last line end": good[:-1],
        "in one line": head + b"".join(body).replace(b"\n", b"") + b"\n" + foot,
        "other line ends": good.replace(b"\n", b"\r\n"),
        "an empty blob": armoured(b""),
        "only the magic": armoured(blob[:6]),
        "a huge length": armoured(blob[:10] + b"\xff\xff\xff\xff" + blob[14:]),
        "another version": armoured(blob[:6] + b"\0\0\0\2" + blob[10:]),
        "cut short": armoured(blob[:-7]),
        "more in the blob": armoured(blob + b"\0" * 9),
        "another bit": armoured(blob[:-1] + bytes([blob[-1] ^ 1])),
        "a megabyte": armoured(blob + b"A" * 1_000_000),
    }


def test_no_file_but_a_whole_signature_is_taken_for_one(file: Path, key: Path) -> None:
    beside = file.with_name("manifest.json.sig")
    good = beside.read_bytes()
    allowed = vouch(file.with_name("allowed"), NAME, key)
    for what, content in _signatures(good).items():
        beside.write_bytes(content)
        with pytest.raises(CheckFailed) as caught:
            signature.signer(file, allowed, WHEN)
        assert str(caught.value).count("\n") == 2, what
    beside.unlink()
    with pytest.raises(CheckFailed, match="No such file"):
        signature.signer(file, allowed, WHEN)


@pytest.mark.parametrize("when", ["", "yesterday", "2026-11-24T18:20:00", "-Oprint", "9" * 400])
def test_a_seal_that_does_not_say_when_is_of_nobody(file: Path, key: Path, when: str) -> None:
    with pytest.raises(CheckFailed, match="does not say when"):
        signature.signer(file, vouch(file.with_name("allowed"), NAME, key), when)


def test_a_key_that_cannot_sign_is_refused_at_once_and_the_signature_there_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = file.with_name("locked")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(locked)]
    subprocess.run(command, check=True)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    window = file.with_name("window")  # which would ask for the passphrase
    window.write_text(f"#!/bin/sh\ntouch {file.with_name('asked')}\n")
    window.chmod(0o755)
    asking = {"DISPLAY": ":1", "SSH_ASKPASS": str(window), "SSH_ASKPASS_REQUIRE": "force"}
    for name, value in asking.items():
        monkeypatch.setenv(name, value)
    before, began = file.with_name("manifest.json.sig").read_bytes(), time.monotonic()
    for key in (locked, locked.with_suffix(".pub"), file):
        with pytest.raises(CheckFailed) as caught:
            signature.sign(file, key)
        assert str(caught.value).count("\n") == 2
        assert "ssh-keygen answered" in caught.value.answer
    assert time.monotonic() - began < 5
    assert not file.with_name("asked").exists()
    assert file.with_name("manifest.json.sig").read_bytes() == before
    with pytest.raises(BadInput, match="There is no file"):
        signature.sign(file, file.with_name("no-key"))


def test_a_key_of_an_agent_signs_by_its_public_part(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = file.with_name("agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if socket.exists():
                break
            time.sleep(0.02)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
        before = signature.signer(file, None, WHEN)
        key.rename(key.with_name("away"))
        signature.sign(file, key.with_suffix(".pub"))
        assert signature.signer(file, None, WHEN) == before
    finally:
        agent.terminate()
        agent.wait()


def test_without_openssh_both_say_what_to_install(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(file.parent))
    for attempt in (lambda: signature.sign(file, key), lambda: signature.signer(file, None, WHEN)):
        with pytest.raises(CheckFailed, match="ssh-keygen is not installed"):
            attempt()


def test_an_ssh_keygen_that_waits_is_not_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = file.with_name("ssh-keygen")
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(file.parent))
    monkeypatch.setattr(signature, "QUICK", 0.2)
    with pytest.raises(CheckFailed, match=r"did not answer within 0\.2 seconds"):
        signature.signer(file, None, WHEN)
